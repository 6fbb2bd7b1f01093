"""Alipay's signatures, messages and codes: against published ones, and against what is wrong in one way each."""

import base64
import json
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from channels import rsa
from channels.alipay import mapping, messages, signing
from channels.alipay.client import AlipayCallbacks
from channels.alipay.config import AlipayConfig, AlipayKey
from channels.port import CallbackRefused
from domain.credentials import Credentials
from domain.evidence import Fault, Outcome, Source
from simulator.wire import forge
from simulator.wire.alipay.credentials import make_keys
from simulator.wire.alipay.signing import signed

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "alipay" / "vectors.json").read_text())
NOW_MS = 1_795_507_200_000
KEY_MODE = ("app_id", "app_private_key", "alipay_public_key")
CERTIFICATE_MODE = ("app_id", "app_private_key", "app_cert", "alipay_cert", "alipay_root_cert")
make_keys = cache(make_keys)


class Given:
    """A merchant account with one version of credentials for each mode that is named."""

    def __init__(self, merchant_no: str, *modes: tuple[str, ...], **changes: str) -> None:
        hub, _ = make_keys(merchant_no)
        self.merchant_no = merchant_no
        values = [{name: hub[name] for name in names} | changes for names in modes or (KEY_MODE,)]
        self.credentials = [Credentials(len(values) - place, some) for place, some in enumerate(values)]


def config(*accounts: Given) -> AlipayConfig:
    return AlipayConfig.of(channel_id="ali", settings={}, accounts=accounts or (Given("m1"),))


def keys_of(pem: str) -> list[AlipayKey]:
    return [AlipayKey("", rsa.public_key(pem))]


class TestPublishedMessages:
    def test_a_real_callback_is_verified_without_its_sign_type(self) -> None:
        vector = VECTORS["notify_real"]
        fields, keys = {**vector["fields"], "sign": vector["sign"]}, keys_of(vector["alipay_public_key"])
        assert signing.notice_verified(fields, keys, now_ms=NOW_MS)
        for name in set(fields) - {"sign", "sign_type"}:
            assert not signing.notice_verified({**fields, name: f"{fields[name]}0"}, keys, now_ms=NOW_MS), name

    def test_an_answer_is_verified_over_its_very_text(self) -> None:
        key = forge.rsa_key()
        text = '{"code":"10000","qr_code":"https:\\/\\/qr.example\\/1"}'
        signature = base64.b64encode(rsa.sign(key, text.encode())).decode()
        keys = [AlipayKey("", key.public_key())]
        body = f'{{"a_response":{text},"sign":{json.dumps(signature)}}}'
        answer = messages.read_answer(body.encode(), "a")
        assert answer.inner["qr_code"] == "https://qr.example/1"
        assert signing.verified(answer.signed, answer.signature, answer.sn, keys, now_ms=NOW_MS)
        for change in (('":"', '": "'), ("\\/", "/")):
            changed = messages.read_answer(body.replace(*change).encode(), "a")
            assert changed.inner == answer.inner
            assert not signing.verified(changed.signed, changed.signature, changed.sn, keys, now_ms=NOW_MS)


