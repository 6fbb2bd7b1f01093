"""What merchants may ask for, by txnType: each reads its fields, asks the world, and answers with the manual's fields."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from simulator.book import ChannelBook
from simulator.records import Attempt, Payout, Refund
from simulator.wire.accounts import Account
from simulator.wire.front import Front, Told
from simulator.wire.unionpay import trades, words
from simulator.wire.unionpay.messages import (
    NOTHING_TOLD,
    Fields,
    Invalid,
    amount_of,
    decrypt,
    read_customer,
    time_of,
)
from simulator.wire.unionpay.settlement import clearing_day
from simulator.wire.unionpay.signing import load_key
from simulator.words import Operation, SideWord, Word

# The address that says that no notice is wanted.
NO_NOTICE_URL = "http://www.specialUrl.com"
REFUND_WINDOW_MS = 330 * 86_400_000


class Call(NamedTuple):
    """One authorized request."""

    front: Front
    account: Account
    fields: Mapping[str, str]
    originals: trades.Originals

    @property
    def book(self) -> ChannelBook:
        """What the channel remembers."""
        return self.front.channel(self.account.channel_id).book

    @property
    def number(self) -> str:
        """The merchant's number."""
        return self.fields["orderId"]

    async def ask(self, operation: Operation, item: dict[str, Any]) -> Told:
        """Ask the world in this account's name. Raise Invalid, with the weather, for what was not looked at."""
        told = await self.front.ask(self.account.channel_id, operation, item, self.account.merchant_no)
        if code := words.trouble(told.fields):
            raise refused(code, told)
        return told

    def text(self, name: str) -> str:
        """Return a field that must be there. Raise Invalid."""
        value = self.fields.get(name, "")
        if not value:
            raise Invalid("13", name)
        return value

    def card(self) -> str:
        """Return accNo, decrypted where it is encrypted. Raise Invalid."""
        text = self.text("accNo")
        if not self.fields.get("encryptCertId"):
            return text
        if self.fields["encryptCertId"] != self.account.own["encrypt_cert_id"]:
            raise Invalid("10", "encryptCertId")
        return decrypt(text, load_key(self.account.own["encrypt_key"]))

    def customer(self) -> Fields:
        """Return customerInfo. Raise Invalid."""
        return read_customer(self.text("customerInfo"), load_key(self.account.own["encrypt_key"]))

    def notify_url(self) -> str:
        """Return where a notice is wanted."""
        url = self.text("backUrl")
        return "" if url == NO_NOTICE_URL else url

    def memo(self, **more: str) -> dict[str, str]:
        """Return what has to be told again later."""
        names = {
            "txn_time": "txnTime", "txn_type": "txnType", "sub_type": "txnSubType", "biz_type": "bizType",
            "reserved": "reqReserved", "original": "origQryId", "front_url": "frontUrl",
        }  # fmt: skip
        kept = {short: self.fields.get(name, "") for short, name in names.items()} | more
        return {name: value for name, value in kept.items() if value}


class Reply(NamedTuple):
    """An answer's own fields, or where a browser finds the payer's page."""

    fields: Fields
    told: Told = NOTHING_TOLD
    page: str = ""


Handler = Callable[[Call], Awaitable[Reply]]


def refused(code: str, told: Told, text: str = "") -> Invalid:
    """Return a refusal that comes in the weather of what was told."""
    error = Invalid(code, text)
    error.told = told
    return error


def answered(told: Told, code: str, more: Fields | None = None) -> Reply:
    """Return an answer with a code."""
    return Reply({"respCode": code, "respMsg": words.MESSAGES.get(code, code), **(more or {})}, told)


def _said(told: Told) -> str:
    return words.state(told.fields["word"], told.fields["reason"])


# --- payments --------------------------------------------------------------------------------------------------------


def _charge_item(call: Call, *, pays: str, payer_ref: str) -> dict[str, Any]:
    if call.fields.get("currencyCode") != "156":
        raise Invalid("10", "currencyCode")
    timeout = call.fields.get("payTimeout", "")
    return {
        "attempt_no": call.number,
        "amount_minor": amount_of(call.fields),
        "currency": "CNY",
        # Merchants who say what they sell are lucky or unlucky by that, whatever their numbers are.
        "order_no": call.fields.get("reqReserved") or call.number,
        "subject": "",
        "payer_ref": payer_ref,
        "expire_time_ms": time_of(timeout) if timeout else 0,
        "notify_url": call.notify_url(),
        "pays": pays,
        "memo": call.memo(),
    }


async def _take(call: Call, operation: Operation, item: dict[str, Any]) -> Told:
    """Ask for a charge; a number that is there already is refused, whatever it was for."""
    known = call.number in call.book.attempts
    told = await call.ask(operation, item)
    if known:
        raise refused("12", told)
    return told


