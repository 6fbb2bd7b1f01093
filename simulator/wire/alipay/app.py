"""The gateway: who asks, whether he may, what he asks, and the answer in its signed envelope."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from simulator.records import Attempt
from simulator.voice import Voice
from simulator.wire.accounts import Account
from simulator.wire.alipay import bills, methods, trades
from simulator.wire.alipay.messages import Invalid, merged, text_of, time_of, yuan
from simulator.wire.alipay.methods import Call, Reply
from simulator.wire.alipay.notices import AlipayVoice
from simulator.wire.alipay.signing import Seal, is_signed
from simulator.wire.alipay.words import MESSAGES
from simulator.wire.front import Endpoint, Front, read_body
from simulator.wire.page import chosen, payer_page
from simulator.words import Word

_REQUIRED = ("method", "app_id", "sign_type", "sign", "timestamp", "version")


class AlipayWire:
    """The wire: its voice before there is a world, its routes when there is one."""

    def __init__(self, accounts: Sequence[Account]) -> None:
        self._accounts = {account.hub["app_id"]: account for account in accounts}
        self._by_merchant = {account.merchant_no: account for account in accounts}
        self.voice: Voice = AlipayVoice(accounts)

    def routes(self, front: Front) -> Sequence[BaseRoute]:
        """Return the gateway and the payer's pages."""
        gateway = Endpoint(_Gateway(front, self._accounts))
        page = Endpoint(_Page(front, self._by_merchant))
        return [
            Route("/gateway.do", gateway, methods=["GET", "POST"]),
            Route("/pay/{channel_id}/{trade_no}", page, methods=["GET", "POST"]),
            Route("/sign/{channel_id}/{number}", Endpoint(_SignPage(front)), methods=["GET", "POST"]),
            Route("/bill/{channel_id}/{ticket:path}", Endpoint(_Bill(front, self._by_merchant)), methods=["GET"]),
        ]


class _Gateway:
    """Serves gateway.do."""

    def __init__(self, front: Front, accounts: Mapping[str, Account]) -> None:
        self._front = front
        self._accounts = accounts

    async def __call__(self, request: Request) -> Response:
        """Answer one request; errors are in the method's envelope too, and signed."""
        body = await read_body(request)
        params: dict[str, str] = {}
        account = None
        try:
            params = merged(request.scope["query_string"], body)
            account = self._accounts.get(params.get("app_id", ""))
            method = self._authorize(params, account)
            assert account is not None, "who is nobody was refused"
            call = Call(self._front, account, params, _content(params))
            reply = await method(call)
        except Invalid as refused:
            reply = Reply(_error(refused), refused.told)
        if reply.page:
            return reply.told.response(reply.page, media_type="text/html; charset=utf-8")
        return await self._sealed(reply, params, account)

    def _authorize(self, params: Mapping[str, str], account: Account | None) -> Callable[[Call], Awaitable[Reply]]:
        for name in _REQUIRED:
            if not params.get(name):
                word = {"sign_type": "signature-type", "sign": "signature"}.get(name, name.replace("_", "-"))
                raise Invalid("40001", f"isv.missing-{word}")
        if account is None:
            raise Invalid("40002", "isv.invalid-app-id")
        if params["sign_type"] != "RSA2":
            raise Invalid("40002", "isv.invalid-signature-type")
        if params.get("format", "JSON").upper() != "JSON":
            raise Invalid("40002", "isv.invalid-format")
        if params["version"] != "1.0":
            raise Invalid("40002", "isv.invalid-version")
        try:
            time_of(params["timestamp"])
        except ValueError:
            raise Invalid("40002", "isv.invalid-timestamp") from None
        known = params.get("app_cert_sn", account.own["app_cert_sn"]) == account.own["app_cert_sn"]
        known = known and params.get("alipay_root_cert_sn", account.own["root_cert_sn"]) == account.own["root_cert_sn"]
        if not known or not is_signed(account.hub["app_public_key"], params, params.get("charset", "utf-8")):
            raise Invalid("40002", "isv.invalid-signature")
        method = methods.METHODS.get(params["method"])
        if method is None:
            raise Invalid("40002", "isv.invalid-method")
        return method

    async def _sealed(self, reply: Reply, params: Mapping[str, str], account: Account | None) -> Response:
        charset = params.get("charset", "utf-8").lower()
        key = f"{params.get('method', 'error').replace('.', '_')}_response"
        inner = text_of(reply.fields)
        seal = Seal(account or next(iter(self._accounts.values())), reply.told.flaw)
        sign = await seal.sign(inner, charset)
        sn = f',"alipay_cert_sn":"{seal.certificate_sn}"' if params.get("app_cert_sn") else ""
        tail = f',"sign":"{sign}"' if sign else ""
        body = f'{{"{key}":{inner}{sn}{tail}}}'.encode(charset)
        return reply.told.response(body, media_type=f"text/html;charset={charset}")


