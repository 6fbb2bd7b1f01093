"""What the UnionPay folder writes, reads, believes and makes of it, without a network."""

import base64
import contextlib
import json
import time
import urllib.parse
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from channels import registry, rsa
from channels.port import (
    CallbackRefused,
    Charge,
    DebitRequest,
    Payee,
    PayeeKind,
    PayoutRequest,
    Person,
    RefundRequest,
)
from channels.unionpay import batches, mapping, messages, signing
from channels.unionpay.batches import Batch, BatchDamaged, Layout
from channels.unionpay.client import UnionPayCallbacks
from channels.unionpay.config import PRODUCTS, UnionPayConfig
from domain.evidence import Fault, Outcome, Source
from simulator.wire.unionpay import messages as wire
from simulator.wire.unionpay.credentials import PLATFORM_NAME
from simulator.wire.unionpay.signing import digest
from tests.unit.unionpay_kit import (
    MERCHANT,
    NOW_MS,
    NUMBER,
    TXN_TIME,
    Account,
    Platform,
    config,
    credentials,
    identity,
    issued,
    notice,
    platform,
    signed,
    stranger,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "unionpay.json").read_text())
DAY_MS = 86_400_000
PAYER = Payee(PayeeKind.BANK_CARD, "6222020200000000006", "张三")


def trust(side: Platform | None = None, *names: str) -> signing.Trust:
    side = side or platform()
    return signing.Trust(
        roots=[side.root.certificate], middles=[side.middle.certificate], names=names or ("中国银联股份有限公司",)
    )


def believed(fields: dict[str, str], now_ms: int = NOW_MS) -> bool:
    return trust().verify(fields, now_ms=now_ms)


# --- signatures ------------------------------------------------------------------------------------------------------


def test_a_message_of_the_test_gateway_is_verified() -> None:
    vector = VECTORS["notice"]
    fields = messages.read_answer(vector["signed"].encode()) | {"signature": vector["signature"]}
    key = x509.load_pem_x509_certificate(fields["signPubKeyCert"].encode()).public_key()
    raw = base64.b64decode(fields["signature"])
    assert rsa.verify(key, signing.signed_bytes(fields), raw)  # type: ignore[arg-type]
    assert not rsa.verify(key, signing.signed_bytes(fields | {"txnAmt": "2"}), raw)  # type: ignore[arg-type]
    said = mapping.evidence_of(fields, now_ms=1)
    assert (said.outcome, said.amount_minor, said.currency_code) == (Outcome.DONE, 1, "CNY")
    assert said.success_time_ms == messages.china_ms("20220908132206")


def test_both_sides_sign_the_same_bytes() -> None:
    fields = {"b": "2", "a": "1=&{x&y=z}", "empty": "", "c": "中"}
    assert signing.signed_bytes(fields) == digest(fields)
    assert believed(signed(fields, platform().sign))


@pytest.mark.parametrize("field", ["a", "signature", "signPubKeyCert", "signMethod"])
def test_nothing_in_a_signed_message_can_be_changed(field: str) -> None:
    fields = signed({"a": "1", "b": "2"}, platform().sign)
    assert believed(fields)
    for value in ("", "2", fields[field] + "A", fields[field][:-5]):
        if field == "signMethod" or value:
            assert not believed(fields | {field: value})
    assert not believed({name: value for name, value in fields.items() if name != field} | {"signature": "é"})


def test_only_unionpays_own_certificate_is_believed() -> None:
    side, other = platform(), stranger()
    merchant = identity()  # issued by the right authority to somebody else
    assert not believed(signed({"a": "1"}, merchant))
    assert not believed(signed({"a": "1"}, other.sign))
    # The right name, from an authority whose name alone is right.
    assert not believed(signed({"a": "1"}, issued(PLATFORM_NAME, other.middle)))
    # A member that plays authority.
    assert not trust(side._replace(middle=side.sign)).verify(
        signed({"a": "1"}, issued(PLATFORM_NAME, side.sign)), now_ms=NOW_MS
    )
    assert trust(other).verify(signed({"a": "1"}, other.sign), now_ms=NOW_MS)


