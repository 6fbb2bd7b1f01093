"""`paydesk rules`: write routing rules, check them, try them on what was decided, publish them, take them back."""

import re
import sys
import tomllib
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ops.session import Key, Session, Target, Tenant, clock

app = typer.Typer(help="Routing rules: draft, check, simulate, publish, roll back.", no_args_is_help=True)

CHINA = timezone(timedelta(hours=8))
REPLAY_TIMEOUT_S = 3_600.0
EFFECTS = ("DENY", "ALLOW_ONLY", "BOOST", "FORCE", "LIMIT")
PERIODS = ("DAY", "HOUR")
_STATES = {1: "draft", 2: "in force", 3: "earlier"}
_FIELDS = ("rule_id", "priority", "effect", "when", "channels", "weight", "share", "amount", "per")
Id = Annotated[str, typer.Argument(help="See `paydesk rules list`.")]
Reason = Annotated[str, typer.Option(help="Why; whoever allows it sees it, and it is kept.")]
RequestId = Annotated[str, typer.Option("--request-id", help="Repeat one to repeat its answer; default: a new one.")]


@app.command()
def draft(
    file: Annotated[Path, typer.Argument(help="TOML file of rules; see docs/routing-rules.md.")],
    into: Annotated[str, typer.Option(help="Write over this draft instead of making a new one.")] = "",
    note: Annotated[str, typer.Option(help="What it is for.")] = "",
    request_id: RequestId = "",
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Keep a file of rules as a draft, and check it. Exit status 1 tells that it cannot be published as it is."""
    content = read_file(file)
    session = Session(target=target, tenant=tenant, key=key)
    if into:
        revision = session.ask("Routing/GetRuleSet", rule_set_id=into).revision
        made = session.ask("Routing/UpdateRuleSetDraft", request_id=request_id, rule_set_id=into, revision=revision,
                           note=note, **content)  # fmt: skip
    else:
        made = session.ask("Routing/CreateRuleSetDraft", request_id=request_id, note=note, **content)
    print(f"{made.rule_set_id}: draft of {len(made.rules)} rules, revision {made.revision}")
    _check(session, made.rule_set_id)


def read_file(file: Path) -> dict[str, Any]:
    """Read rules from TOML as they go over the wire. Raise typer.BadParameter with the line of what is wrong."""
    text = file.read_text(encoding="utf-8")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise typer.BadParameter(f"{file}: {error}") from error
    if strange := [name for name in document if name not in ("rules", "plug_ins")]:
        raise typer.BadParameter(f"{_place(file, text, 0, strange[0])}: unknown field {strange[0]}; known are rules, plug_ins")
    rules = []
    for number, rule in enumerate(document.get("rules", ()), start=1):
        if strange := [name for name in rule if name not in _FIELDS]:
            where = _place(file, text, number, strange[0])
            raise typer.BadParameter(f"{where}: unknown field {strange[0]}; known are {', '.join(_FIELDS)}")
        try:
            rules.append(_wire(rule))
        except (ArithmeticError, InvalidOperation, KeyError, TypeError, ValueError) as error:
            where = _place(file, text, number, "")
            raise typer.BadParameter(f"{where}: rule {rule.get('rule_id', number)}: {error}") from error
    return {"rules": rules, "plug_ins": document.get("plug_ins", [])}


def _wire(rule: dict[str, Any]) -> dict[str, Any]:
    for name, words in (("effect", EFFECTS), ("per", PERIODS)):
        if rule.get(name, words[0]) not in words:
            raise ValueError(f"{name} must be one of {', '.join(words)}")
    share, amount = Decimal(str(rule.get("share", 0))), Decimal(str(rule.get("amount", 0)))
    return {
        "rule_id": rule["rule_id"], "priority": rule.get("priority", 0), "effect": f"EFFECT_{rule['effect']}",
        "when": rule["when"], "channels": rule.get("channels", []), "weight": rule.get("weight", 0),
        "limit_bps": int(share * 10_000), "limit_minor": int(amount * 100),
        "limit_per": f"PERIOD_{rule.get('per', 'DAY')}",
    }  # fmt: skip


def _place(file: Path, text: str, number: int, name: str) -> str:
    """Return file, line and column of a name in the n-th rule; rule 0 is the file as a whole."""
    seen = 0
    for line_number, line in enumerate(text.splitlines(), start=1):
        seen += line.strip().replace(" ", "") == "[[rules]]"
        found = re.match(rf"\s*\[*({re.escape(name)})\b", line) if name else (seen == number and re.match(r"()", line))
        if seen == number and found:
            return f"{file}, line {line_number}, column {found.start(1) + 1}"
    return str(file)


@app.command("list")
def list_rule_sets(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Rule sets at most.")] = 20,
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """List rule sets, the newest first."""
    table = Table("rule set", "state", "version", "rules", "author", "made", "note", box=None, header_style="dim")
    for row in Session(target=target, tenant=tenant, key=key).pages("Routing/ListRuleSets", "rule_sets", limit):
        table.add_row(row.rule_set_id, _STATES.get(row.state, "?"), str(row.version or "-"), str(row.rule_count), row.author,
                      clock(row.create_time, "minutes"), row.note)  # fmt: skip
    _print(table)


@app.command()
def show(
    rule_set_id: Annotated[str, typer.Argument(help="See `paydesk rules list`; default: the one in force.")] = "",
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Show a rule set, and what it would change in the rules in force."""
    row = Session(target=target, tenant=tenant, key=key).ask("Routing/GetRuleSet", rule_set_id=rule_set_id)
    print(f"{row.rule_set_id or 'the rules of the desk file'}: {_STATES.get(row.state, '?')}"
          f"{f', version {row.version}' if row.version else ''}, revision {row.revision} {row.note}")  # fmt: skip
    for rule in row.rules:
        effect = type(rule).Effect.Name(rule.effect).removeprefix("EFFECT_")
        whom = ", ".join(rule.channels) or "all channels"
        print(f"\n{rule.rule_id} (priority {rule.priority}): {effect} {whom}{_extent(rule)}")
        print(f"    when {rule.when}")
    for name in row.plug_ins:
        print(f"\nplug-in {name}")
    if row.difference:
        print("\nwhat it changes in the rules in force:", *row.difference, sep="\n")


def _extent(rule: Any) -> str:
    if rule.limit_bps:
        return f" to {rule.limit_bps / 100:g} % of the orders"
    if rule.limit_minor:
        return f" to {rule.limit_minor / 100:,.2f} {'an hour' if rule.limit_per == rule.PERIOD_HOUR else 'a day'}"
    return f" {rule.weight:g} times" if rule.effect == rule.EFFECT_BOOST else ""


@app.command()
def check(rule_set_id: Id, tenant: Tenant = "", target: Target = "", key: Key = "") -> None:
    """Tell everything that is wrong with a rule set, and which of its rules do nothing."""
    _check(Session(target=target, tenant=tenant, key=key), rule_set_id)


def _check(session: Session, rule_set_id: str) -> None:
    told = session.ask("Routing/CheckRuleSet", rule_set_id=rule_set_id)
    for finding in told.findings:
        where = f"line {finding.line}, column {finding.column}: " if finding.line else ""
        word = "error" if finding.severity == 1 else "warning"
        print(f"{word}: {finding.rule_id or 'the set'}, {finding.field}: {where}{finding.text}")
    tried = f"; tried on {told.tried_order_count:,} recent orders" if told.tried_order_count else ""
    print(f"{'sound' if told.sound else 'cannot be published'}{tried}")
    if not told.sound:
        raise typer.Exit(1)


@app.command()
def simulate(
    rule_set_id: Id,
    orders: Annotated[int, typer.Option(min=1, max=5_000, help="How many of the newest decisions.")] = 1_000,
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Make the newest decisions once more, by the rules in force and by these, and compare."""
    session = Session(target=target, tenant=tenant, key=key)
    _compare(session.ask("Routing/SimulateRuleSet", rule_set_id=rule_set_id, order_count=orders))


@app.command()
def publish(
    rule_set_id: Id,
    reason: Reason,
    revision: Annotated[int, typer.Option(help="The revision that was read; default: the present one.")] = 0,
    request_id: RequestId = "",
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Propose that a draft is put in force; somebody else allows it."""
    session = Session(target=target, tenant=tenant, key=key)
    revision = revision or session.ask("Routing/GetRuleSet", rule_set_id=rule_set_id).revision
    told = session.ask("Routing/PublishRuleSet", request_id=request_id, rule_set_id=rule_set_id, revision=revision,
                       reason=reason)  # fmt: skip
    _compare(told.simulation)
    _tell(told)


@app.command("roll-back")
def roll_back(
    rule_set_id: Id, reason: Reason, request_id: RequestId = "", tenant: Tenant = "", target: Target = "", key: Key = ""
) -> None:
    """Propose that an earlier version is put in force again; somebody else allows it."""
    session = Session(target=target, tenant=tenant, key=key)
    _tell(session.ask("Routing/RollBackRuleSet", request_id=request_id, rule_set_id=rule_set_id, reason=reason))


def _tell(told: Any) -> None:
    if told.proposal.performed:
        print(f"in force: {told.rule_set.rule_set_id}, version {told.rule_set.version}")
    else:
        print(f"waits for somebody else: paydesk approvals show {told.proposal.approval_id}")


@app.command()
def replay(
    since: Annotated[datetime, typer.Option(help="First moment, by the clock in China.")],
    until: Annotated[datetime | None, typer.Option(help="Moment after the last, by the clock in China; default: now.")] = None,
    rule_set_id: Annotated[str, typer.Option("--rule-set", help="By these rules; default: the ones in force.")] = "",
    orders: Annotated[int, typer.Option(min=0, max=200_000, help="Decisions at most.")] = 0,
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Make the decisions of a span of time once more, and compare them with what was decided."""
    session, told = Session(target=target, tenant=tenant, key=key), None
    wish = {"rule_set_id": rule_set_id, "start_time": since.replace(tzinfo=CHINA), "order_count": orders}
    wish |= {"end_time": until.replace(tzinfo=CHINA)} if until else {}
    for told in session.stream("Routing/ReplayDecisions", REPLAY_TIMEOUT_S, **wish):
        if sys.stderr.isatty():
            print(f"\r{told.comparison.order_count:,} decisions", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if told is not None:
        _compare(told.comparison)


def _compare(told: Any) -> None:
    if not told.order_count:
        print("there is no decision to try them on")
        return
    print(told.text)
    table = Table("channel", "orders before", "after", "moved in", "moved out", box=None, header_style="dim")
    for row in told.channels:
        table.add_row(row.channel_id, *(f"{value:,.0f}" for value in (row.before, row.after, row.moved_in, row.moved_out)))
    _print(table)
    for moved in told.examples:
        amount = f"{moved.amount.amount_minor / 100:,.2f} {moved.amount.currency_code}"
        ways = f"{moved.before_channel_id or 'no route'} -> {moved.after_channel_id or 'no route'}"
        print(f"  {moved.order_no}, {moved.product_code}, {amount}: {ways} {f'({moved.rule_id})' if moved.rule_id else ''}")
    for rule_id, count in sorted(told.rule_faults.items()):
        print(f"  {rule_id} could not be evaluated for {count:,} orders")


def _print(table: Table) -> None:
    Console(highlight=False, width=None if sys.stdout.isatty() else 180).print(table)
