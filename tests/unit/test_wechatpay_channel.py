"""The WeChat Pay channel's own words: the mapping is total over the manual's codes, and nothing is guessed."""

import base64
import datetime
import gzip
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from channels.http import Lost, Reply
from channels.port import (
    Answer,
    Bill,
    BillKind,
    BillRequest,
    Charge,
    DebitRequest,
    Lookup,
    MandateLookup,
    Payee,
    PayeeKind,
    PayoutRequest,
    RefundRequest,
    Share,
    SignRequest,
    SplitRequest,
)
from channels.wechatpay import mapping, messages
from channels.wechatpay.client import WechatpayChannel
from domain.evidence import Fault, Outcome
from tests.unit import wechatpay_kit as kit
from tests.unit.wechatpay_kit import MCHID, NOW_MS, Platform, reply

# Every code that the manual lists for what we ask.
MANUAL = ["PARAM_ERROR", "INVALID_REQUEST", "APPID_MCHID_NOT_MATCH", "MCH_NOT_EXISTS", "ORDERPAID", "ORDER_CLOSED", "OUT_TRADE_NO_USED", "NO_STATEMENT_EXIST", "STATEMENT_CREATING", "ALREADY_EXISTS", "SIGN_ERROR", "NO_AUTH", "NOT_ENOUGH", "RULE_LIMIT", "TRADE_ERROR", "USER_ACCOUNT_ABNORMAL", "ACCOUNT_ERROR", "ORDER_NOT_EXIST", "RESOURCE_NOT_EXISTS", "USER_NOT_EXISTS", "FREQUENCY_LIMITED", "RATELIMIT_EXCEEDED", "SYSTEM_ERROR", "BANK_ERROR"]
TRADE_STATES = ["NOTPAY", "SUCCESS", "REFUND", "CLOSED", "REVOKED", "USERPAYING", "PAYERROR", "ACCEPT", "PAY_FAIL"]
MOVES = pytest.mark.parametrize("moves_money", [True, False], ids=["request", "question"])


def charge(**changes: Any) -> Charge:
    usual = Charge("n1000001", MCHID, 10_000, "CNY", "o1", "车险保费", "o-payer", NOW_MS + 900_000, "https://p/callbacks/wx")
    return usual._replace(**changes)


