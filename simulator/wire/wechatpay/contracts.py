"""Mandates of the world as insurance contracts, by which WeChat Pay debits what it has announced to the payer.

A contract has periods, each with a day and an amount. A debit is announced (scheduled) by day, from the day before its
own to 28 days after; it may be asked for from the day after the announcement to 29 days after its own, once a period is
paid no more, and all of that only while people are awake.
"""

import datetime
from typing import NamedTuple

from simulator.records import Attempt, Mandate
from simulator.wire.accounts import Account
from simulator.wire.front import Told
from simulator.wire.wechatpay.messages import NUMBER, PLAIN_NUMBER, URL, Json, Refusal, moment, time_text
from simulator.wire.wechatpay.methods import Call, Reply
from simulator.wire.wechatpay.trades import decimal, txn_no
from simulator.words import Operation, SideWord, Word

SESSION_S = 600
PERIODS_MAX = 100
_BEFORE, _ANNOUNCED_TO, _DEBITED_TO = (
    datetime.timedelta(days=1),
    datetime.timedelta(days=28),
    datetime.timedelta(days=29),
)
_WAKES, _ANNOUNCED_BY, _DEBITED_BY = datetime.time(8), datetime.time(19, 30), datetime.time(20)
_STATES = {SideWord.MANDATE_SIGNED: "SIGNED", SideWord.MANDATE_ENDED: "TERMINATED"}


class Period(NamedTuple):
    """One debit of a contract's plan. `announced` is the day of the announcement, `attempt` the last debit for it."""

    number: int
    day: datetime.date
    amount_minor: int
    announced: datetime.date | None = None
    attempt: Attempt | None = None


async def pre_sign(call: Call, product: str) -> Reply:
    """Begin a contract; the payer signs it on a page."""
    call.own_appid()
    content = call.content
    openid = content.text("openid", required=product == "jsapi", longest=128)
    plan_id = content.whole("plan_id", least=1)
    if str(plan_id) != call.account.hub["plan_id"]:
        raise Refusal(400, "PARAM_ERROR", "委托代扣模板不存在")
    number = content.text("out_contract_code", required=True, longest=32, form=PLAIN_NUMBER)
    content.text("insured_display_name", required=True, longest=32)
    if content.day("policy_start_date") > content.day("policy_end_date"):
        raise content.invalid("policy_end_date", "")
    plan = _plan(call)
    item = {
        "mandate_no": number,
        "payer_ref": openid,
        "notify_url": content.text("contract_notify_url", required=True, form=URL),
        "limit_minor": 0,
        "memo": {"periods": plan},
    }
    told = await call.ask(Operation.SIGN, item)
    mandate = call.front.channel(call.account.channel_id).book.mandates[number]
    if told.fields["word"] != SideWord.MANDATE_WAITING or mandate.memo["periods"] != plan:
        raise Refusal(400, "INVALID_REQUEST", "商户签约协议号已被使用").with_weather(told)
    page = f"{call.front.base_url}/sign/{call.account.channel_id}/{decimal(mandate.txn_no)}"
    return Reply({"redirect_url": page}, told)


def _plan(call: Call) -> str:
    """Read the plan's periods into one short text: the amounts of all but the first are the same."""
    periods = []
    for each in call.content.many("policy_periods", most=PERIODS_MAX):
        number, day = each.whole("policy_period_id", least=1, most=840), each.day("estimated_deduct_date")
        amount = each.inner("estimated_deduct_amount", required=True)
        call.currency(amount)
        periods.append(Period(number, day, amount.whole("total", least=0)))
    days, numbers = [period.day for period in periods], [period.number for period in periods]
    ordered = days == sorted(set(days)) and numbers == sorted(set(numbers))
    if not ordered or len({period.amount_minor for period in periods[1:]}) > 1:
        raise Refusal(400, "PARAM_ERROR", "保单的扣费周期列表不符合规范，请核查后再试")
    return " ".join(f"{period.number}/{period.day:%Y%m%d}/{period.amount_minor}" for period in periods)


