"""The platform's addresses: who asks, whether he may, what he asks, and the signed answer."""

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from urllib.parse import parse_qsl, unquote

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from simulator.codec import Flaw
from simulator.voice import Voice
from simulator.wire.accounts import Account
from simulator.wire.front import Endpoint, Front, Told, read_body
from simulator.wire.page import chosen, payer_page
from simulator.wire.wechatpay import contracts, methods, trades, transfers
from simulator.wire.wechatpay.bills import Statements
from simulator.wire.wechatpay.certificates import certificates
from simulator.wire.wechatpay.messages import Fields, Refusal, encode, read
from simulator.wire.wechatpay.methods import Call, Reply
from simulator.wire.wechatpay.notices import WechatpayVoice
from simulator.wire.wechatpay.sharing import Sharing
from simulator.wire.wechatpay.signing import SKEW_S, is_signed, message_of, read_authorization, sealed_headers

Handler = Callable[[Call], Awaitable[Reply]]

_PAY = "/v3/pay/transactions"
_REFUNDS = "/v3/refund/domestic/refunds"
_TRANSFERS = "/v3/fund-app/mch-transfer/transfer-bills"
_CONTRACTS = "/v3/papay/insurance-sign/contracts"
_CONTRACT = f"{_CONTRACTS}/plan-id/{{plan_id}}/out-contract-code/{{out_contract_code}}"
_PERIOD = "/v3/papay/insurance-pay/policy-periods/contract-id/{contract_id}/policy-period-id/{policy_period_id:int}"
_ROUTES: Sequence[tuple[str, str, Handler]] = (
    *(
        ("POST", f"{_PAY}/{product}", partial(methods.charge, product=product))
        for product in ("jsapi", "native", "h5", "app")
    ),
    ("GET", f"{_PAY}/out-trade-no/{{out_trade_no}}", methods.query),
    ("GET", f"{_PAY}/id/{{transaction_id}}", methods.query),
    ("POST", f"{_PAY}/out-trade-no/{{out_trade_no}}/close", methods.close),
    ("POST", _REFUNDS, methods.refund),
    ("GET", f"{_REFUNDS}/{{out_refund_no}}", methods.query_refund),
    ("GET", "/v3/certificates", certificates),
    ("POST", _TRANSFERS, transfers.transfer_bill),
    ("GET", f"{_TRANSFERS}/out-bill-no/{{out_bill_no}}", transfers.query_transfer),
    ("GET", f"{_TRANSFERS}/transfer-bill-no/{{transfer_bill_no}}", transfers.query_transfer),
    *(
        ("POST", f"{_CONTRACTS}/pre-entrust-sign/{product}", partial(contracts.pre_sign, product=product))
        for product in ("h5", "jsapi")
    ),
    ("GET", _CONTRACT, contracts.query),
    ("POST", f"{_CONTRACT}/terminate", contracts.terminate),
    ("GET", _PERIOD, contracts.period),
    ("POST", f"{_PERIOD}/schedule", contracts.schedule),
    ("POST", "/v3/papay/insurance-pay/transactions/apply", contracts.debit),
)


def _kept() -> Sequence[tuple[str, str, Handler]]:
    """Return the methods that remember something as long as the process lives."""
    sharing, statements = Sharing(), Statements()
    return (
        ("POST", "/v3/profitsharing/receivers/add", sharing.add_receiver),
        ("POST", "/v3/profitsharing/receivers/delete", sharing.delete_receiver),
        ("POST", "/v3/profitsharing/orders", sharing.order),
        ("POST", "/v3/profitsharing/orders/unfreeze", sharing.unfreeze),
        ("GET", "/v3/profitsharing/orders/{out_order_no}", sharing.query),
        ("GET", "/v3/profitsharing/transactions/{transaction_id}/amounts", sharing.amounts),
        ("GET", "/v3/bill/tradebill", statements.trade),
        ("GET", "/v3/bill/fundflowbill", statements.fund),
        ("GET", "/v3/billdownload/file", statements.download),
    )


class WechatpayWire:
    """The wire: its voice before there is a world, its routes when there is one."""

    def __init__(self, accounts: Sequence[Account]) -> None:
        self._accounts = {account.merchant_no: account for account in accounts}
        self._wanted: dict[str, str] = {}
        self.voice: Voice = WechatpayVoice(accounts, self._wanted)

    def routes(self, front: Front) -> Sequence[BaseRoute]:
        """Return the methods and the payer's pages."""
        gate = _Gate(front, self._accounts, self._wanted)
        served = [
            Route(path, Endpoint(partial(gate.serve, handler)), methods=[verb])
            for verb, path, handler in (*_ROUTES, *_kept())
        ]
        page = Route("/pay/{channel_id}/{transaction_id}", Endpoint(_Page(front)), methods=["GET", "POST"])
        agree = Route("/sign/{channel_id}/{contract_id}", Endpoint(_SignPage(front)), methods=["GET", "POST"])
        return [*served, page, agree]