class TestMapping:
    @MOVES
    @pytest.mark.parametrize("code", MANUAL)
    def test_every_code_of_the_manual_is_known(self, code: str, moves_money: bool) -> None:
        answer = mapping.refused("n1", {"code": code}, moves_money=moves_money)
        assert answer.reason == code
        assert answer.outcome is not Outcome.DONE

    @given(st.text())
    def test_an_unknown_code_may_mean_anything(self, code: str) -> None:
        for moves_money in (True, False):
            answer = mapping.refused("n1", {"code": code}, moves_money=moves_money)
            if code not in mapping.CODES:
                assert answer == Answer("n1", Outcome.MAYBE, "UNKNOWN_WORD", Fault.CHANNEL, word=code[:64])

    @pytest.mark.parametrize("code", [code for code in MANUAL if code not in ("ORDER_CLOSED", "ORDER_NOT_EXIST")])
    def test_a_refused_question_says_nothing_about_the_money(self, code: str) -> None:
        outcome = mapping.refused("n1", {"code": code}, moves_money=False).outcome
        assert outcome in (Outcome.MAYBE, Outcome.NOT_FOUND)

    @pytest.mark.parametrize("code", ["SYSTEM_ERROR", "BANK_ERROR", "FREQUENCY_LIMITED", "RATELIMIT_EXCEEDED"])
    @MOVES
    def test_a_channel_in_trouble_may_have_done_it(self, code: str, moves_money: bool) -> None:
        answer = mapping.refused("n1", {"code": code}, moves_money=moves_money)
        assert (answer.outcome, answer.fault) == (Outcome.MAYBE, Fault.CHANNEL)

    @pytest.mark.parametrize("message", ["请求重入时，参数与首次请求时不一致", "单号已存在但信息不一致，请查单后比较确认"])
    def test_a_number_that_is_taken_means_that_an_earlier_send_arrived(self, message: str) -> None:
        item = {"code": "INVALID_REQUEST", "message": message}
        assert mapping.refused("n1", item, moves_money=True).outcome is Outcome.MAYBE
        assert mapping.refused("n1", {"code": "OUT_TRADE_NO_USED"}, moves_money=True).outcome is Outcome.MAYBE

    def test_a_broken_rule_is_a_no_except_for_payouts(self) -> None:
        item = {"code": "INVALID_REQUEST", "message": "申请退款金额超过订单可退金额"}
        assert mapping.refused("n1", item, moves_money=True).outcome is Outcome.REJECTED
        assert mapping.refused("n1", item, moves_money=True, careful=True).outcome is Outcome.MAYBE

    def test_an_empty_account_of_ours_is_asked_again(self) -> None:
        answer = mapping.refused("r1", {"code": "NOT_ENOUGH"}, moves_money=True)
        assert (answer.outcome, answer.fault) == (Outcome.MAYBE, Fault.CONFIG)

    def test_every_state_of_a_trade_is_known(self) -> None:
        assert set(TRADE_STATES) == mapping.TRADES.keys()
        done = {state for state in TRADE_STATES if mapping.trade("n1000001", kit.trade(trade_state=state)).outcome is Outcome.DONE}
        assert done == {"SUCCESS", "REFUND"}, "a refunded trade was paid"

    @given(st.text())
    def test_only_two_words_are_money(self, word: str) -> None:
        item = kit.trade(trade_state=word or "?")
        assert (mapping.trade("n1000001", item).outcome is Outcome.DONE) == (word in ("SUCCESS", "REFUND"))

    def test_an_answer_about_another_number_proves_nothing(self) -> None:
        assert mapping.trade("n1000002", kit.trade()).outcome is Outcome.MAYBE

    def test_a_refund_is_done_by_a_question_alone(self) -> None:
        item = {"out_refund_no": "r1", "status": "SUCCESS", "refund_id": "R1", "amount": {"refund": 5, "currency": "CNY"}}
        assert mapping.refund_promised("r1", item).outcome is Outcome.ACCEPTED
        assert mapping.refund("r1", item).outcome is Outcome.DONE

    @pytest.mark.parametrize(
        ("results", "outcome", "got"),
        [
            (["SUCCESS", "SUCCESS"], Outcome.DONE, 30),
            (["SUCCESS", "CLOSED"], Outcome.DONE, 10),
            (["SUCCESS", "PENDING"], Outcome.ACCEPTED, 10),
            (["CLOSED", "CLOSED"], Outcome.REJECTED, 0),
            (["SUCCESS", "PURPLE"], Outcome.MAYBE, 0),
        ],
    )
    def test_a_split_is_done_when_every_part_is(self, results: list[str], outcome: Outcome, got: int) -> None:
        receivers = [{"account": f"o{i}", "amount": 10 + 10 * i, "result": word} for i, word in enumerate(results)]
        receivers.append({"account": MCHID, "amount": 60, "result": "SUCCESS"})
        item = {"out_order_no": "s1", "order_id": "O1", "state": "FINISHED", "receivers": receivers}
        answer = mapping.split("s1", item, mchid=MCHID)
        assert (answer.outcome, answer.amount_minor) == (outcome, got)


