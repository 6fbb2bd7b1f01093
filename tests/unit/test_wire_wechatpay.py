"""WeChat Pay's wire is as strict as the real one: what it lets in, what it says, and how it says it."""

import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.unit.sandbox_kit import hooked
from tests.unit.wire_kit import served

ORDER = "/v3/pay/transactions/native"
QUERY = "/v3/pay/transactions/out-trade-no"
FIELDS = ("mchid", "nonce_str", "timestamp", "serial_no", "signature")


class Merchant:
    """A merchant of WeChat Pay, as the manual has him."""

    def __init__(self, wires: dict[str, Any], http: httpx.AsyncClient, account: int = 0) -> None:
        kind = wires["kinds"]["wechatpay"]
        self.http, self.base_url = http, kind["base_url"]
        self.mchid, self.values = kind["accounts"][account]["merchant_no"], kind["accounts"][account]["values"]
        self.serial = self.values["platform_public_key_id"]
        self._key: Any = serialization.load_pem_private_key(self.values["mch_private_key"].encode(), None)

    async def control(self, method: str, *arguments: Any) -> Any:
        reply = await self.http.post(f"/control/{method}", json=arguments)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def authorization(self, method: str, target: str, body: str, *, order: tuple[str, ...] = FIELDS, **changes: str) -> str:
        said = {"mchid": self.mchid, "nonce_str": "n" * 32, "timestamp": str(int(time.time())),
                "serial_no": self.values["mch_serial_no"]} | changes  # fmt: skip
        message = f"{method}\n{target}\n{said['timestamp']}\n{said['nonce_str']}\n{body}\n".encode()
        signature = base64.b64encode(self._key.sign(message, padding.PKCS1v15(), hashes.SHA256())).decode()
        said = {"signature": signature} | said
        return "WECHATPAY2-SHA256-RSA2048 " + ",".join(f'{name}="{said[name]}"' for name in order)

    async def send(self, method: str, target: str, item: Any = None, *, headers: dict[str, str] | None = None,
                   authorization: str = "") -> httpx.Response:  # fmt: skip
        body = json.dumps(item) if item is not None else ""
        sent = {"accept": "application/json", "content-type": "application/json", "wechatpay-serial": self.serial,
                "authorization": authorization or self.authorization(method, target, body)} | (headers or {})  # fmt: skip
        reply = await self.http.request(method, self.base_url + target, content=body, headers=sent)
        if reply.headers["content-type"].startswith("application/json"):
            self.verify(reply.headers, reply.content)
        return reply

    async def ask(self, method: str, target: str, item: Any = None) -> tuple[int, dict[str, Any]]:
        reply = await self.send(method, target, item)
        return reply.status_code, reply.json() if reply.content else {}

    async def code(self, method: str, target: str, item: Any = None) -> str:
        return str((await self.ask(method, target, item))[1].get("code", ""))

    def verify(self, headers: Any, body: bytes) -> None:
        serial = headers["wechatpay-serial"]
        if serial == self.values["platform_public_key_id"]:
            key: Any = serialization.load_pem_public_key(self.values["platform_public_key"].encode())
        else:
            certificate = x509.load_pem_x509_certificate(self.values["platform_certs"].encode())
            assert f"{certificate.serial_number:X}" == serial
            key = certificate.public_key()
        message = f"{headers['wechatpay-timestamp']}\n{headers['wechatpay-nonce']}\n".encode() + body + b"\n"
        key.verify(base64.b64decode(headers["wechatpay-signature"]), message, padding.PKCS1v15(), hashes.SHA256())
        assert headers["wechatpay-signature-type"] == "WECHATPAY2-SHA256-RSA2048"
        assert headers["request-id"]

    def order(self, number: str = "order0001", **changes: Any) -> dict[str, Any]:
        return {
            "appid": self.values["appid"], "mchid": self.mchid, "description": "车险保费", "out_trade_no": number,
            "notify_url": "http://127.0.0.1:9/callbacks", "amount": {"total": 10_000, "currency": "CNY"},
        } | changes  # fmt: skip


@asynccontextmanager
async def merchant(directory: Path) -> AsyncIterator[Merchant]:
    async with served(directory) as (wires, http):
        yield Merchant(wires, http)