@pytest.mark.parametrize(
    "name", ["中国银联股份有限公司", "x@中国银联股份有限公司", "a@b@00040000:SIGN@c", "a@b@中国银联股份有限公司2"]
)
def test_a_certificate_must_name_unionpay_in_its_third_part(name: str) -> None:
    signer = issued(name, platform().middle)
    assert not believed(signed({"a": "1"}, signer))
    assert trust(None, "00040000:SIGN").verify(signed({"a": "1"}, signer), now_ms=NOW_MS) == ("SIGN" in name)


def test_a_certificate_is_believed_while_it_is_valid() -> None:
    known = trust()
    fields = signed({"a": "1"}, issued(PLATFORM_NAME, platform().middle, days=1_461))  # until the end of 2027
    times = (NOW_MS - 4 * 365 * DAY_MS, NOW_MS, NOW_MS + 365 * DAY_MS, NOW_MS + 500 * DAY_MS)
    for _ in range(2):  # remembered or not
        assert [known.verify(fields, now_ms=at) for at in times] == [False, True, True, False]


def test_a_renewed_certificate_of_the_platform_is_believed_at_once() -> None:
    known = trust()
    renewed = issued(PLATFORM_NAME, platform().middle)
    for signer in (platform().sign, renewed, platform().sign):
        assert known.verify(signed({"a": "1"}, signer), now_ms=NOW_MS)


# --- configuration ---------------------------------------------------------------------------------------------------


def test_the_newest_key_signs_and_all_authorities_are_believed() -> None:
    other = stranger()
    newest = issued(f"041@{MERCHANT}@Test@2", other.middle)
    versions = (credentials(other, newest, version=2), credentials(platform(), identity()))
    merchant = UnionPayConfig.of(channel_id="c", settings={}, accounts=[Account(MERCHANT, versions)]).merchants[
        MERCHANT
    ]
    assert merchant.cert_id == str(newest.certificate.serial_number)
    for side in (other, platform()):
        assert merchant.trust.verify(signed({"a": "1"}, side.sign), now_ms=NOW_MS)


@pytest.mark.parametrize("broken", ["sign_private_key", "sign_cert", "root_cert", "middle_cert", "encrypt_cert"])
@pytest.mark.parametrize("value", ["", "garbage", None])
def test_an_account_with_unusable_keys_is_left_out_and_told(broken: str, value: str | None) -> None:
    values = {**credentials(platform(), identity()).values}
    if value is None:
        del values[broken]
    else:
        values[broken] = value
    account = Account(MERCHANT, (credentials(platform(), identity())._replace(values=values),))
    with capture_logs() as logs:
        made = UnionPayConfig.of(channel_id="c", settings={}, accounts=[account])
    usable = broken == "encrypt_cert" and not value
    assert (MERCHANT in made.merchants) == usable
    assert [entry["event"] for entry in logs] == ([] if usable else ["credentials_unusable"])
    assert "PRIVATE" not in repr(made) and "PRIVATE" not in str(logs)


def test_a_certificate_that_belongs_to_another_key_is_refused() -> None:
    values = {**credentials(platform(), identity()).values, "sign_cert": platform().sign.certificate_pem}
    account = Account(MERCHANT, (credentials(platform(), identity())._replace(values=values),))
    assert not UnionPayConfig.of(channel_id="c", settings={}, accounts=[account]).merchants


# --- what is written -------------------------------------------------------------------------------------------------


def charge(**changes: Any) -> Charge:
    usual = Charge(
        NUMBER, MERCHANT, 10_000, "CNY", "order", "车险保费", "", NOW_MS + 600_000, "https://us/notify", "H5"
    )
    return usual._replace(**changes)


def consume(request: Charge) -> dict[str, str]:
    return messages.consume(request, biz_type="000201", pay_window_s=900)