class TestKeys:
    def test_a_certificate_must_lead_to_a_root_that_we_were_given(self) -> None:
        (merchant,) = config(Given("m1", CERTIFICATE_MODE)).merchants.values()
        assert (merchant.app_cert_sn, merchant.root_cert_sn) == (make_keys("m1")[1]["app_cert_sn"],
                                                                 make_keys("m1")[1]["root_cert_sn"])  # fmt: skip
        stranger = forge.authority("Nobody R2", organisation="Nobody").certificate_pem
        with capture_logs() as logs:
            assert list(config(Given("m1", CERTIFICATE_MODE, alipay_root_cert=stranger), Given("m2")).merchants) == ["m2"]
        assert "not vouched for" in logs[0]["reason"]

    def test_the_number_that_a_message_names_chooses_among_our_keys(self) -> None:
        (merchant,) = config(Given("m1", CERTIFICATE_MODE)).merchants.values()
        (key,) = merchant.keys
        signature = signed(make_keys("m1")[1]["alipay_key"], {"a": "b"})
        assert signing.verified(b"a=b", signature, key.sn, merchant.keys, now_ms=NOW_MS)
        assert not signing.verified(b"a=b", signature, "another", merchant.keys, now_ms=NOW_MS)

    def test_an_expired_certificate_verifies_nothing(self) -> None:
        (merchant,) = config(Given("m1", CERTIFICATE_MODE)).merchants.values()
        (key,) = merchant.keys
        signature = signed(make_keys("m1")[1]["alipay_key"], {"a": "b"})
        assert not signing.verified(b"a=b", signature, key.sn, merchant.keys, now_ms=key.not_after_ms)

    def test_the_newest_version_signs_and_all_verify(self) -> None:
        (merchant,) = config(Given("m1", CERTIFICATE_MODE, KEY_MODE)).merchants.values()
        assert merchant.app_cert_sn
        assert [bool(key.sn) for key in merchant.keys] == [True, False]

    def test_an_account_with_keys_that_are_none_is_left_out_and_told_without_showing_them(self) -> None:
        for changes in ({"app_private_key": "secret"}, {"alipay_public_key": "secret"}):
            with capture_logs() as logs:
                assert list(config(Given("m1", **changes), Given("m2")).merchants) == ["m2"]
            assert logs[0]["merchant_no"] == "m1" and "secret" not in str(logs)

    def test_a_representation_shows_no_key(self) -> None:
        assert "PRIVATE" not in repr(config())


# Every code that the manual lists for what we ask.
GATEWAY_CODES = ["10003", "20000", "20001", "40001", "40002", "40006"]
TRADE_CODES = ["SYSTEM_ERROR", "TRADE_HAS_SUCCESS", "CONTEXT_INCONSISTENT", "DISCORDANT_REPEAT_REQUEST", "TRADE_HAS_CLOSE", "BUYER_BALANCE_NOT_ENOUGH", "BUYER_BANKCARD_BALANCE_NOT_ENOUGH", "BUYER_SELLER_EQUAL", "TRADE_BUYER_NOT_MATCH", "BUYER_ENABLE_STATUS_FORBID", "PAYMENT_FAIL", "BUYER_PAYMENT_AMOUNT_DAY_LIMIT_ERROR", "BUYER_PAYMENT_AMOUNT_MONTH_LIMIT_ERROR", "BEYOND_PAY_RESTRICTION", "PAYMENT_AUTH_CODE_INVALID", "NO_PAYMENT_INSTRUMENTS_AVAILABLE", "PAYMENT_REQUEST_HAS_RISK", "INVALID_PARAMETER", "ACCESS_FORBIDDEN", "EXIST_FORBIDDEN_WORD", "PARTNER_ERROR", "TOTAL_FEE_EXCEED", "SELLER_BEEN_BLOCKED", "MERCHANT_STATUS_NOT_NORMAL", "PRODUCT_UNSIGN", "USER_NOT_EXIST", "RELATION_QUANTITY_LIMIT", "TRADE_NOT_EXIST", "TRADE_HAS_FINISHED", "TRADE_STATUS_ERROR", "REASON_TRADE_STATUS_INVALID", "REASON_TRADE_REFUND_FEE_ERR", "REFUND_AMT_NOT_EQUAL_TOTAL", "REFUND_FEE_ERROR", "SELLER_BALANCE_NOT_ENOUGH", "REASON_TRADE_BEEN_FREEZEN", "TRADE_NOT_ALLOW_REFUND", "AGREEMENT_NOT_EXIST", "AGREEMENT_INVALID", "AGREEMENT_STATUS_NOT_NORMAL", "MERCHANT_AGREEMENT_NOT_EXIST", "MERCHANT_AGREEMENT_INVALID"]
TRANSFER_CODES = {"SYSTEM_ERROR", "INVALID_PARAMETER", "EXCEED_LIMIT_SM_AMOUNT", "EXCEED_LIMIT_DM_AMOUNT", "EXCEED_LIMIT_MM_AMOUNT", "PAYCARD_UNABLE_PAYMENT", "PAYEE_NOT_EXIST", "PAYER_STATUS_ERROR", "PAYER_BALANCE_NOT_ENOUGH", "PAYER_USER_INFO_ERROR", "PAYEE_USER_INFO_ERROR", "PAYMENT_INFO_INCONSISTENCY", "CARD_BIN_ERROR", "PAYEE_CARD_INFO_ERROR", "INST_PAY_UNABLE", "MEMO_REQUIRED_IN_TRANSFER_ERROR", "PAYEE_ACC_OCUPIED", "PERM_AML_NOT_REALNAME_REV", "REMARK_HAS_SENSITIVE_WORD", "ORDER_NOT_EXIST"}