def periods_of(mandate: Mandate, attempts: dict[str, Attempt]) -> dict[int, Period]:
    """Return the plan as it stands."""
    found = {}
    for text in mandate.memo["periods"].split():
        number, day, amount = text.split("/")
        announced, debited = mandate.memo.get(f"announced {number}"), mandate.memo.get(f"debited {number}", "")
        found[int(number)] = Period(
            int(number), datetime.date.fromisoformat(day), int(amount),
            datetime.date.fromisoformat(announced) if announced else None, attempts.get(debited),
        )  # fmt: skip
    return found


async def query(call: Call) -> Reply:
    """Tell how a contract stands."""
    return await _about(call, Operation.QUERY_MANDATE)


async def terminate(call: Call) -> Reply:
    """End a contract."""
    call.content.text("contract_termination_remark", required=True, longest=256)
    return await _about(call, Operation.UNSIGN)


async def _about(call: Call, operation: Operation) -> Reply:
    number = call.path["out_contract_code"]
    mandate = call.front.channel(call.account.channel_id).book.mandates.get(number)
    # What nobody has signed is no contract yet.
    signed = mandate is not None and mandate.word in _STATES and call.path["plan_id"] == call.account.hub["plan_id"]
    told = await call.ask(operation if signed else Operation.QUERY_MANDATE, {"mandate_no": number})
    if mandate is None or not signed:
        raise Refusal(404, "RESOURCE_NOT_EXISTS", "签约协议不存在").with_weather(told)
    return Reply(contract(mandate, call.account), told)


def contract(mandate: Mandate, account: Account) -> Json:
    """Return a contract, as questions and callbacks tell it."""
    item: Json = {
        "mchid": mandate.merchant_no,
        "contract_id": decimal(mandate.txn_no),
        "appid": account.hub["appid"],
        "plan_id": int(account.hub["plan_id"]),
        "out_contract_code": mandate.number,
        "contract_state": _STATES[mandate.word],
        "contract_signed_time": time_text(mandate.done_ms),
        "openid": mandate.payer_ref or f"o{mandate.txn_no}",
    }
    if mandate.ended_ms:
        item["contract_terminate_info"] = {
            "contract_termination_mode": "MCH_API_TERMINATE",
            "contract_terminated_time": time_text(mandate.ended_ms),
            "contract_termination_remark": "商户解约",
        }
    return item


async def period(call: Call) -> Reply:
    """Tell how one period stands."""
    told, _, found = await _period(call, int(call.path["policy_period_id"]), call.path["contract_id"])
    return Reply(_told(found, _today(call)), told)


async def schedule(call: Call) -> Reply:
    """Announce a debit to the payer."""
    call.own_appid()
    amount = call.content.inner("scheduled_amount", required=True)
    amount_minor = amount.whole("total", least=1)
    call.currency(amount)
    told, mandate, found = await _period(call, int(call.path["policy_period_id"]), call.path["contract_id"])
    today, now = _today(call), _now(call)
    problem = ""
    if amount_minor != found.amount_minor:
        problem = "预约扣费金额与签约时的预计扣费金额不一致"
    elif found.announced is not None:
        problem = "该扣费周期已预约"
    elif not found.day - _BEFORE <= today <= found.day + _ANNOUNCED_TO:
        problem = "不在可预约日内"
    elif not _WAKES <= now < _ANNOUNCED_BY:
        problem = "不在可预约时间段内"
    if problem:
        raise Refusal(403, "RULE_LIMIT", problem).with_weather(told)
    call.front.world.note(call.account.channel_id, mandate, f"announced {found.number}", today.isoformat())
    return Reply(_told(found._replace(announced=today), today), told)


