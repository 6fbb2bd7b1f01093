"""The gateway: who asks, whether he may, what he asks, and the answer under UnionPay's signature."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from simulator.records import Attempt, Mandate
from simulator.voice import Telling, Voice
from simulator.wire.accounts import Account
from simulator.wire.front import Endpoint, Front, read_body
from simulator.wire.page import chosen, payer_page, posting_page
from simulator.wire.unionpay import batches, files, notices, transactions, words
from simulator.wire.unionpay.messages import ORDER_NO, Fields, Invalid, read_form, time_of, write_answer
from simulator.wire.unionpay.notices import UnionPayVoice
from simulator.wire.unionpay.signing import is_signed, sealed
from simulator.wire.unionpay.trades import Originals
from simulator.wire.unionpay.transactions import Call, Handler, Reply
from simulator.words import SideWord, Word

_REQUIRED = ("signMethod", "certId", "signature", "txnType", "txnSubType", "bizType", "accessType", "merId", "txnTime")
_ECHOED = (
    "version", "encoding", "bizType", "txnTime", "txnType", "txnSubType", "accessType", "merId", "orderId", "reqReserved",
    "currencyCode", "txnAmt", "origQryId", "batchNo", "settleDate",
)  # fmt: skip
# A batch is known by its number and time, a file by its day.
_WITHOUT_ORDER = frozenset({"21", "22", "76"})
_API = "/gateway/api"


class UnionPayWire:
    """The wire: its voice before there is a world, its routes when there is one."""

    def __init__(self, accounts: Sequence[Account]) -> None:
        self._accounts = {account.merchant_no: account for account in accounts}
        self.voice: Voice = UnionPayVoice(accounts)

    def routes(self, front: Front) -> Sequence[BaseRoute]:
        """Return the gateway, the file host and the payer's pages."""
        originals = Originals()
        tables: Mapping[str, Mapping[tuple[str, str], Handler]] = {
            f"{_API}/frontTransReq.do": transactions.PAGES,
            f"{_API}/appTransReq.do": transactions.APPS,
            f"{_API}/backTransReq.do": transactions.BACK,
            f"{_API}/queryTrans.do": transactions.QUERY,
            f"{_API}/batchTrans.do": batches.Batches().handlers(),
            "/file": files.HANDLERS,
        }
        page = Endpoint(_Page(front, self._accounts, originals))
        return [
            *(
                Route(path, Endpoint(_Gateway(front, self._accounts, originals, table)), methods=["POST"])
                for path, table in tables.items()
            ),
            Route("/{kind:str}/{channel_id}/{number}", page, methods=["GET", "POST"]),
        ]


class _Gateway:
    """Serves one address."""

    def __init__(
        self,
        front: Front,
        accounts: Mapping[str, Account],
        originals: Originals,
        handlers: Mapping[tuple[str, str], Handler],
    ) -> None:
        self._front = front
        self._accounts = accounts
        self._originals = originals
        self._handlers = handlers

    async def __call__(self, request: Request) -> Response:
        """Answer one request; refusals are signed too."""
        body = await read_body(request)
        fields: Fields = {}
        account = None
        try:
            fields = read_form(body)
            account = self._accounts.get(fields.get("merId", ""))
            handler = self._authorize(fields, account)
            assert account is not None, "who is nobody was refused"
            reply = await handler(Call(self._front, account, fields, self._originals))
        except Invalid as refused:
            text = words.MESSAGES.get(refused.code, refused.code)
            reply = Reply({"respCode": refused.code, "respMsg": f"{text}{refused.text}"}, refused.told)
        if reply.page:
            return Response(status_code=302, headers={"location": f"{self._front.base_url}{reply.page}"})
        return await self._answer(reply, fields, account)

    def _authorize(self, fields: Mapping[str, str], account: Account | None) -> Handler:
        for name in _REQUIRED:
            if not fields.get(name):
                raise Invalid("13", name)
        if fields.get("version") != "5.1.0" or fields.get("encoding", "").upper() != "UTF-8":
            raise Invalid("10", "version")
        if account is None:
            raise Invalid("31", "merId")
        if fields["signMethod"] != "01" or not is_signed(fields, account):
            raise Invalid("11")
        time_of(fields["txnTime"])
        if fields["txnType"] not in _WITHOUT_ORDER and not ORDER_NO.fullmatch(fields.get("orderId", "")):
            raise Invalid("10" if fields.get("orderId") else "13", "orderId")
        handler = self._handlers.get((fields["txnType"], fields["txnSubType"]))
        if handler is None:
            raise Invalid("32")
        return handler

    async def _answer(self, reply: Reply, fields: Mapping[str, str], account: Account | None) -> Response:
        echoed = {name: fields[name] for name in _ECHOED if fields.get(name)}
        signer = account or next(iter(self._accounts.values()))
        whole = await sealed(echoed | reply.fields, signer, reply.told.flaw)
        return reply.told.response(write_answer(whole), media_type="text/html;charset=UTF-8")


class _Page:
    """Serves the payer's pages: of an order, and of binding a card."""

    def __init__(self, front: Front, accounts: Mapping[str, Account], originals: Originals) -> None:
        self._front = front
        self._accounts = accounts
        self._originals = originals

    async def __call__(self, request: Request) -> Response:
        """Show what is wanted, or do what the payer chose and send his browser back to the merchant."""
        record = self._find(**request.path_params)
        if record is None:
            return HTMLResponse("no such order", status_code=404)
        if request.method == "GET":
            binds = isinstance(record, Mandate)
            rows = [("订单", record.number)] + ([] if binds else [("金额(分)", str(record.amount_minor))])
            return HTMLResponse(payer_page("银联 UnionPay", rows, action=request.url.path))
        pressed = await chosen(request)
        world, channel_id = self._front.world, request.path_params["channel_id"]
        if isinstance(record, Mandate):
            world.person_acts(channel_id, record, agrees=pressed == "pay")
        else:
            world.payer_acts(channel_id, record, pays=pressed == "pay")
        address = record.memo.get("front_url", "")
        if not address or record.word not in (Word.PAID, SideWord.MANDATE_SIGNED):
            return HTMLResponse(f"<p>{record.word}</p>")
        return HTMLResponse(posting_page(address, (await self._told(record)).items()))

    def _find(self, kind: str, channel_id: str, number: str) -> Attempt | Mandate | None:
        if all(account.channel_id != channel_id for account in self._accounts.values()):
            return None
        book = self._front.channel(channel_id).book
        if kind == "bind":
            return book.mandates.get(number)
        return self._originals.any(book, number) if kind == "pay" else None

    async def _told(self, record: Attempt | Mandate) -> dict[str, Any]:
        telling = Telling("", "", record.merchant_no, record, record.word, record.amount_minor, record.done_ms)
        return await sealed(notices.notice_fields(telling), self._accounts[record.merchant_no])