class TestAnswers:
    @pytest.mark.parametrize(
        "body",
        [b"", b"[]", b"{}", b'{"b_response":{}}', b'{"a_response":1,"sign":"x"}', b'{"a_response":{},"a_response":{}}',
         b'{"a_response":{"x":NaN}}', b"\xff", b"[" * 90_000, b'{"a_response":{},"sign":1}'],
    )  # fmt: skip
    def test_what_is_no_answer_is_refused(self, body: bytes) -> None:
        with pytest.raises(ValueError):
            messages.read_answer(body, "a")

    def test_braces_in_a_text_do_not_end_the_object(self) -> None:
        text = '{"x":"}{\\"}","y":{"z":[1]}}'
        answer = messages.read_answer(f'{{ "sign" : "s" , "a_response" : {text} }}'.encode(), "a")
        assert (answer.signed.decode(), answer.signature) == (text, "s")

    @pytest.mark.parametrize("moves_money", [True, False], ids=["request", "question"])
    def test_every_code_of_the_manual_has_a_meaning_and_any_other_is_seen(self, moves_money: bool) -> None:
        for code in GATEWAY_CODES:
            told = mapping.refused("n", {"code": code, "sub_code": "isv.whatever"}, moves_money=moves_money)
            assert told is not None and told.outcome is not Outcome.DONE
        assert {f"ACQ.{name}" for name in TRADE_CODES} | TRANSFER_CODES <= mapping._SUB_CODES.keys()
        for sub_code in mapping._SUB_CODES:
            answer = mapping.refused("n", {"code": "40004", "sub_code": sub_code}, moves_money=moves_money)
            assert answer is not None and answer.reason == sub_code.removeprefix("ACQ.")[:64]
            assert answer.outcome is not Outcome.DONE or sub_code == "ACQ.TRADE_HAS_SUCCESS"
        for inner in ({"code": "40004", "sub_code": "ACQ.PURPLE"}, {"code": "77"}, {}):
            with pytest.raises(mapping.UnknownWord):
                mapping.refused("n", inner, moves_money=True)

    @pytest.mark.parametrize(
        ("inner", "to_money", "to_question"),
        [
            ({"code": "20000", "sub_code": "isp.unknow-error"}, Outcome.MAYBE, Outcome.MAYBE),
            ({"code": "40005", "sub_code": "isv.app-call-limited"}, Outcome.MAYBE, Outcome.MAYBE),
            ({"code": "40002", "sub_code": "isv.invalid-signature"}, Outcome.REJECTED, Outcome.MAYBE),
            ({"code": "40004", "sub_code": "ACQ.SYSTEM_ERROR"}, Outcome.MAYBE, Outcome.MAYBE),
            ({"code": "40004", "sub_code": "isp.anything"}, Outcome.MAYBE, Outcome.MAYBE),
            ({"code": "40004", "sub_code": "ACQ.CONTEXT_INCONSISTENT"}, Outcome.MAYBE, Outcome.MAYBE),
            ({"code": "40004", "sub_code": "ACQ.TRADE_NOT_EXIST"}, Outcome.NOT_FOUND, Outcome.NOT_FOUND),
            ({"code": "40004", "sub_code": "ACQ.SELLER_BALANCE_NOT_ENOUGH"}, Outcome.MAYBE, Outcome.MAYBE),
        ],
    )
    def test_trouble_is_never_taken_for_an_end(
        self, inner: dict[str, str], to_money: Outcome, to_question: Outcome
    ) -> None:
        for moves_money, expected in ((True, to_money), (False, to_question)):
            answer = mapping.refused("n", inner, moves_money=moves_money)
            assert answer is not None and answer.outcome is expected

    def test_a_closed_trade_was_paid_where_it_says_when(self) -> None:
        paid = {"trade_status": "TRADE_CLOSED", "total_amount": "1.00", "send_pay_date": "2026-11-24 10:00:00"}
        assert mapping.trade("n", paid, "m1").outcome is Outcome.DONE
        assert mapping.trade("n", {"trade_status": "TRADE_CLOSED"}, "m1").outcome is Outcome.CLOSED
        finished = mapping.trade("n", {"trade_status": "TRADE_FINISHED", "total_amount": "1.00"}, "m1")
        assert (finished.outcome, finished.amount_minor) == (Outcome.DONE, 100)

    def test_success_without_a_refund_status_proves_no_refund(self) -> None:
        assert mapping.refund("r", {"code": "10000"}, "m1").outcome is Outcome.NOT_FOUND

    def test_a_transfer_that_came_back_is_a_no(self) -> None:
        answer = mapping.payout("p", {"status": "REFUND", "trans_amount": "5.00"}, "m1")
        assert (answer.outcome, answer.reason, answer.fault) == (Outcome.REJECTED, "RETURNED", Fault.PAYER)

    @pytest.mark.parametrize("text", ["1,00", "1.000", "", "1e3", "١", None, 1, "--1", "0x1"])
    def test_an_amount_is_read_exactly_or_not_at_all(self, text: Any) -> None:
        with pytest.raises(ValueError):
            messages.fen(text)

    @given(st.integers(-(10**12), 10**12))
    def test_amounts_come_back_to_the_fen(self, fen: int) -> None:
        text = f"-{messages.yuan(-fen)}" if fen < 0 else messages.yuan(fen)
        assert messages.fen(text) == fen