async def debit(call: Call) -> Reply:
    """Take a debit that was announced; its result comes later."""
    call.own_appid()
    content = call.content
    number = content.text("out_trade_no", required=True, longest=32, form=NUMBER)
    amount = content.inner("amount", required=True)
    amount_minor = amount.whole("total", least=1)
    description, attach = content.text("description", required=True, longest=127), content.text("attach", longest=128)
    contract_id = content.text("contract_id", required=True, longest=32)
    told, mandate, found = await _period(call, content.whole("policy_period_id", least=1, most=840), contract_id)
    known = call.attempt(number)
    if known is None:
        _check_due(call, found, amount_minor, told)
    memo = {"product": "pap", "subject": description, "attach": attach, "openid": mandate.payer_ref}
    item = {
        "attempt_no": number, "amount_minor": amount_minor, "currency": call.currency(amount), "order_no": attach or number,
        "subject": description, "payer_ref": mandate.payer_ref, "expire_time_ms": 0, "pays": "LATER",
        "notify_url": content.text("transaction_notify_url", required=True, form=URL),
        "memo": {name: value for name, value in memo.items() if value}, "agreement_no": mandate.txn_no,
    }  # fmt: skip
    told = await call.ask(Operation.DEBIT, item)
    if known is None:
        call.front.world.note(call.account.channel_id, mandate, f"debited {found.number}", number)
    elif told.fields["word"] == Word.PAID:
        raise Refusal(400, "ORDERPAID", "该订单已支付").with_weather(told)
    return Reply({"out_trade_no": number, "amount": {"total": amount_minor, "currency": "CNY"}}, told)


def _check_due(call: Call, found: Period, amount_minor: int, told: Told) -> None:
    today, now = _today(call), _now(call)
    problem = ""
    if found.announced is None:
        problem = "该扣费周期未预约"
    elif amount_minor != found.amount_minor:
        problem = "扣费金额与预约金额不一致"
    elif not found.announced < today <= found.day + _DEBITED_TO:
        problem = "不在可扣费期内"
    elif not _WAKES <= now < _DEBITED_BY:
        problem = "不在可扣费时间段内"
    elif found.attempt is not None and found.attempt.word in (Word.PAID, Word.WAITING_PAYER):
        problem = "该扣费周期已扣费"
    if problem:
        raise Refusal(403, "RULE_LIMIT", problem).with_weather(told)


async def _period(call: Call, number: int, contract_id: str) -> tuple[Told, Mandate, Period]:
    told = await call.ask(Operation.QUERY_MANDATE, {"mandate_no": "", "agreement_no": txn_no(contract_id) or "unknown"})
    book = call.front.channel(call.account.channel_id).book
    mandate = book.by_agreement[txn_no(contract_id)]
    if mandate.word is not SideWord.MANDATE_SIGNED:
        raise Refusal(400, "INVALID_REQUEST", "协议已解约或未生效").with_weather(told)
    found = periods_of(mandate, book.attempts).get(number)
    if found is None:
        raise Refusal(404, "RESOURCE_NOT_EXISTS", "扣费周期不存在").with_weather(told)
    return told, mandate, found


def _told(found: Period, today: datetime.date) -> Json:
    paid = found.attempt is not None and found.attempt.word is Word.PAID
    state = "NO_SCHEDULED" if found.announced is None else "SCHEDULED"
    if paid:
        state = "PAID"
    elif today > found.day + _DEBITED_TO:
        state = "EXPIRED"
    item: Json = {"policy_period_id": found.number, "policy_period_state": state}
    if found.announced is not None:
        item |= {
            "deduct_start_date": (found.announced + _BEFORE).isoformat(),
            "deduct_end_date": (found.day + _DEBITED_TO).isoformat(),
            "scheduled_amount": {"total": found.amount_minor, "currency": "CNY"},
        }
    if paid and found.attempt is not None:
        item |= {"deduct_amount": {"total": found.attempt.amount_minor, "currency": "CNY"},
                 "deduct_date": moment(found.attempt.paid_ms).date().isoformat()}  # fmt: skip
    return item


def _today(call: Call) -> datetime.date:
    return moment(call.front.world.now_ms()).date()


def _now(call: Call) -> datetime.time:
    return moment(call.front.world.now_ms()).time()