async def consume_on_page(call: Call) -> Reply:
    """Take an order from a payer's browser, and show the payer's page. Who loads it again sees it again."""
    call.text("frontUrl")
    known = call.book.attempts.get(call.number)
    told = await call.ask(Operation.CHARGE, _charge_item(call, pays="LATER", payer_ref=""))
    if known is not None and (known.word is not Word.WAITING_PAYER or known.memo != call.memo()):
        raise refused("12", told)
    if told.fields["word"] != Word.WAITING_PAYER:
        raise refused(_said(told), told)
    return Reply({}, told, f"/pay/{call.account.channel_id}/{trades.query_id(call.book.attempts[call.number].txn_no)}")


async def consume_in_app(call: Call) -> Reply:
    """Take an order for an app; the number that the app passes on is tn."""
    told = await _take(call, Operation.CHARGE, _charge_item(call, pays="LATER", payer_ref=""))
    if told.fields["word"] != Word.WAITING_PAYER:
        raise refused(_said(told), told)
    return answered(told, words.GOOD, {"tn": trades.query_id(call.book.attempts[call.number].txn_no)})


async def consume_bound(call: Call) -> Reply:
    """Charge a bound card, or one whose number is given."""
    payer_ref = call.fields.get("bindId") or call.card()
    told = await _take(call, Operation.CHARGE, _charge_item(call, pays="", payer_ref=payer_ref))
    return _charged(call, told)


async def collect(call: Call) -> Reply:
    """Collect (代收) from a bound card, or from an account whose owner is named."""
    if bind_id := call.fields.get("bindId"):
        mandate = call.book.mandates.get(bind_id)
        agreement_no = mandate.txn_no if mandate is not None else bind_id
        item = _charge_item(call, pays="", payer_ref="") | {"agreement_no": agreement_no}
        return _charged(call, await _take(call, Operation.DEBIT, item))
    if not call.customer().get("customerNm"):
        raise Invalid("13", "customerNm")
    return _charged(call, await _take(call, Operation.CHARGE, _charge_item(call, pays="", payer_ref=call.card())))


def _charged(call: Call, told: Told) -> Reply:
    code = _said(told)
    attempt = call.book.attempts.get(call.number)
    if attempt is None or code not in (words.GOOD, words.UNDER_WAY):
        raise refused(code, told)
    more = {"txnAmt": str(told.fields["amount_minor"]), "queryId": trades.query_id(attempt.txn_no)}
    return answered(told, code, more)


async def query(call: Call) -> Reply:
    """Tell how a trade stands. It is named by number and time: with another time there is none."""
    trade = trades.find(call.book, call.number, call.account.merchant_no)
    match trade:
        case Refund():
            item = {"refund_no": trade.number, "attempt_no": trade.attempt.number}
            told = await call.ask(Operation.QUERY_REFUND, item)
        case Payout():
            told = await call.ask(Operation.QUERY_PAYOUT, {"payout_no": trade.number})
        case _:
            told = await call.ask(Operation.QUERY, {"attempt_no": call.number})
    if trade is None or trade.memo.get("txn_time") != call.fields["txnTime"]:
        raise refused("34", told)
    code = _said(told)
    facts = trades.facts(
        trade, amount_minor=told.fields["amount_minor"], time_ms=told.fields["success_time_ms"] or trade.made_ms
    )
    original = {"txnType": trade.memo["txn_type"], "txnSubType": trade.memo["sub_type"]}
    more = {"origRespCode": code, "origRespMsg": words.MESSAGES.get(code, code), **original, **facts}
    return answered(told, words.GOOD, more)


# --- giving back -----------------------------------------------------------------------------------------------------


async def refund(call: Call) -> Reply:
    """Give back a part of what was paid, for 330 days."""
    original = call.originals.find(call.book, call.text("origQryId"), call.account.merchant_no)
    if original is not None and call.front.world.now_ms() - original.paid_ms > REFUND_WINDOW_MS:
        raise refused("01", await call.ask(Operation.QUERY, {"attempt_no": original.number}))
    return await _give_back(call, original, amount_of(call.fields))


async def cancel(call: Call) -> Reply:
    """Take a trade back as a whole, on the clearing day on which it was made."""
    original = call.originals.find(call.book, call.text("origQryId"), call.account.merchant_no)
    if original is not None and original.paid_ms:
        today = clearing_day(call.front.world.now_ms()) == clearing_day(original.paid_ms)
        if not today or original.refunded_minor or amount_of(call.fields) != original.amount_minor:
            code = "36" if today else "35"
            raise refused(code, await call.ask(Operation.QUERY, {"attempt_no": original.number}))
    return await _give_back(call, original, amount_of(call.fields))


