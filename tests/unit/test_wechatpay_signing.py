"""Signatures and sealed texts of WeChat Pay, against published messages and against what is wrong in one way each."""

import base64
import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.port import CallbackRefused
from channels.wechatpay import signing
from channels.wechatpay.callbacks import WechatpayCallbacks
from channels.wechatpay.config import PlatformKey, platform_keys
from domain.evidence import Outcome, Source
from tests.unit import wechatpay_kit as kit
from tests.unit.wechatpay_kit import NOW_MS

VECTORS = Path(__file__).parent.parent / "vectors" / "wechatpay"
BODY = b'{"trade_state":"SUCCESS"}'


def platform_key() -> PlatformKey:
    return kit.config().merchants[kit.MCHID].seal


class TestPublishedMessages:
    def test_a_published_notice_is_verified_and_opened(self) -> None:
        vector = json.loads((VECTORS / "notify.json").read_text())
        certificate = x509.load_pem_x509_certificate(vector["cert"].encode())
        (key,) = platform_keys(vector["cert"])
        assert key.serial == vector["serial"] == f"{certificate.serial_number:X}"
        headers = {"wechatpay-timestamp": vector["timestamp"], "wechatpay-nonce": vector["nonce"],
                   "wechatpay-serial": vector["serial"], "wechatpay-signature": vector["signature"]}  # fmt: skip
        now_ms = int(vector["timestamp"]) * 1000
        assert signing.verified(headers, vector["body"].encode(), key, now_ms=now_ms)
        assert not signing.verified(headers, vector["body"].encode() + b" ", key, now_ms=now_ms)
        resource = json.loads(vector["body"])["resource"]
        sealed = {name: resource[name] for name in ("nonce", "associated_data", "ciphertext")}
        opened = signing.unseal([vector["apiv3_key"].encode()], **sealed)
        assert opened == vector["plaintext"].encode()

    def test_a_published_ciphertext_is_opened_and_another_key_opens_nothing(self) -> None:
        vector = json.loads((VECTORS / "aes_gcm.json").read_text())
        sealed = {"nonce": vector["nonce"], "associated_data": vector["aad"], "ciphertext": vector["ct"]}
        assert signing.unseal([b"x" * 32, vector["key"].encode()], **sealed) == vector["pt"].encode()
        assert signing.unseal([b"x" * 32], **sealed) is None


class TestRequests:
    def test_the_header_signs_what_is_sent(self) -> None:
        key = kit.key("merchant")
        header = signing.authorization(
            key, mchid="m1", serial_no="AB", method="POST", target="/v3/pay?x=1", body="{}", time_s=1, nonce="n"
        )
        fields = dict(re.findall(r'(\w+)="([^"]*)"', header))
        assert header.startswith("WECHATPAY2-SHA256-RSA2048 ")
        assert (fields["mchid"], fields["serial_no"], fields["timestamp"], fields["nonce_str"]) == ("m1", "AB", "1", "n")
        signature = base64.b64decode(fields["signature"])
        key.public_key().verify(signature, b"POST\n/v3/pay?x=1\n1\nn\n{}\n", padding.PKCS1v15(), hashes.SHA256())

    def test_names_are_sealed_for_the_platform_alone(self) -> None:
        sealed = base64.b64decode(signing.seal(platform_key().key, "李明"))
        oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
        assert kit.key("platform").decrypt(sealed, oaep).decode() == "李明"