def notice(merchant_no: str = "m1", *, key: str = "alipay_key", **fields: str) -> bytes:
    hub, own = make_keys(merchant_no)
    said = {"notify_id": "N1", "app_id": hub["app_id"], "sign_type": "RSA2", "charset": "utf-8"} | fields
    return urlencode(said | {"sign": signed(own[key], said)}).encode()


TRADE = {
    "notify_type": "trade_status_sync", "out_trade_no": "n1", "trade_no": "T1", "seller_id": "m1",
    "trade_status": "TRADE_SUCCESS", "total_amount": "100.00", "gmt_payment": "2026-11-24 10:00:00",
}  # fmt: skip


@cache
def reader() -> AlipayCallbacks:
    return AlipayCallbacks(config())


class TestCallbacks:
    def read(self, body: bytes) -> Any:
        return reader().read(headers={}, body=body, now_ms=NOW_MS)

    def test_a_refund_is_evidence_about_the_refund_alone(self) -> None:
        refund = {"out_biz_no": "r1", "gmt_refund": "2026-11-24 11:00:00.000", "trade_status": "TRADE_CLOSED"}
        said = self.read(notice(**TRADE | refund | {"refund_fee": "100.00"})).evidence
        assert (said.attempt_no, said.refund_no, said.outcome, said.source) == (
            "n1",
            "r1",
            Outcome.DONE,
            Source.CALLBACK,
        )
        assert said.amount_minor == 0, "what it says is the sum of all refunds"

    def test_a_trade_that_closed_unpaid_and_one_that_finished(self) -> None:
        closed = {**TRADE, "trade_status": "TRADE_CLOSED"}
        del closed["gmt_payment"]
        assert self.read(notice(**closed)).evidence.outcome is Outcome.CLOSED
        assert self.read(notice(**TRADE | {"trade_status": "TRADE_FINISHED"})).evidence.outcome is Outcome.DONE

    def test_payouts_and_agreements_are_told_too(self) -> None:
        content = json.dumps({"out_biz_no": "p1", "status": "REFUND", "trans_amount": "5.00", "order_id": "O1"})
        said = self.read(
            notice(msg_method="alipay.fund.trans.order.changed", version="1.1", biz_content=content)
        ).evidence
        assert (said.attempt_no, said.outcome, said.reason) == ("p1", Outcome.REJECTED, "RETURNED")
        signed_up = {"notify_type": "dut_user_sign", "external_agreement_no": "s1", "agreement_no": "A1",
                     "status": "NORMAL", "sign_time": "2026-11-24 10:00:00"}  # fmt: skip
        said = self.read(notice(**signed_up)).evidence
        assert (said.attempt_no, said.outcome, said.channel_txn_no) == ("s1", Outcome.DONE, "A1")

    @pytest.mark.parametrize(
        "body",
        [notice(key="stranger_key", **TRADE), notice("m2", **TRADE), notice(**TRADE | {"seller_id": "m2"}),
         notice(**TRADE) + b"&out_trade_no=n2", notice(**TRADE).replace(b"sign=", b"sig="), b"app_id=1", b"%ff"],
    )  # fmt: skip
    def test_whoever_else_signed_is_refused(self, body: bytes) -> None:
        with pytest.raises(CallbackRefused, match="SIGNATURE_INVALID"):
            self.read(body)

    def test_another_merchant_that_names_the_same_application_takes_no_callback_from_it(self) -> None:
        hub, _ = make_keys("m1")
        same = Given("m2", app_id=hub["app_id"])
        for accounts in ((Given("m1"), same), (same, Given("m1"))):
            read = AlipayCallbacks(config(*accounts)).read
            assert read(headers={}, body=notice(**TRADE), now_ms=NOW_MS).evidence.merchant_no == "m1"
            said = {"notify_id": "N2", "app_id": hub["app_id"], "sign_type": "RSA2", **TRADE}
            forged = urlencode(said | {"sign": signed(make_keys("m2")[1]["alipay_key"], said)}).encode()
            with pytest.raises(CallbackRefused, match="SIGNATURE_INVALID"):
                read(headers={}, body=forged, now_ms=NOW_MS)

    @pytest.mark.parametrize(
        "changes",
        [{"trade_status": "PURPLE"}, {"total_amount": "1e2"}, {"notify_type": "else"}, {"gmt_payment": "yesterday"},
         {"msg_method": "alipay.fund.trans.order.changed", "biz_content": "[" * 9_000}],
    )  # fmt: skip
    def test_what_is_signed_and_cannot_be_read_is_malformed(self, changes: dict[str, str]) -> None:
        with pytest.raises(CallbackRefused, match="MALFORMED"):
            self.read(notice(**TRADE | changes))

    @given(st.binary(max_size=300))
    @settings(max_examples=100)
    def test_garbage_is_refused_and_nothing_else_happens(self, body: bytes) -> None:
        with pytest.raises(CallbackRefused):
            self.read(body)

    @given(st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=8))
    @settings(max_examples=60)
    def test_whatever_is_signed_is_read_or_refused(self, fields: dict[str, str]) -> None:
        with suppress(CallbackRefused):
            self.read(notice(**TRADE | {k: v for k, v in fields.items() if k.isidentifier() and k != "key"}))