def test_a_charge_carries_the_time_of_its_number_whenever_it_is_written() -> None:
    fields = consume(charge())
    assert (fields["orderId"], fields["txnTime"], fields["txnAmt"]) == (NUMBER, TXN_TIME, "10000")
    assert fields["channelType"] == "08"
    assert fields["payTimeout"] == "20261124121000"
    assert consume(charge(expire_time_ms=NOW_MS + DAY_MS, terminal="PC"))["payTimeout"] == "20261124121500"
    assert messages.query(NUMBER)["txnTime"] == TXN_TIME
    assert messages.query("R" + NUMBER)["txnTime"] == TXN_TIME


@pytest.mark.parametrize(
    "number", ["n1", "", "R", "1" * 41, NUMBER[:-1], NUMBER + "_", "é" * 31, "9" * 31, NUMBER[:8] + "9" * 23]
)
def test_a_number_without_a_time_is_not_sent(number: str) -> None:
    with pytest.raises(messages.Unwritable):
        messages.query(number)


def test_a_charge_names_our_order_unless_an_answer_that_repeats_it_could_not_be_read() -> None:
    assert consume(charge(order_no="PNC-000001"))["reqReserved"] == "PNC-000001"
    for broken in ("a&respCode=00", "a=b", "{", "保单1"):
        assert not consume(charge(order_no=broken))["reqReserved"]


def test_other_money_than_yuan_is_not_sent() -> None:
    with pytest.raises(messages.Unwritable):
        consume(charge(currency_code="USD"))


def test_a_refund_names_the_original_and_remembers_our_attempt() -> None:
    fields = messages.refund(RefundRequest("R" + NUMBER, NUMBER, MERCHANT, 100, "CNY"), query_id="2026")
    assert (fields["orderId"], fields["origQryId"], fields["reqReserved"]) == ("R" + NUMBER, "2026", NUMBER)


def test_what_is_told_of_a_card_is_for_unionpay_alone() -> None:
    key = platform().encrypt
    public = key.key.public_key()

    def encrypt(text: str) -> str:
        return signing.encrypt(text, public)

    person = Person("张三", "11010519491231002X", "6222020200000000006", "13800138000")
    fields = messages.verify(NUMBER, person, encrypt)
    assert wire.decrypt(fields["accNo"], key.key) == person.card_no
    info = wire.read_customer(fields["customerInfo"], key.key)
    assert info == {"certifTp": "01", "certifId": person.id_no, "customerNm": "张三", "phoneNo": person.phone_no}
    assert "138" not in base64.b64decode(fields["customerInfo"]).decode()
    assert person.card_no not in str(fields)
    plain = messages.verify(NUMBER, person, None)
    assert wire.read_customer(plain["customerInfo"], key.key)["phoneNo"] == person.phone_no


def test_a_payout_to_a_company_is_marked_as_such() -> None:
    request = PayoutRequest(NUMBER, MERCHANT, 100, "CNY", PAYER, "赔款")
    assert messages.payout(request, None)["accType"] == "01"
    company = PAYER._replace(kind=PayeeKind.BANK_ACCOUNT)
    assert messages.payout(request._replace(payee=company), None)["accType"] == "04"
    with pytest.raises(messages.Unwritable):
        messages.payout(request._replace(payee=PAYER._replace(kind=PayeeKind.LOGON)), None)


def test_a_collection_needs_a_bound_card_or_an_account() -> None:
    request = DebitRequest(NUMBER, MERCHANT, 100, "CNY", "o", "s", "bind1", "")
    assert messages.debit(request, None)["bindId"] == "bind1"
    assert messages.debit(request._replace(agreement_no="", payee=PAYER), None)["accNo"] == PAYER.account_no
    with pytest.raises(messages.Unwritable):
        messages.debit(request._replace(agreement_no=""), None)


def test_the_payers_form_holds_nothing_that_a_browser_would_read_as_code() -> None:
    fields = {"orderId": NUMBER, "frontUrl": "https://us", "subject": '"><script>alert(1)</script>'}
    page = messages.form("https://up/pay?a=1&b=2", fields)
    assert page.count("<script>") == 1
    assert 'action="https://up/pay?a=1&amp;b=2"' in page