class TestMessages:
    @pytest.mark.parametrize(("name", "shown"), [("李", "李"), ("李明", "*明"), ("欧阳锋锋", "***锋"), ("John Smith", "***h"), ("", "")])
    def test_a_name_is_masked(self, name: str, shown: str) -> None:
        assert messages.masked(name) == shown

    @given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "replace")))
    def test_a_body_may_be_any_bytes(self, body: bytes) -> None:
        try:
            item = messages.read(body)
        except ValueError:
            return
        assert isinstance(item, dict)

    def test_a_year_of_debits_is_planned(self) -> None:
        request = SignRequest("a1", MCHID, "o1", "李明", "寿险", "https://p/c", limit_minor=9_900, period_days=30,
                              first_debit_date="2026-12-01")  # fmt: skip
        body = json.loads(messages.sign(request, kit.config().merchants[MCHID]).body)
        periods = body["policy_periods"]
        assert [period["policy_period_id"] for period in periods] == list(range(1, 13))
        assert (periods[1]["estimated_deduct_date"], periods[1]["estimated_deduct_amount"]["total"]) == ("2026-12-31", 9_900)
        assert (body["policy_start_date"], body["policy_end_date"]) == ("2026-12-01", "2027-11-25")


class Bench:
    """A channel on a platform that answers from a list."""

    def __init__(self, *replies: Reply | Lost, accounts: tuple[kit.Account, ...] = (), **settings: Any) -> None:
        self.platform = Platform(*replies)
        config = kit.config(*accounts, base_url="https://wx.example", **settings)
        self.channel = WechatpayChannel(config, self.platform, clock_ms=lambda: NOW_MS)  # type: ignore[arg-type]

    async def ask(self, operation: str, request: Any) -> Any:
        answers: AsyncIterator[list[Any]] = getattr(self.channel, operation)([request])
        (answer,) = [answer async for batch in answers for answer in batch]
        return answer

    def body(self, place: int = -1) -> dict[str, Any]:
        sent: dict[str, Any] = json.loads(self.platform.sent[place][3])
        return sent

    def targets(self) -> list[str]:
        return [url.removeprefix("https://wx.example") for _, url, _, _ in self.platform.sent]


class TestCharges:
    async def test_a_payer_before_a_screen_scans(self) -> None:
        bench = Bench(reply({"code_url": "weixin://wxpay/bizpayurl?pr=1"}))
        answer = await bench.ask("charge", charge(terminal="PC"))
        assert (answer.outcome, answer.action_kind, answer.action_value) == (
            Outcome.ACCEPTED, "QR_CODE", "weixin://wxpay/bizpayurl?pr=1",
        )  # fmt: skip
        body = bench.body()
        assert bench.targets() == ["/v3/pay/transactions/native"]
        assert (body["mchid"], body["out_trade_no"], body["amount"]) == (MCHID, "n1000001", {"total": 10_000, "currency": "CNY"})
        assert body["time_expire"] == "2025-01-01T11:08:20+08:00"
        assert body["attach"] == charge().order_no

    async def test_a_payer_in_wechat_gets_a_signed_script(self) -> None:
        bench = Bench(reply({"prepay_id": "wx201410272009395522657a690389285100"}))
        answer = await bench.ask("charge", charge(terminal="WECHAT_OA"))
        said = json.loads(answer.action_value)
        assert answer.action_kind == "JSAPI"
        assert bench.body()["payer"] == {"openid": "o-payer"}
        message = f"{said['appId']}\n{said['timeStamp']}\n{said['nonceStr']}\n{said['package']}\n".encode()
        signature = base64.b64decode(said["paySign"])
        kit.key("merchant").public_key().verify(signature, message, padding.PKCS1v15(), hashes.SHA256())

    async def test_a_payer_in_an_app_gets_signed_parameters(self) -> None:
        bench = Bench(reply({"prepay_id": "wx2014"}))
        answer = await bench.ask("charge", charge(terminal="APP"))
        said = json.loads(answer.action_value)
        assert (answer.action_kind, said["partnerid"], said["package"]) == ("APP", MCHID, "Sign=WXPay")
        message = f"{said['appid']}\n{said['timestamp']}\n{said['noncestr']}\n{said['prepayid']}\n".encode()
        signature = base64.b64decode(said["sign"])
        kit.key("merchant").public_key().verify(signature, message, padding.PKCS1v15(), hashes.SHA256())

    async def test_a_payer_in_a_browser_of_a_phone_is_sent_there_and_back(self) -> None:
        bench = Bench(reply({"h5_url": "https://wx.tenpay.com/x?prepay_id=1"}))
        answer = await bench.ask("charge", charge(terminal="H5", return_url="https://shop/a?b=c"))
        assert answer.action_kind == "REDIRECT"
        assert parse_qs(urlsplit(answer.action_value).query)["redirect_url"] == ["https://shop/a?b=c"]
        assert bench.body()["scene_info"]["h5_info"] == {"type": "Wap"}

    async def test_without_an_openid_nothing_is_sent(self) -> None:
        bench = Bench()
        answer = await bench.ask("charge", charge(terminal="WECHAT_OA", payer_ref=""))
        assert (answer.outcome, answer.fault) == (Outcome.NOT_SENT, Fault.CONFIG)

    @pytest.mark.parametrize("operation", ["charge", "close"])
    async def test_what_is_paid_already_is_asked_about(self, operation: str) -> None:
        bench = Bench(reply({"code": "ORDERPAID", "message": "订单已支付"}, 400), reply(kit.trade()))
        answer = await bench.ask(operation, charge() if operation == "charge" else Lookup("n1000001", MCHID))
        assert (answer.outcome, answer.amount_minor, answer.merchant_no) == (Outcome.DONE, 10_000, MCHID)
        assert bench.targets()[1] == f"/v3/pay/transactions/out-trade-no/n1000001?mchid={MCHID}"

    async def test_a_close_is_answered_by_nothing_that_is_signed(self) -> None:
        assert (await Bench(reply(None, 204)).ask("close", Lookup("n1000001", MCHID))).outcome is Outcome.CLOSED

    async def test_a_merchant_whose_key_is_none_sends_nothing(self) -> None:
        bench = Bench(accounts=(kit.Account(MCHID, kit.key_mode() | {"mch_private_key": "no key"}),))
        answer = await bench.ask("charge", charge())
        assert (answer.outcome, answer.reason) == (Outcome.NOT_SENT, "SECRET_MISSING")