def _content(params: Mapping[str, str]) -> dict[str, Any]:
    try:
        content = json.loads(params.get("biz_content") or "{}")
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise Invalid("40002", "isv.invalid-parameter")
    return content


def _error(refused: Invalid) -> dict[str, str]:
    return {
        "code": refused.code,
        "msg": MESSAGES[refused.code],
        "sub_code": refused.sub_code,
        "sub_msg": refused.text or refused.sub_code,
    }


class _Page:
    """Serves the payer's page of one trade."""

    def __init__(self, front: Front, accounts: Mapping[str, Account]) -> None:
        self._front = front
        self._accounts = accounts

    async def __call__(self, request: Request) -> Response:
        """Show what is to be paid, or do what the payer chose."""
        channel_id = request.path_params["channel_id"]
        attempt = self._front.find(channel_id, trades.txn_no(request.path_params["trade_no"]))
        if attempt is None:
            return HTMLResponse("no such trade", status_code=404)
        if request.method == "GET":
            self._front.world.payer_looks(channel_id, attempt)
            rows = [("金额", yuan(attempt.amount_minor)), ("商品", attempt.memo.get("subject", "")),
                    ("订单", attempt.number)]  # fmt: skip
            return HTMLResponse(payer_page("支付宝 Alipay", rows, action=request.url.path))
        pressed = await chosen(request)
        self._front.world.payer_acts(channel_id, attempt, pays=pressed == "pay")
        if attempt.memo.get("return_url") and attempt.word is Word.PAID:
            return RedirectResponse(await self._return_url(attempt), status_code=302)
        return HTMLResponse(f"<p>{attempt.word}</p>")

    async def _return_url(self, attempt: Attempt) -> str:
        account = self._accounts[attempt.merchant_no]
        return await methods.return_url(account, attempt, now_ms=self._front.world.now_ms())


class _SignPage:
    """Serves the page on which a payer agrees to debits."""

    def __init__(self, front: Front) -> None:
        self._front = front

    async def __call__(self, request: Request) -> Response:
        """Show the agreement, or do what the payer chose."""
        channel_id = request.path_params["channel_id"]
        mandate = self._front.channel(channel_id).book.mandates.get(request.path_params["number"])
        if mandate is None:
            return HTMLResponse("no such agreement", status_code=404)
        if request.method == "GET":
            return HTMLResponse(payer_page("支付宝 签约", [("协议", mandate.number)], action=request.url.path))
        pressed = await chosen(request)
        self._front.world.person_acts(channel_id, mandate, agrees=pressed == "pay")
        back = mandate.memo.get("return_url")
        return RedirectResponse(back, status_code=302) if back else HTMLResponse(f"<p>{mandate.word}</p>")


class _Bill:
    """Serves a statement to whoever has its address, for as long as that lives."""

    def __init__(self, front: Front, accounts: Mapping[str, Account]) -> None:
        self._front = front
        self._accounts = accounts

    async def __call__(self, request: Request) -> Response:
        """Send the zip."""
        ticket = request.path_params["ticket"]
        merchant_no, kind, date, until_ms = ticket.split("/") if ticket.count("/") == 3 else ("", "", "", "")
        account = self._accounts.get(merchant_no)
        if account is None or request.query_params.get("token") != bills.token(account, ticket):
            return HTMLResponse("no such file", status_code=404)
        if int(until_ms) < self._front.world.real_ms():
            return HTMLResponse("the address has expired", status_code=403)
        day = self._front.channel(account.channel_id).bills.of_day(merchant_no, date)
        content = await asyncio.to_thread(bills.zipped, day, kind, now_ms=self._front.world.now_ms())
        return Response(content, media_type="application/zip")