async def test_a_signature_lets_in_and_each_part_of_it_counts(tmp_path: Path) -> None:
    async with merchant(tmp_path) as m:
        target = f"{QUERY}/order0001?mchid={m.mchid}"
        sign: Callable[..., str] = lambda **changes: m.authorization("GET", target, "", **changes)  # noqa: E731
        stale = str(int(time.time()) - 301)
        wrong = {
            "another body": m.authorization("GET", target, "x"),
            "another path": m.authorization("GET", f"{target}&x=1", ""),
            "another method": m.authorization("POST", target, ""),
            "another time": sign(timestamp=stale),
            "no time": sign(timestamp="now"),
            "another serial number": sign(serial_no="ABC"),
            "an unknown merchant": sign(mchid="1999999999"),
            "a part too little": sign(order=FIELDS[:-1]),
            "a part twice": sign(order=(*FIELDS, "mchid")),
            "another scheme": sign().replace("WECHATPAY2-SHA256-RSA2048", "Bearer"),
            "nothing": "-",
        }
        for what, authorization in wrong.items():
            reply = await m.send("GET", target, authorization=authorization)
            assert (reply.status_code, reply.json()["code"]) == (401, "SIGN_ERROR"), what
        for order in (FIELDS, tuple(reversed(FIELDS))):
            reply = await m.send("GET", target, authorization=sign(order=order))
            assert reply.status_code == 404, "known, and without such an order"


async def test_headers_and_bodies_have_a_form(tmp_path: Path) -> None:
    async with merchant(tmp_path) as m:
        assert (await m.send("POST", ORDER, m.order(), headers={"accept": "text/html"})).status_code == 406
        assert (await m.send("POST", ORDER, m.order(), headers={"content-type": "text/plain"})).status_code == 415
        assert (await m.send("POST", ORDER, [1])).status_code == 400
        wrong: dict[str, Any] = {
            "out_trade_no": "short", "description": "", "notify_url": "https://shop/?a=b", "amount": {"total": 0},
            "time_expire": "tomorrow", "attach": "x" * 129,
        }  # fmt: skip
        for name, value in wrong.items():
            code, said = await m.ask("POST", ORDER, m.order() | {name: value})
            assert (code, said["code"]) == (400, "PARAM_ERROR"), name
        assert await m.code("POST", ORDER, m.order(appid="wx0")) == "APPID_MCHID_NOT_MATCH"
        assert await m.code("POST", ORDER, m.order(mchid="1900000110")) == "PARAM_ERROR"
        assert await m.code("GET", f"{QUERY}/order0001?mchid=1900000110") == "PARAM_ERROR"
        assert await m.code("POST", ORDER.replace("native", "jsapi"), m.order()) == "PARAM_ERROR", "without a payer"
        assert await m.code("POST", ORDER.replace("native", "h5"), m.order()) == "PARAM_ERROR", "without a scene"


async def test_the_same_order_again_is_the_same_and_another_is_refused(tmp_path: Path) -> None:
    async with merchant(tmp_path) as m:
        assert (await m.ask("POST", ORDER, m.order()))[0] == 200
        assert (await m.ask("POST", ORDER, m.order()))[0] == 200
        for changes in ({"amount": {"total": 1, "currency": "CNY"}}, {"description": "别的"}):
            code, said = await m.ask("POST", ORDER, m.order(**changes))
            assert (code, said["code"]) == (400, "INVALID_REQUEST")
            assert "重入" in said["message"]
        reply = await m.send("POST", f"{QUERY}/order0001/close", {"mchid": m.mchid})
        assert (reply.status_code, reply.content) == (204, b"")
        m.verify(reply.headers, b"")
        assert await m.code("POST", ORDER, m.order()) == "ORDER_CLOSED"


async def test_a_payer_pays_on_the_page_and_another_merchant_sees_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as (wires, http):
        m, other = Merchant(wires, http), Merchant(wires, http, account=1)
        _, said = await m.ask("POST", ORDER, m.order())
        page = (await http.get(said["code_url"])).text
        assert "100.00" in page
        await http.post(said["code_url"], data={"act": "pay"})
        _, trade = await m.ask("GET", f"{QUERY}/order0001?mchid={m.mchid}")
        assert (trade["trade_state"], trade["amount"]["payer_total"], trade["trade_type"]) == ("SUCCESS", 10_000, "NATIVE")
        by_id = await m.ask("GET", f"/v3/pay/transactions/id/{trade['transaction_id']}?mchid={m.mchid}")
        assert by_id == (200, trade)
        assert await other.code("GET", f"{QUERY}/order0001?mchid={other.mchid}") == "ORDER_NOT_EXIST"
        assert await m.code("POST", f"{QUERY}/order0001/close", {"mchid": m.mchid}) == "ORDERPAID"
        assert await m.code("POST", ORDER, m.order()) == "ORDERPAID"


