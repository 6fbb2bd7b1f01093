"""What masks leave, what scrubbing takes out, and that it leaves numbers of ours alone."""

import datetime
import io
import json
import logging
import sys

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn
from stdnum.cn import ric

from actors import logs
from domain import privacy
from domain.identifiers import attempt_number, identifier, luhn_digit

CARD, ID, PHONE = "622202020000000000" + luhn_digit("622202020000000000"), "11010519491231002X", "13800130000"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----"


def test_masks_show_what_people_compare_by() -> None:
    assert privacy.mask_card("6222021234560006") == "6222 **** **** 0006"
    assert privacy.mask_id(ID) == "110***********002X"
    assert privacy.mask_phone("13812340000") == "138****0000"
    assert privacy.mask_name("张三丰") == "张*"
    assert {privacy.mask_card(""), privacy.mask_id(""), privacy.mask_phone(""), privacy.mask_name("")} == {""}


@given(st.text("0123456789", min_size=15, max_size=19))
def test_a_card_is_what_the_library_calls_one(digits: str) -> None:
    assert privacy.is_card(digits) == luhn.is_valid(digits)


@given(st.dates(datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)), st.integers(0, 999), st.sampled_from("0123456789X"))
def test_an_identity_number_is_what_the_library_calls_one(day: datetime.date, serial: int, check: str) -> None:
    text = f"110105{day:%Y%m%d}{serial:03d}{check}"
    assert privacy.is_identity(text) == (text[17] == ric.calc_check_digit(text))


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        (f"key {PEM} end", "key [PEM] end"),
        ("cut off: -----BEGIN RSA PRIVATE KEY-----\nMIIEvQ", "cut off: [PEM]"),
        ("Bearer pdk_aBcDeF123456-_x", "Bearer pdk_***"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_***"),
        (f"card={CARD}", f"card=6222 **** **** {CARD[-4:]}"),
        (f"id {ID}, phone {PHONE}", "id 110***********002X, phone 138****0000"),
        (f"6222 0202 0000 0000 {CARD[-3:]}", f"6222 **** **** {CARD[-4:]}"),
        (f"{int(CARD) ^ 1} fails its check digit", f"{int(CARD) ^ 1} fails its check digit"),
    ],
)
def test_keys_and_personal_numbers_are_taken_out_of_texts(text: str, scrubbed: str) -> None:
    assert privacy.scrub(text) == scrubbed


@given(st.integers(0, 2**44), st.binary(min_size=10, max_size=10))
def test_our_own_numbers_stay_readable(now_ms: int, chance: bytes) -> None:
    for number in (attempt_number(shard=3, now_ms=now_ms, random=chance), identifier("pay_", now_ms=now_ms, random=chance)):
        assert privacy.scrub(f"attempt {number} at {number}") == f"attempt {number} at {number}"


def test_every_line_is_scrubbed_with_its_exception_and_those_of_libraries(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    caught = io.StringIO()
    monkeypatch.setattr(sys, "stderr", caught)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    hook = sys.excepthook
    request.addfinalizer(structlog.reset_defaults)
    request.addfinalizer(structlog.contextvars.clear_contextvars)
    try:
        logs.set_up("info", role="test")
        try:
            raise ValueError(PEM + " " + CARD)
        except ValueError as error:
            structlog.get_logger().exception("failed", phone=PHONE, deep={"list": [f"x {ID}"]})
            logging.getLogger("library").exception("whsec_abcdefghij %s", PHONE)
            sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.excepthook = hook
    said = caught.getvalue()
    assert json.loads(said.splitlines()[0])["event"] == "failed" and said.count("Traceback") == 3
    for secret in ("MIIEvQIBADANBg", CARD, PHONE, ID, "abcdefghij"):
        assert secret not in said