class TestAnswers:
    @pytest.mark.parametrize(
        ("given_reply", "reason"),
        [
            (reply(kit.trade(), name="stranger"), "SIGNATURE_INVALID"),
            (reply(kit.trade(), serial="PUB_KEY_ID_9"), "SIGNATURE_INVALID"),
            (reply(kit.trade(), time_s=NOW_MS // 1000 - 301), "STALE_TIMESTAMP"),
            (Reply(200, {}, json.dumps(kit.trade()).encode()), "SIGNATURE_INVALID"),
            (Reply(502, {}, b"<html>"), "HTTP_502"),
            (Reply(429, {}, b""), "HTTP_429"),
            (Reply(401, {}, b'{"code":"SIGN_ERROR"}'), "SIGNATURE_INVALID"),
            (reply([1]), "MALFORMED"),
            (reply(kit.trade(amount={"total": "100"})), "MALFORMED"),
            (reply(kit.trade(success_time="yesterday")), "MALFORMED"),
            (reply({}), "MALFORMED"),
            (Lost(Outcome.MAYBE, "TIMEOUT", Fault.CHANNEL), "TIMEOUT"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    async def test_what_is_not_proved_is_maybe(self, given_reply: Reply | Lost, reason: str) -> None:
        answer = await Bench(given_reply).ask("query", Lookup("n1000001", MCHID))
        assert (answer.outcome, answer.reason, answer.amount_minor) == (Outcome.MAYBE, reason, 0)

    async def test_a_signature_that_tests_us_is_refused(self) -> None:
        good = reply(kit.trade())
        probe = {**good.headers, "wechatpay-signature": "WECHATPAY/SIGNTEST/" + good.headers["wechatpay-signature"]}
        answer = await Bench(Reply(200, probe, good.body)).ask("query", Lookup("n1000001", MCHID))
        assert answer.reason == "SIGNATURE_INVALID"

    async def test_an_unknown_word_is_seen(self) -> None:
        for said, status in (({"code": "PURPLE"}, 400), (kit.trade(trade_state="PURPLE"), 200)):
            with capture_logs() as logs:
                answer = await Bench(reply(said, status)).ask("query", Lookup("n1000001", MCHID))
            assert answer.reason == "UNKNOWN_WORD"
            assert [entry["word"] for entry in logs if entry["log_level"] == "error"] == ["PURPLE"]


class TestCertificates:
    def offered(self, *names: str, signer: str, **sealing: Any) -> Reply:
        data = [
            {"serial_no": kit.certificate(name)[0],
             "encrypt_certificate": kit.sealed(kit.certificate(name)[1].encode(), associated_data="certificate", **sealing)}
            for name in names
        ]  # fmt: skip
        return reply({"data": data}, name=signer, serial=kit.certificate(signer)[0])

    def bench(self, *replies: Reply) -> Bench:
        return Bench(*replies, accounts=(kit.Account(MCHID, kit.certificate_mode("platform")),))

    async def test_a_new_certificate_is_fetched_once_and_believed(self) -> None:
        new = reply(kit.trade(), name="next", serial=kit.certificate("next")[0])
        bench = self.bench(new, self.offered("platform", "next", signer="next"), new)
        assert (await bench.ask("query", Lookup("n1000001", MCHID))).outcome is Outcome.DONE
        assert (await bench.ask("query", Lookup("n1000001", MCHID))).outcome is Outcome.DONE
        assert bench.targets().count("/v3/certificates") == 1

    async def test_a_serial_number_that_nobody_has_is_looked_for_once_a_minute(self) -> None:
        unknown = reply(kit.trade(), name="stranger", serial="ABCDEF")
        bench = self.bench(unknown, self.offered("platform", signer="platform"), unknown)
        for _ in range(2):
            assert (await bench.ask("query", Lookup("n1000001", MCHID))).reason == "SIGNATURE_INVALID"
        assert bench.targets().count("/v3/certificates") == 1

    async def test_a_certificate_that_was_not_encrypted_for_us_is_not_believed(self) -> None:
        new = reply(kit.trade(), name="next", serial=kit.certificate("next")[0])
        bench = self.bench(new, self.offered("next", signer="next", api_key="z" * 32))
        assert (await bench.ask("query", Lookup("n1000001", MCHID))).reason == "SIGNATURE_INVALID"

    async def test_certificates_that_their_own_key_did_not_sign_are_not_believed(self) -> None:
        offer = self.offered("next", signer="next")
        forged = Reply(200, kit.signed(offer.body, name="stranger", serial=kit.certificate("next")[0]), offer.body)
        new = reply(kit.trade(), name="next", serial=kit.certificate("next")[0])
        assert (await self.bench(new, forged).ask("query", Lookup("n1000001", MCHID))).reason == "SIGNATURE_INVALID"


class TestRefunds:
    async def test_what_was_paid_in_all_is_asked_where_it_is_not_known(self) -> None:
        said = {"out_refund_no": "r1", "refund_id": "R1", "status": "PROCESSING", "amount": {"refund": 400, "currency": "CNY"}}
        bench = Bench(reply(kit.trade()), reply(said))
        request = RefundRequest("r1", "n1000001", MCHID, 400, "CNY")
        assert (await bench.ask("refund", request)).outcome is Outcome.ACCEPTED
        assert bench.body()["amount"] == {"refund": 400, "total": 10_000, "currency": "CNY"}
        bench = Bench(reply(said))
        assert (await bench.ask("refund", request._replace(paid_minor=10_000))).outcome is Outcome.ACCEPTED

    @pytest.mark.parametrize(
        ("first", "outcome"),
        [
            (reply({"code": "ORDER_NOT_EXIST"}, 404), Outcome.REJECTED),
            (reply(kit.trade(trade_state="NOTPAY")), Outcome.REJECTED),
            (reply({"code": "SYSTEM_ERROR"}, 500), Outcome.NOT_SENT),
        ],
        ids=["unknown", "unpaid", "trouble"],
    )
    async def test_without_a_payment_nothing_is_sent(self, first: Reply, outcome: Outcome) -> None:
        bench = Bench(first)
        assert (await bench.ask("refund", RefundRequest("r1", "n1000001", MCHID, 400, "CNY"))).outcome is outcome
        assert len(bench.platform.sent) == 1


class TestPayouts:
    request = PayoutRequest("p1", MCHID, 200_000, "CNY", Payee(PayeeKind.USER, "o1", "李明"), "车险理赔")

    async def test_a_claim_is_reported_as_the_scene_wants_it(self) -> None:
        scenes = {"1004": {"保险产品备案编号": "C0001", "保险名称": "车险", "保险操作单号": "{payout_no}"}}
        said = {"out_bill_no": "p1", "transfer_bill_no": "B1", "state": "WAIT_USER_CONFIRM", "package_info": "affffddafd"}
        bench = Bench(reply(said), accounts=(kit.Account(MCHID, transfer_scenes=scenes),))
        answer = await bench.ask("payout", self.request)
        body = bench.body()
        assert body["transfer_scene_id"] == "1004"
        assert body["transfer_scene_report_infos"][2] == {"info_type": "保险操作单号", "info_content": "p1"}
        oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
        assert kit.key("platform").decrypt(base64.b64decode(body["user_name"]), oaep).decode() == "李明"
        assert bench.platform.sent[0][2]["wechatpay-serial"] == kit.KEY_ID
        assert (answer.outcome, answer.action_kind) == (Outcome.ACCEPTED, "JSAPI")
        assert json.loads(answer.action_value)["package"] == "affffddafd"

    async def test_the_name_for_a_few_fen_is_not_sent(self) -> None:
        bench = Bench(reply({"out_bill_no": "p1", "transfer_bill_no": "B1", "state": "SUCCESS"}))
        assert (await bench.ask("payout", self.request._replace(amount_minor=29))).outcome is Outcome.DONE
        assert "user_name" not in bench.body()

    async def test_a_bank_account_is_nothing_that_it_pays_to(self) -> None:
        payee = Payee(PayeeKind.BANK_ACCOUNT, "6222", "公司")
        assert (await Bench().ask("payout", self.request._replace(payee=payee))).outcome is Outcome.NOT_SENT


class TestMandates:
    request = DebitRequest("n1000001", MCHID, 9_900, "CNY", "o1", "寿险", "C1", "https://p/c", period_no=2)

    async def test_the_payer_is_told_first_and_nothing_is_asked_for(self) -> None:
        bench = Bench(
            reply({"policy_period_id": 2, "policy_period_state": "NO_SCHEDULED"}),
            reply({"policy_period_id": 2, "policy_period_state": "SCHEDULED", "deduct_start_date": "2025-01-02"}),
        )
        answer = await bench.ask("debit", self.request)
        assert (answer.outcome, answer.reason, answer.action_value) == (Outcome.NOT_SENT, "NOTICE_GIVEN", "2025-01-02")
        assert bench.targets()[1] == "/v3/papay/insurance-pay/policy-periods/contract-id/C1/policy-period-id/2/schedule"

    @pytest.mark.parametrize(
        ("first_day", "outcome", "calls"), [("2025-01-02", Outcome.NOT_SENT, 1), ("2025-01-01", Outcome.ACCEPTED, 2)]
    )
    async def test_the_debit_is_asked_for_when_its_day_has_come(self, first_day: str, outcome: Outcome, calls: int) -> None:
        period = {"policy_period_id": 2, "policy_period_state": "SCHEDULED", "deduct_start_date": first_day}
        bench = Bench(reply(period), reply({"out_trade_no": "n1000001", "amount": {"total": 9_900}}))
        assert (await bench.ask("debit", self.request)).outcome is outcome
        assert len(bench.platform.sent) == calls

    @pytest.mark.parametrize(
        ("clock", "state", "calls"),
        [("07:59", "NO_SCHEDULED", 1), ("19:30", "NO_SCHEDULED", 1), ("19:29", "NO_SCHEDULED", 2),
         ("20:00", "SCHEDULED", 1), ("19:59", "SCHEDULED", 2), ("08:00", "SCHEDULED", 2)],
    )  # fmt: skip
    async def test_nobody_is_woken(self, clock: str, state: str, calls: int) -> None:
        period = {"policy_period_id": 2, "policy_period_state": state, "deduct_start_date": "2025-01-01"}
        tomorrow = {"policy_period_id": 2, "policy_period_state": "SCHEDULED", "deduct_start_date": "2025-01-02"}
        bench = Bench(reply(period), reply(tomorrow if state == "NO_SCHEDULED" else {"out_trade_no": "n1000001"}))
        moment_ms = int(datetime.datetime.fromisoformat(f"2025-01-01T{clock}:00+08:00").timestamp()) * 1000
        bench.channel._clock_ms = lambda: moment_ms  # type: ignore[method-assign]
        bench.platform.replies = [Reply(r.status, kit.signed(r.body, time_s=moment_ms // 1000), r.body)
                                  for r in bench.platform.replies]  # type: ignore[union-attr]  # fmt: skip
        answer = await bench.ask("debit", self.request)
        assert len(bench.platform.sent) == calls
        assert (answer.reason == "ASLEEP") == (calls == 1)

    @pytest.mark.parametrize("replies", [
        (reply({"policy_period_id": 2, "policy_period_state": "EXPIRED", "deduct_start_date": "2024-01-01"}),),
        (reply({"code": "RESOURCE_NOT_EXISTS"}, 404),),
        (reply({"policy_period_state": "NO_SCHEDULED"}), reply({"code": "RULE_LIMIT"}, 403)),
    ], ids=["over", "no such period", "announcement refused"])  # fmt: skip
    async def test_a_debit_that_cannot_come_is_a_no(self, replies: tuple[Reply, ...]) -> None:
        assert (await Bench(*replies).ask("debit", self.request)).outcome is Outcome.REJECTED

    @pytest.mark.parametrize("trouble", [reply({"code": "SYSTEM_ERROR"}, 500), Lost(Outcome.MAYBE, "TIMEOUT", Fault.CHANNEL)],
                             ids=["trouble", "silence"])  # fmt: skip
    async def test_trouble_before_the_debit_moves_nothing(self, trouble: Reply | Lost) -> None:
        assert (await Bench(trouble).ask("debit", self.request)).outcome is Outcome.NOT_SENT

    @pytest.mark.parametrize(
        ("state", "outcome"),
        [("SIGNED", Outcome.DONE), ("TO_BE_RENEWED", Outcome.DONE), ("TERMINATED", Outcome.CLOSED),
         ("SIGN_FAILED", Outcome.REJECTED), ("TERMINATE_PENDING", Outcome.ACCEPTED), ("PURPLE", Outcome.MAYBE)],
    )  # fmt: skip
    async def test_a_mandate_stands_as_it_is_told(self, state: str, outcome: Outcome) -> None:
        said = {"mchid": MCHID, "out_contract_code": "a1", "contract_id": "C1", "contract_state": state}
        bench = Bench(reply(said))
        assert (await bench.ask("query_mandate", MandateLookup("a1", MCHID))).outcome is outcome
        assert bench.targets() == ["/v3/papay/insurance-sign/contracts/plan-id/12535/out-contract-code/a1"]

    async def test_a_plan_without_dates_is_not_asked_for(self) -> None:
        request = SignRequest("a1", MCHID, "o1", "李明", "寿险", "https://p/c")
        assert (await Bench().ask("sign", request)).reason == "PLAN_MISSING"


class TestSplits:
    request = SplitRequest("s1", "n1000001", "T1", MCHID, "CNY", (
        Share(Payee(PayeeKind.USER, "o1", "李明"), 10, "佣金"), Share(Payee(PayeeKind.USER, "1900000200", "代理公司"), 20, "佣金"),
    ))  # fmt: skip

    async def test_receivers_are_made_known_before_the_split(self) -> None:
        said = {"out_order_no": "s1", "order_id": "O1", "state": "PROCESSING"}
        bench = Bench(reply({"type": "PERSONAL_OPENID"}), reply({"type": "MERCHANT_ID"}), reply(said))
        assert (await bench.ask("split", self.request)).outcome is Outcome.ACCEPTED
        assert bench.targets() == ["/v3/profitsharing/receivers/add"] * 2 + ["/v3/profitsharing/orders"]
        assert [receiver["type"] for receiver in bench.body()["receivers"]] == ["PERSONAL_OPENID", "MERCHANT_ID"]
        assert bench.body()["unfreeze_unsplit"] is True

    async def test_without_receivers_all_becomes_ours(self) -> None:
        bench = Bench(reply({"out_order_no": "s1", "order_id": "O1", "state": "FINISHED"}))
        assert (await bench.ask("split", self.request._replace(shares=()))).outcome is Outcome.DONE
        assert bench.targets() == ["/v3/profitsharing/orders/unfreeze"]

    async def test_a_receiver_who_is_refused_stops_it_before_any_money_moves(self) -> None:
        bench = Bench(reply({"code": "PARAM_ERROR"}, 400))
        assert (await bench.ask("split", self.request)).outcome is Outcome.REJECTED
        bench = Bench(reply({"code": "SYSTEM_ERROR"}, 500))
        assert (await bench.ask("split", self.request)).outcome is Outcome.NOT_SENT


class TestStatements:
    content = "\ufeff交易时间\r\n".encode()

    async def fetch(self, *replies: Reply | Lost, url: str = "https://wx.example/v3/billdownload/file?token=x",
                    digest: str = "") -> Bill:  # fmt: skip
        said = {"hash_type": "SHA1", "hash_value": digest or hashlib.sha1(self.content).hexdigest(), "download_url": url}
        bench = Bench(reply(said), *replies)
        bench.channel._files = bench.platform  # type: ignore[assignment]
        bill: Bill = await bench.ask("download_bill", BillRequest(MCHID, BillKind.TRADE, "2025-01-01"))
        return bill

    @pytest.mark.parametrize("packed", [True, False])
    async def test_a_statement_is_unpacked_and_compared(self, packed: bool) -> None:
        body = gzip.compress(self.content, mtime=0) if packed else self.content
        bill = await self.fetch(Reply(200, {}, body))
        assert (bill.outcome, bill.content) == (Outcome.DONE, self.content)

    @pytest.mark.parametrize(
        "body", [b"", content + b"x", gzip.compress(content, mtime=0)[:-4], b"\x1f\x8bxx", gzip.compress(content + b"x", mtime=0)]
    )
    async def test_another_file_than_the_signed_answer_promised_is_refused(self, body: bytes) -> None:
        assert (await self.fetch(Reply(200, {}, body))).reason == "HASH_DIFFERS"

    @pytest.mark.parametrize(
        "url", ["https://evil.example/v3/billdownload/file", "https://wx.example.evil.example/v3/x", "https://wx.example@evil/v3/x"]
    )
    async def test_our_signature_is_sent_to_no_stranger(self, url: str) -> None:
        assert (await self.fetch(url=url)).reason == "HOST_UNKNOWN"

    @pytest.mark.parametrize(
        ("code", "outcome"), [("NO_STATEMENT_EXIST", Outcome.NOT_FOUND), ("STATEMENT_CREATING", Outcome.MAYBE)]
    )
    async def test_a_day_without_a_statement_is_told_from_one_that_is_not_ready(self, code: str, outcome: Outcome) -> None:
        bench = Bench(reply({"code": code, "message": "x"}, 400))
        bill = await bench.ask("download_bill", BillRequest(MCHID, BillKind.FUND, "2025-01-01"))
        assert (bill.outcome, bill.reason) == (outcome, code)