async def _give_back(call: Call, original: Attempt | None, amount_minor: int) -> Reply:
    known = call.number in call.book.refunds
    item = {
        "refund_no": call.number,
        "attempt_no": original.number if original is not None else call.number,
        "amount_minor": amount_minor,
        "currency": "CNY",
        "notify_url": call.notify_url(),
        "memo": call.memo(),
    }
    whole = original is not None and original.refunded_minor >= original.amount_minor
    try:
        told = await call.ask(Operation.REFUND, item)
    except Invalid as error:
        if error.code == "36" and whole and not known:
            error.code = "45"
        raise
    if known:
        raise refused("12", told)
    if told.fields["word"] != Word.REFUND_ACCEPTED:
        raise refused("35" if told.fields["word"] == Word.NO_SUCH_TRADE else _said(told), told)
    made = call.book.refunds[call.number]
    return answered(told, words.GOOD, {"queryId": trades.query_id(made.txn_no), "txnAmt": str(amount_minor)})


# --- payouts, cards, identities --------------------------------------------------------------------------------------


async def pay_out(call: Call) -> Reply:
    """Pay out (代付) to a card or an account."""
    name = call.customer().get("customerNm", "")
    if not name:
        raise Invalid("13", "customerNm")
    known = call.number in call.book.payouts
    item = {
        "payout_no": call.number,
        "amount_minor": amount_of(call.fields),
        "currency": "CNY",
        "payee": call.card(),
        "payee_name": name,
        "order_no": call.fields.get("reqReserved") or call.number,
        "notify_url": call.notify_url(),
        "memo": call.memo(),
    }
    told = await call.ask(Operation.PAYOUT, item)
    if known:
        raise refused("12", told)
    code = _said(told)
    if code not in (words.GOOD, words.UNDER_WAY):
        raise refused(code, told)
    return answered(told, words.GOOD, {"queryId": trades.query_id(call.book.payouts[call.number].txn_no)})


async def verify_or_bind(call: Call) -> Reply:
    """Tell whether a card and a person belong together (实名认证); with bindId, bind the card as well (签约)."""
    card, customer = call.card(), call.customer()
    if bind_id := call.fields.get("bindId"):
        item = {"mandate_no": bind_id, "payer_ref": card, "notify_url": "", "memo": call.memo()}
        told = await call.ask(Operation.SIGN, item)
        mandate = call.book.mandates.get(bind_id)
        if mandate is None or told.fields["word"] == SideWord.MANDATE_ENDED:
            raise refused(_said(told), told)
        call.front.world.person_acts(call.account.channel_id, mandate, agrees=True)
        return answered(told, words.GOOD, {"bindId": bind_id})
    item = {"verify_no": call.number, "name": customer.get("customerNm", ""), "id_no": customer.get("certifId", ""),
            "memo": call.memo()}  # fmt: skip
    told = await call.ask(Operation.VERIFY, item)
    if not _has_check_digit(card):
        raise refused("61", told)
    return answered(told, _said(told))


async def open_on_page(call: Call) -> Reply:
    """Let a payer bind a card on a page (开通)."""
    bind_id = call.text("bindId")
    call.text("frontUrl")
    item = {"mandate_no": bind_id, "payer_ref": "", "notify_url": "", "memo": call.memo()}
    told = await call.ask(Operation.SIGN, item)
    return Reply({}, told, f"/bind/{call.account.channel_id}/{bind_id}")


async def query_binding(call: Call) -> Reply:
    """Tell whether a card is bound."""
    told = await call.ask(Operation.QUERY_MANDATE, {"mandate_no": call.text("bindId")})
    return answered(told, _said(told), {"bindId": call.fields["bindId"]})


async def unbind(call: Call) -> Reply:
    """Unbind a card."""
    told = await call.ask(Operation.UNSIGN, {"mandate_no": call.text("bindId")})
    code = words.GOOD if told.fields["word"] == SideWord.MANDATE_ENDED else _said(told)
    return answered(told, code, {"bindId": call.fields["bindId"]})


def _has_check_digit(card: str) -> bool:
    digits = [int(digit) for digit in reversed(card) if digit.isdecimal()]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return len(digits) >= 13 and (sum(digits[::2]) + doubled) % 10 == 0


PAGES: Mapping[tuple[str, str], Handler] = {("01", "01"): consume_on_page, ("79", "00"): open_on_page}
APPS: Mapping[tuple[str, str], Handler] = {("01", "01"): consume_in_app}
BACK: Mapping[tuple[str, str], Handler] = {
    ("01", "01"): consume_bound,
    ("04", "00"): refund,
    ("11", "00"): collect,
    ("12", "00"): pay_out,
    ("31", "00"): cancel,
    ("72", "01"): verify_or_bind,
    ("74", "00"): unbind,
    ("75", "00"): query_binding,
}
QUERY: Mapping[tuple[str, str], Handler] = {("00", "00"): query}