def test_a_form_says_where_the_payer_goes_afterwards_or_is_not_written() -> None:
    with pytest.raises(messages.Unwritable):
        messages.form("https://up/pay", {"orderId": NUMBER})
    assert "front_url" in registry.missing_settings("unionpay", {})
    for settings in ({"front_url": "https://us"}, {"products": dict.fromkeys(PRODUCTS, "APP")}):
        assert not registry.missing_settings("unionpay", settings)


# --- what is read ----------------------------------------------------------------------------------------------------


def test_an_answer_is_read_as_unionpays_own_software_reads_it() -> None:
    text = "a=1&b=x==&c={k=v&l=w}&d=[a=1&b=2]z&e=&f={never closed&g=1"
    assert messages.read_answer(text.encode()) == {
        "a": "1", "b": "x==", "c": "{k=v&l=w}", "d": "[a=1&b=2]z", "e": "", "f": "{never closed&g=1",
    }  # fmt: skip


@pytest.mark.parametrize("body", [b"", b"a", b"&", b"=1", b"a=1&&b=2", b"a=1&a=2", b"\xff=1", b"a=1&b", b"<html>"])
def test_a_body_that_is_no_list_of_pairs_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        messages.read_answer(body)


@given(
    st.dictionaries(
        st.text("abcXYZ09", min_size=1), st.text(st.characters(exclude_characters="&{[]}", codec="utf-8")), min_size=1
    )
)
def test_what_the_other_side_writes_is_read(fields: dict[str, str]) -> None:
    assert messages.read_answer(wire.write_answer(fields)) == fields


@given(st.binary(max_size=300))
@example(b"a={" * 50)
@example(b"[" * 3_000)
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for read in (messages.read_answer, messages.read_notice):
        try:
            fields = read(body)
        except ValueError:
            continue
        assert fields
        mapping.request_answer("n", fields)
        mapping.trade_answer("n", fields)
        assert not believed(fields)


def test_a_megabyte_of_braces_is_read_in_no_time() -> None:
    began_s = time.process_time()  # of this process, whoever else is busy
    for body in (b"a=" + b"{" * 1_000_000, b"a=" + b"{}[" * 300_000, b"&" * 1_000_000, b"a=1&" * 200_000):
        with contextlib.suppress(ValueError):
            messages.read_answer(body)
    assert time.process_time() - began_s < 1


# --- what it means ---------------------------------------------------------------------------------------------------

# All codes that UnionPay publishes.
PUBLISHED = ["00", "A6", "01", "02", "03", "04", "05", "06", "10", "11", "12", "13", "14", "30", "31", "32", "33", "34", "35", "36", "37", "38", "39", "40", "41", "42", "43", "44", "45", "46", "60", "61", "62", "63", "64", "65", "66", "67", "68", "69", "70", "71", "72", "73", "76", "77", "78", "80", "81", "82", "83", "91", "98", "99"]  # fmt: skip


def test_every_published_code_has_a_meaning() -> None:
    assert set(PUBLISHED) == mapping.CODES


@pytest.mark.parametrize("code", PUBLISHED)
def test_a_request_is_never_done_and_a_trade_only_when_it_says_so(code: str) -> None:
    said = {"respCode": code, "txnAmt": "1", "currencyCode": "156", "merId": MERCHANT, "queryId": "7"}
    assert mapping.request_answer("n", said).outcome is not Outcome.DONE
    asked = mapping.trade_answer("n", said | {"respCode": "00", "origRespCode": code})
    assert (asked.outcome is Outcome.DONE) == (code in ("00", "A6"))
    # The question's own code says nothing about the trade, but that there is none.
    own = mapping.trade_answer("n", said | {"origRespCode": "00"})
    if code not in ("00", "A6"):
        assert own.outcome is (Outcome.NOT_FOUND if code == "34" else Outcome.MAYBE)