async def test_refunds_keep_to_what_was_paid_and_to_a_year(tmp_path: Path) -> None:
    async with merchant(tmp_path) as m:
        await m.ask("POST", ORDER, m.order())
        refund = {"out_trade_no": "order0001", "out_refund_no": "r1",
                  "amount": {"refund": 6_000, "total": 10_000, "currency": "CNY"}}  # fmt: skip
        path = "/v3/refund/domestic/refunds"
        assert await m.code("POST", path, refund) == "INVALID_REQUEST", "not paid yet"
        await m.control("advance", 60)
        wrong = refund | {"amount": {"refund": 6_000, "total": 9_999, "currency": "CNY"}}
        assert await m.code("POST", path, wrong) == "INVALID_REQUEST"
        for _ in range(2):
            assert (await m.ask("POST", path, refund))[1]["status"] == "PROCESSING"
        assert await m.code("POST", path, refund | {"amount": {"refund": 1, "total": 10_000, "currency": "CNY"}}) == "INVALID_REQUEST"
        assert await m.code("POST", path, refund | {"out_refund_no": "r2"}) == "INVALID_REQUEST", "beyond the rest"
        assert (await m.ask("GET", f"{QUERY}/order0001?mchid={m.mchid}"))[1]["trade_state"] == "REFUND"
        await m.control("advance", 60)
        assert (await m.ask("GET", f"{path}/r1"))[1]["status"] == "SUCCESS"
        await m.control("advance", 366 * 86_400)
        late = refund | {"out_refund_no": "r3", "amount": {"refund": 1, "total": 10_000, "currency": "CNY"}}
        assert await m.code("POST", path, late) == "INVALID_REQUEST"
        assert await m.code("POST", path, late | {"out_trade_no": "order0009"}) == "RESOURCE_NOT_EXISTS"


async def test_callbacks_are_sealed_signed_and_repeated(tmp_path: Path) -> None:
    async with merchant(tmp_path) as m, hooked() as hook:
        hook.status = 401
        await m.control("inject", {"channel_id": "wechatpay", "kind": "CALLBACK_PROBE_SIGNATURE"})
        await m.ask("POST", ORDER, m.order(notify_url=hook.url))
        await m.control("advance", 60)
        probe, (headers, body), *_ = hook.heard
        assert probe.headers["wechatpay-signature"].startswith("WECHATPAY/SIGNTEST/")
        m.verify(headers, body)
        envelope = json.loads(body)
        resource = envelope["resource"]
        assert (envelope["event_type"], resource["original_type"]) == ("TRANSACTION.SUCCESS", "transaction")
        key = AESGCM(m.values["apiv3_key"].encode())
        opened = key.decrypt(
            resource["nonce"].encode(), base64.b64decode(resource["ciphertext"]), resource["associated_data"].encode()
        )
        assert json.loads(opened)["amount"]["total"] == 10_000
        assert envelope["id"] == probe.notice["id"], "the same at each repeat"


async def test_the_key_that_answers_is_the_one_that_is_named(tmp_path: Path) -> None:
    async with merchant(tmp_path) as m:
        certificate = x509.load_pem_x509_certificate(m.values["platform_certs"].encode())
        m.serial = ""
        reply = await m.send("GET", "/v3/certificates")
        assert reply.headers["wechatpay-serial"] == f"{certificate.serial_number:X}"
        offered = [each["serial_no"] for each in reply.json()["data"]]
        assert len(set(offered)) == 2
        assert f"{certificate.serial_number:X}" in offered


async def test_a_statement_is_offered_for_five_minutes_to_whom_it_belongs(tmp_path: Path) -> None:
    async with served(tmp_path) as (wires, http):
        m, other = Merchant(wires, http), Merchant(wires, http, account=1)
        await m.ask("POST", ORDER, m.order())
        await m.control("advance", 60)
        day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 28_860))
        path = f"/v3/bill/tradebill?bill_date={day}&bill_type=ALL"
        assert await m.code("GET", path) == "INVALID_REQUEST", "the day is not over"
        await m.control("advance", 86_400)
        _, said = await m.ask("GET", path)
        assert await other.code("GET", path) == "NO_STATEMENT_EXIST"
        target = said["download_url"].removeprefix(m.base_url)
        assert (await other.ask("GET", target))[0] == 403
        reply = await m.send("GET", target)
        assert "wechatpay-signature" not in reply.headers
        assert reply.content.startswith("\ufeff交易时间".encode())
        assert (await m.ask("GET", f"{target}x"))[0] == 403
        assert await m.code("GET", path.replace(day, "2020-01-01")) == "INVALID_REQUEST"


async def test_an_account_that_is_limited_says_so(tmp_path: Path) -> None:
    async with merchant(tmp_path) as m:
        await m.control("configure", {"channel_id": "wechatpay", "rate_limit_per_s": 2})
        codes = [await m.code("GET", f"{QUERY}/order000{index}?mchid={m.mchid}") for index in range(6)]
        assert "FREQUENCY_LIMITED" in codes