class _Gate:
    """Lets in who has signed, and signs what goes out."""

    def __init__(self, front: Front, accounts: Mapping[str, Account], wanted: dict[str, str]) -> None:
        self._front = front
        self._accounts = accounts
        self._wanted = wanted

    async def serve(self, handler: Handler, request: Request) -> Response:
        """Answer one request; refusals are signed like everything else."""
        body = await read_body(request)
        account = next(iter(self._accounts.values()))
        try:
            account = self._authorize(request, body)
            reply = await handler(self._call(request, account, body))
        except Refusal as refused:
            return await self._sealed(request, account, refused.body, refused.status, refused.told)
        if reply.raw is not None:
            return Response(reply.raw, media_type="application/octet-stream")
        content = encode(reply.item) if reply.item is not None else b""
        return await self._sealed(request, account, content, reply.status, reply.told)

    def _authorize(self, request: Request, body: bytes) -> Account:
        target = target_of(request)
        claimed = read_authorization(request.headers.get("authorization", ""))
        if claimed is None:
            raise _unsigned(
                "Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》", "invalid authorization"
            )
        account = self._accounts.get(claimed.mchid)
        if account is None:
            raise _unsigned("商户号不存在", "merchant not exists")
        if claimed.serial_no != account.hub["mch_serial_no"]:
            raise _unsigned("商户证书序列号有误。请使用签名私钥匹配的证书序列号", "serial_no not match")
        stamp, now_s = claimed.timestamp, self._front.world.real_ms() // 1_000
        if not (stamp.isascii() and stamp.isdecimal() and len(stamp) <= 12) or abs(now_s - int(stamp)) > SKEW_S:
            raise _unsigned("Http头Authorization中的timestamp与发起请求的时间不得超过5分钟", "timestamp expired")
        # Some clients know that the platform has a place below a host, as here, and some know its own paths only.
        messages = [message_of(request.method, f"{begin}{target}", claimed, body) for begin in ("", _place(request))]
        if not any(is_signed(account.own["mch_public_key"], message, claimed.signature) for message in messages):
            raise _unsigned("签名错误，请检查后再试", "sign not match", request.method, target, messages[0])
        self._wanted[account.merchant_no] = request.headers.get("wechatpay-serial", "")
        return account

    def _call(self, request: Request, account: Account, body: bytes) -> Call:
        accept = request.headers.get("accept", "")
        if "application/json" not in accept and "*/*" not in accept:
            raise Refusal(406, "PARAM_ERROR", "Http头Accept必须为application/json")
        if not request.headers.get("user-agent"):
            raise Refusal(400, "PARAM_ERROR", "Http头缺少User-Agent")
        content = Fields({})
        if request.method == "POST":
            if not request.headers.get("content-type", "").startswith("application/json"):
                raise Refusal(415, "PARAM_ERROR", "Http头Content-Type必须为application/json")
            content = read(body)
        query = dict(parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True))
        path = {name: unquote(str(value)) for name, value in request.path_params.items()}
        return Call(self._front, account, path, query, content, request.headers.get("wechatpay-serial", ""))

    async def _sealed(self, request: Request, account: Account, body: bytes, status: int, told: Told) -> Response:
        real_ms = self._front.world.real_ms()
        signed_ms = real_ms - 3_600_000 if told.flaw is Flaw.STALE_TIME else real_ms
        headers = await sealed_headers(
            account, body, real_ms=signed_ms, nonce=secrets.token_hex(16), flaw=told.flaw,
            wanted=request.headers.get("wechatpay-serial", ""),
        )  # fmt: skip
        headers["Request-ID"] = secrets.token_hex(16)
        return told.response(body, media_type="application/json; charset=utf-8", status=status, headers=headers)


def target_of(request: Request) -> str:
    """Return path and query as they were sent, from where the platform begins on this host."""
    raw = bytes(request.scope["raw_path"]).partition(b"?")[0].decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    path = raw.removeprefix(_place(request))
    return f"{path}?{query}" if query else path


def _place(request: Request) -> str:
    return str(request.scope.get("root_path", ""))


def _unsigned(text: str, issue: str, method: str = "", target: str = "", message: bytes = b"") -> Refusal:
    detail: dict[str, object] = {"field": "signature", "issue": issue, "location": "authorization"}
    if message:
        shown = message.decode("utf-8", "replace")
        detail["sign_information"] = {
            "method": method,
            "url": target,
            "truncated_sign_message": shown if len(shown) < 64 else f"{shown[:64]}...",
            "sign_message_length": len(message),
        }
    return Refusal(401, "SIGN_ERROR", text, detail)


class _Page:
    """Serves the payer's page of one transaction."""

    def __init__(self, front: Front) -> None:
        self._front = front

    async def __call__(self, request: Request) -> Response:
        """Show what is to be paid, or do what the payer chose."""
        channel_id = request.path_params["channel_id"]
        attempt = self._front.find(channel_id, trades.txn_no(request.path_params["transaction_id"]))
        if attempt is None:
            return HTMLResponse("no such order", status_code=404)
        if request.method == "GET":
            yuan = f"{attempt.amount_minor // 100}.{attempt.amount_minor % 100:02d}"
            rows = [("金额", yuan), ("商品", attempt.memo.get("subject", "")), ("订单", attempt.number)]
            return HTMLResponse(payer_page("微信支付 WeChat Pay", rows, action=f"{request.url.path}"))
        pressed = await chosen(request)
        self._front.world.payer_acts(channel_id, attempt, pays=pressed == "pay")
        return HTMLResponse(f"<p>{attempt.word}</p>")


class _SignPage:
    """Serves the page on which a payer agrees to debits."""

    def __init__(self, front: Front) -> None:
        self._front = front

    async def __call__(self, request: Request) -> Response:
        """Show the contract, or do what the payer chose."""
        channel_id = request.path_params["channel_id"]
        agreements = self._front.channel(channel_id).book.by_agreement
        mandate = agreements.get(trades.txn_no(request.path_params["contract_id"]))
        if mandate is None:
            return HTMLResponse("no such contract", status_code=404)
        if request.method == "GET":
            return HTMLResponse(payer_page("微信支付 签约", [("协议", mandate.number)], action=request.url.path))
        pressed = await chosen(request)
        self._front.world.person_acts(channel_id, mandate, agrees=pressed == "pay")
        return HTMLResponse(f"<p>{mandate.word}</p>")