@pytest.mark.parametrize("code", ["03", "04", "12", "06", "99"])
def test_a_code_that_does_not_know_is_no_answer(code: str) -> None:
    assert mapping.request_answer("n", {"respCode": code}).outcome is Outcome.MAYBE
    assert mapping.request_answer("n", {"respCode": "05"}).outcome is Outcome.ACCEPTED


@pytest.mark.parametrize("code", ["01", "12", "34", "60"])
def test_to_a_payout_more_codes_prove_nothing(code: str) -> None:
    assert mapping.request_answer("n", {"respCode": code}, pays_out=True).outcome is Outcome.MAYBE
    asked = mapping.trade_answer("n", {"respCode": "00", "origRespCode": code}, pays_out=True)
    assert asked.outcome is Outcome.MAYBE
    assert mapping.trade_answer("n", {"respCode": "34"}, pays_out=True).outcome is Outcome.NOT_FOUND


def test_funds_and_cards_are_the_payers_fault_keys_are_ours() -> None:
    assert mapping.request_answer("n", {"respCode": "64"}).fault is Fault.PAYER
    assert mapping.request_answer("n", {"respCode": "11"}).fault is Fault.CONFIG
    assert mapping.request_answer("n", {"respCode": "02"}).fault is Fault.CHANNEL


@given(st.text())
def test_an_unknown_word_proves_nothing(word: str) -> None:
    if word not in mapping.CODES:
        for said in ({"respCode": word}, {"respCode": "00", "origRespCode": word}):
            answer = mapping.trade_answer("n", said)
            assert (answer.outcome, answer.reason) == (Outcome.MAYBE, "UNKNOWN_WORD")
        assert mapping.request_answer("n", {"respCode": word}).reason == "UNKNOWN_WORD"


@pytest.mark.parametrize("amount", ["", "-1", "1.0", "٣", "1" * 16, "1e3", " 1"])
def test_an_amount_that_is_no_whole_number_is_none(amount: str) -> None:
    said = {"respCode": "00", "origRespCode": "00", "txnAmt": amount}
    assert mapping.trade_answer("n", said).amount_minor == 0


def test_a_trade_on_new_years_eve_was_paid_in_the_new_year() -> None:
    said = {"respCode": "00", "origRespCode": "00", "txnTime": "20261231235959", "traceTime": "0101000005"}
    assert mapping.trade_answer("n", said).success_time_ms == messages.china_ms("20270101000005")


# --- notices ---------------------------------------------------------------------------------------------------------


def read(body: bytes, now_ms: int = NOW_MS) -> Any:
    return UnionPayCallbacks(config()).read(headers={}, body=body, now_ms=now_ms)


def refusal_of(body: bytes) -> str:
    with pytest.raises(CallbackRefused) as refused:
        read(body)
    return refused.value.reason


def test_a_verified_notice_is_evidence() -> None:
    told = read(notice())
    said = told.evidence
    assert (said.attempt_no, said.source, said.outcome, said.amount_minor) == (
        NUMBER,
        Source.CALLBACK,
        Outcome.DONE,
        10_000,
    )
    assert read(notice()).notify_id == told.notify_id != read(notice(respCode="64")).notify_id
    assert read(notice(txnAmt="1")).evidence.amount_minor == 1


def test_a_notice_of_a_refund_names_the_refund_and_our_attempt() -> None:
    said = read(notice(txnType="04", orderId="R" + NUMBER, reqReserved=NUMBER, origQryId="1")).evidence
    assert (said.attempt_no, said.refund_no, said.outcome) == (NUMBER, "R" + NUMBER, Outcome.DONE)
    assert refusal_of(notice(txnType="04", orderId="R" + NUMBER)) == "MALFORMED"