class TestAnswers:
    def test_a_signed_answer_is_verified(self) -> None:
        assert signing.verified(kit.signed(BODY), BODY, platform_key(), now_ms=NOW_MS)
        assert signing.verified(kit.signed(b""), b"", platform_key(), now_ms=NOW_MS), "an empty one is signed too"

    def test_a_signature_that_tests_us_is_wrong(self) -> None:
        headers = kit.signed(BODY)
        for probe in ("WECHATPAY/SIGNTEST/" + headers["wechatpay-signature"], "WECHATPAY/SIGNTEST/"):
            headers["wechatpay-signature"] = probe
            assert not signing.verified(headers, BODY, platform_key(), now_ms=NOW_MS)

    @pytest.mark.parametrize("name", ["timestamp", "nonce", "signature", "signature-type"])
    @pytest.mark.parametrize("value", ["", "é", "1", "\ud800"])
    def test_every_header_counts(self, name: str, value: str) -> None:
        headers = kit.signed(BODY) | {f"wechatpay-{name}": value}
        assert not signing.verified(headers, BODY, platform_key(), now_ms=NOW_MS)

    def test_a_certificate_that_has_ended_verifies_nothing(self) -> None:
        serial, pem = kit.certificate("ended", begins=2020, ends=2024)
        (key,) = platform_keys(pem)
        headers = kit.signed(BODY, name="ended", serial=serial)
        assert not signing.verified(headers, BODY, key, now_ms=NOW_MS)
        assert signing.verified(headers, BODY, key, now_ms=key.not_after_ms - 1)

    @pytest.mark.parametrize(("age_s", "timely"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)])
    def test_the_window_is_five_minutes(self, age_s: int, timely: bool) -> None:
        headers = {"wechatpay-timestamp": str(NOW_MS // 1000 - age_s)}
        assert signing.is_timely(headers, now_ms=NOW_MS) is timely

    @given(st.text())
    def test_a_time_may_be_any_text(self, text: str) -> None:
        assert signing.is_timely({"wechatpay-timestamp": text}, now_ms=NOW_MS) in (True, False)

    @given(st.dictionaries(st.sampled_from(sorted(kit.signed(b""))), st.text()), st.binary())
    def test_headers_may_be_any_texts(self, headers: dict[str, str], body: bytes) -> None:
        assert not signing.verified(headers, body, platform_key(), now_ms=NOW_MS)

    @given(st.text(), st.text(), st.text())
    def test_what_is_sealed_may_be_any_text(self, nonce: str, associated_data: str, ciphertext: str) -> None:
        opened = signing.unseal([b"k" * 32], nonce=nonce, associated_data=associated_data, ciphertext=ciphertext)
        assert opened is None


class TestConfig:
    def test_the_newest_version_signs_and_all_verify(self) -> None:
        old, new = kit.certificate_mode("platform"), kit.key_mode() | {"mch_serial_no": "NEW", "apiv3_key": "c" * 32}
        merchant = kit.config(kit.Account(kit.MCHID, new, old)).merchants[kit.MCHID]
        assert (merchant.serial_no, merchant.seal.serial) == ("NEW", kit.KEY_ID)
        assert set(merchant.platform) == {kit.KEY_ID, kit.certificate("platform")[0]}
        assert merchant.api_keys == (b"c" * 32, kit.API_KEY.encode())

    def test_the_newest_certificate_seals(self) -> None:
        later = kit.certificate("later", begins=2025, ends=2030)
        values = kit.certificate_mode("platform") | {"platform_certs": kit.certificate("platform")[1] + later[1]}
        merchant = kit.config(kit.Account(kit.MCHID, values)).merchants[kit.MCHID]
        assert merchant.seal.serial == later[0]

    @pytest.mark.parametrize(
        "broken",
        [{"apiv3_key": "short"}, {"platform_public_key": "no key"}, {"platform_public_key_id": None},
         {"mch_private_key": None}, {"apiv3_key": None}, {"platform_public_key": None}],
        ids=str,
    )  # fmt: skip
    def test_a_broken_account_is_left_out_and_stops_no_other(self, broken: dict[str, str | None]) -> None:
        values = {name: value for name, value in (kit.key_mode() | broken).items() if value is not None}
        made = kit.config(kit.Account(kit.MCHID, values), kit.Account(kit.OTHER))
        assert set(made.merchants) == {kit.OTHER}

    def test_keys_are_not_shown(self) -> None:
        shown = repr(kit.config())
        assert "PRIVATE" not in shown
        assert kit.API_KEY not in shown


class TestCallbacks:
    def reader(self, *accounts: kit.Account) -> WechatpayCallbacks:
        return WechatpayCallbacks(kit.config(*accounts))

    def refusal(self, body: bytes, reader: WechatpayCallbacks | None = None, **signature: str) -> str:
        with pytest.raises(CallbackRefused) as refused:
            (reader or self.reader()).read(headers=kit.signed(body, **signature), body=body, now_ms=NOW_MS)
        return refused.value.reason

    def test_a_paid_charge_is_told(self) -> None:
        body = kit.callback(kit.trade())
        notice = self.reader().read(headers=kit.signed(body), body=body, now_ms=NOW_MS)
        said = notice.evidence
        assert notice.notify_id == "EV-2018022511223320873"
        assert (said.attempt_no, said.source, said.outcome) == ("n1000001", Source.CALLBACK, Outcome.DONE)
        assert (said.amount_minor, said.currency_code, said.merchant_no) == (10_000, "CNY", kit.MCHID)
        assert (said.channel_txn_no, said.success_time_ms) == ("T1", 1_735_696_800_000)

    @pytest.mark.parametrize(
        ("status", "outcome"), [("SUCCESS", Outcome.DONE), ("ABNORMAL", Outcome.REJECTED), ("CLOSED", Outcome.REJECTED)]
    )
    def test_the_end_of_a_refund_is_told(self, status: str, outcome: Outcome) -> None:
        plain = {"mchid": kit.MCHID, "out_trade_no": "n1000001", "transaction_id": "T1", "out_refund_no": "r1",
                 "refund_id": "R1", "refund_status": status, "success_time": "2025-01-01T10:00:00+08:00",
                 "amount": {"total": 10_000, "refund": 400, "payer_total": 10_000, "payer_refund": 400}}  # fmt: skip
        body = kit.callback(plain, event_type=f"REFUND.{status}", kind="refund")
        said = self.reader().read(headers=kit.signed(body), body=body, now_ms=NOW_MS).evidence
        assert (said.attempt_no, said.refund_no, said.outcome) == ("n1000001", "r1", outcome)
        assert (said.amount_minor, said.currency_code) == (400, "CNY")

    @pytest.mark.parametrize(
        ("state", "outcome"), [("SUCCESS", Outcome.DONE), ("FAIL", Outcome.REJECTED), ("CANCELLED", Outcome.CLOSED)]
    )
    def test_the_end_of_a_payout_is_told(self, state: str, outcome: Outcome) -> None:
        plain = {"out_bill_no": "p1", "transfer_bill_no": "B1", "state": state, "mch_id": kit.MCHID,
                 "transfer_amount": 200_000, "openid": "o1", "fail_reason": "ACCOUNT_FROZEN" if state == "FAIL" else None,
                 "update_time": "2025-01-01T10:00:00+08:00"}  # fmt: skip
        body = kit.callback(plain, event_type="MCHTRANSFER.BILL.FINISHED", kind="mch_payment")
        said = self.reader().read(headers=kit.signed(body), body=body, now_ms=NOW_MS).evidence
        assert (said.attempt_no, said.outcome, said.amount_minor) == ("p1", outcome, 200_000)

    @pytest.mark.parametrize(("state", "outcome"), [("SIGNED", Outcome.DONE), ("TERMINATED", Outcome.CLOSED)])
    def test_a_mandate_is_told(self, state: str, outcome: Outcome) -> None:
        plain = {"mchid": kit.MCHID, "contract_id": "C1", "out_contract_code": "a1", "contract_state": state}
        body = kit.callback(plain, event_type="INSURANCE_ENTRUST.SIGN", kind="insurance_entrust")
        said = self.reader().read(headers=kit.signed(body), body=body, now_ms=NOW_MS).evidence
        assert (said.attempt_no, said.channel_txn_no, said.outcome) == ("a1", "C1", outcome)

    def test_what_a_split_tells_of_one_receiver_is_no_end_of_it(self) -> None:
        plain = {"mchid": kit.MCHID, "transaction_id": "T1", "order_id": "O1", "out_order_no": "s1", "receiver": {}}
        body = kit.callback(plain, event_type="PROFITSHARING.SUCCESS", kind="profitsharing")
        assert self.reader().read(headers=kit.signed(body), body=body, now_ms=NOW_MS).evidence.outcome is Outcome.ACCEPTED

    def test_one_platform_key_for_two_merchants_keeps_them_apart(self) -> None:
        reader = self.reader(kit.Account(kit.MCHID), kit.Account(kit.OTHER))
        body = kit.callback(kit.trade(mchid=kit.OTHER), api_key=kit.OTHER_API_KEY)
        assert reader.read(headers=kit.signed(body), body=body, now_ms=NOW_MS).evidence.merchant_no == kit.OTHER
        stolen = kit.callback(kit.trade(mchid=kit.MCHID), api_key=kit.OTHER_API_KEY)
        assert self.refusal(stolen, reader) == "SIGNATURE_INVALID"

    def test_what_no_key_of_ours_opens_is_refused(self) -> None:
        assert self.refusal(kit.callback(kit.trade(), api_key="z" * 32)) == "SIGNATURE_INVALID"

    def test_both_sides_may_replace_their_keys_meanwhile(self) -> None:
        serial, pem = kit.certificate("next")
        new = kit.key_mode() | {"apiv3_key": "c" * 32, "platform_certs": pem}
        reader = self.reader(kit.Account(kit.MCHID, new, kit.key_mode()))
        for api_key in (kit.API_KEY, "c" * 32):
            body = kit.callback(kit.trade(), api_key=api_key)
            for signature in ({}, {"name": "next", "serial": serial}):
                assert reader.read(headers=kit.signed(body, **signature), body=body, now_ms=NOW_MS).evidence
        assert self.refusal(body, reader, name="stranger", serial=serial) == "SIGNATURE_INVALID"
        assert self.refusal(body, reader, name="next", serial="ABCDEF") == "SIGNATURE_INVALID"

    def test_an_event_of_no_kind_of_ours_is_not_acknowledged(self) -> None:
        body = kit.callback({"mchid": kit.MCHID, "echo": "x"}, event_type="SECURITY_ECHO.SUCCESS", kind="echo")
        assert self.refusal(body) == "MALFORMED"

    def test_an_unknown_word_proves_nothing(self) -> None:
        body = kit.callback(kit.trade(trade_state="PURPLE"))
        said = self.reader().read(headers=kit.signed(body), body=body, now_ms=NOW_MS).evidence
        assert (said.outcome, said.reason) == (Outcome.MAYBE, "UNKNOWN_WORD")

    @settings(max_examples=25)
    @given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(),
                        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
    def test_a_resource_may_hold_anything(self, value: object) -> None:
        reader = _READER
        for field in ("out_trade_no", "amount", "trade_state", "success_time", "mchid", "transaction_id"):
            body = kit.callback(kit.trade(**{field: value}))
            with suppress(CallbackRefused):
                reader.read(headers=kit.signed(body), body=body, now_ms=NOW_MS)


_READER = WechatpayCallbacks(kit.config())