def test_a_forged_notice_is_refused() -> None:
    genuine = notice()
    assert refusal_of(genuine.replace(b"txnAmt=10000", b"txnAmt=10001")) == "SIGNATURE_INVALID"
    assert refusal_of(notice(merId="777290058110049")) == "SIGNATURE_INVALID"
    assert refusal_of(notice(stranger().sign)) == "SIGNATURE_INVALID"
    assert refusal_of(notice(identity())) == "SIGNATURE_INVALID"
    for body in (
        b"",
        b"x" * 5_000_000,
        b"{}",
        b"\xff\xfe",
        b"signature=",
        b"a=1&a=2&signature=x",
        genuine + b"&merId=1",
    ):
        assert refusal_of(body) in ("SIGNATURE_INVALID", "MALFORMED")


@pytest.mark.parametrize("version", [0, 1, 2, 5, 127])
def test_a_certificate_of_any_version_is_read_or_refused(version: int) -> None:
    """Found by fuzzing: the library's word for a version that there is not is no ValueError."""
    certificate = platform().sign.certificate.public_bytes(serialization.Encoding.DER)
    assert certificate.count(b"\xa0\x03\x02\x01\x02") == 1
    changed = certificate.replace(b"\xa0\x03\x02\x01\x02", bytes([0xA0, 3, 2, 1, version]))
    text = base64.encodebytes(changed).decode()
    fields = signed({"a": "1"}, platform().sign)
    pem = f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----"
    assert not believed(fields | {"signPubKeyCert": pem})


# --- batch files -----------------------------------------------------------------------------------------------------


def batch(**changes: Any) -> Batch:
    lines = [
        {"order_no": f"o{index}", "currency": "156", "amount_minor": str(index), "name": "张三"}
        for index in range(1, 4)
    ]
    return Batch(MERCHANT, "03", "0002", TXN_TIME, lines)._replace(**changes)


def test_a_batch_file_is_written_as_its_layout_says() -> None:
    assert batches.name_of(Layout(), batch()) == f"DF00000000{MERCHANT}202611240002I.txt"
    text = batches.write(Layout(), batch()).decode("gbk").split("\r\n")
    assert text[0] == "3|6"
    assert text[1].split("|")[:6] == ["o1", "156", "1", "", "", "张三"]
    layout = Layout.of(
        {"separator": ";", "newline": "\n", "columns": ["amount_minor", "order_no"], "encoding": "utf-8"}
    )
    assert batches.write(layout, batch()) == b"3;6\n1;o1\n2;o2\n3;o3\n"
    with pytest.raises(ValueError):
        batches.write(Layout(), batch(lines=[{"order_no": "o|1", "amount_minor": "1"}]))


def results(*lines: str, header: str = "") -> bytes:
    header = header or f"{len(lines)}|{sum(int(line.split('|')[2]) for line in lines)}"
    return "".join(f"{line}\r\n" for line in (header, *lines)).encode("gbk")


def test_a_result_file_is_read_as_a_whole_or_not_at_all() -> None:
    good = ["o1|156|1|q1|00|成功", "o2|156|2|q2|64|余额不足"]
    assert [line["code"] for line in batches.read_results(Layout(), results(*good))] == ["00", "64"]
    for damaged in (results(*good)[:-1], results(*good)[:-30], results(*good, header="3|3"), results(*good, header="2|4"),
                    results("o1|156|x1|q|00|m", header="1|1"), b"\xff\xff\r\n", b"", results("o1|156|1|00", header="1|1")):  # fmt: skip
        with pytest.raises(BatchDamaged):
            batches.read_results(Layout(), damaged)


def test_a_layout_that_cannot_work_is_refused() -> None:
    for settings in ({"columns": ["order_no"]}, {"separator": ""}, {"result_columns": ["code"]}, {"header": []}):
        with pytest.raises(ValueError):
            Layout.of(settings)


@given(st.binary(max_size=2_000))
def test_a_packed_file_comes_out_as_it_went_in(content: bytes) -> None:
    assert batches.unpack(wire.pack(content)) == content == wire.unpack(batches.pack(content))
    for broken in (wire.pack(content)[:-8], "!", "", urllib.parse.quote(wire.pack(content)) + "%"):
        with pytest.raises(ValueError):
            batches.unpack(broken)
