"""`paydesk tenants`: companies, branches, products, merchant accounts, settings, and what a cashier would show."""

import json
import secrets
import sys
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ops.session import Key, Session, Target, Tenant, clock

app = typer.Typer(help="Tenants, branches, products, merchant accounts and settings.", no_args_is_help=True)

LIST_MAX = 10_000
Reason = Annotated[str, typer.Option(help="Why; whoever allows it sees it, and it is kept.")]
Branch = Annotated[str, typer.Option(help="Institution; empty for the tenant itself, or for any.")]
Product = Annotated[str, typer.Option(help="Product code; empty for any.")]
Source = Annotated[str, typer.Option(help="Partner; empty for the tenant's own sales, or for any.")]
Terminal = Annotated[str, typer.Option(help="H5, WECHAT_OA, PC, APP or API.")]
Method = Annotated[str, typer.Option(help="Such as ALIPAY; empty for any.")]
From = Annotated[str, typer.Option("--from", help="Moment such as 2026-12-01T00:00:00+08:00; default: at once.")]


@app.command("list")
def list_tenants(target: Target = "", key: Key = "") -> None:
    """List all tenants; needs a key of a platform administrator."""
    rows = Session(target=target, key=key).pages("Tenants/ListTenants", "tenants", LIST_MAX)
    _print(("tenant", "name", "state", "version"), [
        (row.tenant_id, row.display_name, _word(row, "state"), str(row.version)) for row in rows
    ])  # fmt: skip


@app.command()
def create(
    tenant_id: Annotated[str, typer.Argument(help="Lower-case letters, digits and underscores.")],
    name: Annotated[str, typer.Option(help="As people call it.")],
    reason: Reason = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Make a tenant; needs a key of a platform administrator."""
    made = Session(target=target, key=key).ask(
        "Tenants/CreateTenant", tenant_id=tenant_id, display_name=name, reason=reason
    )
    print(f"{made.tenant_id}: {made.display_name}, {_word(made, 'state')}")


@app.command()
def suspend(tenant_id: str, reason: Reason = "", target: Target = "", key: Key = "") -> None:
    """Take no new payments of a tenant; those under way go on to their end."""
    _set_state(tenant_id, "STATE_SUSPENDED", reason, target, key)


@app.command()
def reopen(tenant_id: str, reason: Reason = "", target: Target = "", key: Key = "") -> None:
    """Take payments of a suspended tenant again."""
    _set_state(tenant_id, "STATE_ACTIVE", reason, target, key)


def _set_state(tenant_id: str, state: str, reason: str, target: str, key: str) -> None:
    session = Session(target=target, key=key)
    known = session.ask("Tenants/GetTenant", tenant_id=tenant_id)
    changed = session.ask(
        "Tenants/UpdateTenant", tenant_id=tenant_id, version=known.version, state=state, reason=reason
    )
    print(f"{tenant_id}: {_word(changed, 'state')}")


@app.command()
def branches(tenant: Tenant = "", target: Target = "", key: Key = "") -> None:
    """List the tenant's branches."""
    session = Session(target=target, tenant=tenant, key=key)
    rows = session.pages("Tenants/ListInstitutions", "institutions", LIST_MAX)
    _print(("branch", "below", "name", "state", "version"), [
        (row.institution_id, row.parent_id or "-", row.display_name, _word(row, "state"), str(row.version)) for row in rows
    ])  # fmt: skip


@app.command()
def products(tenant: Tenant = "", target: Target = "", key: Key = "") -> None:
    """List the tenant's products."""
    session = Session(target=target, tenant=tenant, key=key)
    rows = session.pages("Tenants/ListProducts", "products", LIST_MAX)
    _print(("product", "name", "sold by", "state", "version"), [
        (row.product_code, row.display_name, ", ".join(row.institution_ids) or "all", _word(row, "state"), str(row.version))
        for row in rows
    ])  # fmt: skip


@app.command()
def accounts(tenant: Tenant = "", target: Target = "", key: Key = "") -> None:
    """List the tenant's merchant accounts with the terms that are in force."""
    session = Session(target=target, tenant=tenant, key=key)
    rows = session.pages("Tenants/ListMerchantAccounts", "accounts", LIST_MAX)
    _print(("account", "channel", "merchant no", "version", "fees", "single", "day", "month"), [
        (row.account_id, row.channel_id, row.merchant_no, str(row.version), *_terms(row.terms)) for row in rows
    ])  # fmt: skip


@app.command()
def history(
    account_id: Annotated[str, typer.Argument(help="See `paydesk tenants accounts`.")],
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """List the versions of an account's terms, the newest first."""
    session = Session(target=target, tenant=tenant, key=key)
    rows = session.pages("Tenants/ListMerchantAccountVersions", "versions", LIST_MAX, account_id=account_id)
    _print(("version", "from", "by", "fees", "single", "day", "month"), [
        (str(row.version), clock(row.valid_from) if row.HasField("valid_from") else "ever", row.principal,
         *_terms(row.terms))
        for row in rows
    ])  # fmt: skip


@app.command()
def change(
    account_id: Annotated[str, typer.Argument(help="See `paydesk tenants accounts`.")],
    rate_bps: Annotated[int, typer.Option(min=-1, help="One fee for all amounts, in ten-thousandths; -1 leaves it.")] = -1,
    single: Annotated[str, typer.Option(help="Largest order, such as 50000.00.")] = "",
    day: Annotated[str, typer.Option(help="Limit of a day, such as 1000000.00; 0 for none.")] = "",
    month: Annotated[str, typer.Option(help="Limit of a month; 0 for none.")] = "",
    valid_from: From = "",
    reason: Reason = "",
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Propose new terms for an account: what is not named stays as its newest version has it."""
    session = Session(target=target, tenant=tenant, key=key)
    newest = session.ask("Tenants/ListMerchantAccountVersions", account_id=account_id, page_size=1).versions[0]
    terms = newest.terms
    terms.ClearField("channel_terms")  # they stay
    for field, text in (("max_amount_minor", single), ("day_limit_minor", day), ("month_limit_minor", month)):
        if text:
            setattr(terms, field, _minor(text))
    if rate_bps >= 0:
        del terms.fees[:]
        terms.fees.add().tiers.add(rate_bps=rate_bps)
    wanted: dict[str, Any] = {"valid_from": datetime.fromisoformat(valid_from)} if valid_from else {}
    answer = session.ask(
        "Tenants/UpdateMerchantAccount", account_id=account_id, version=newest.version, terms=terms, reason=reason, **wanted
    )
    _tell(answer.proposal, f"{account_id}: version {newest.version + 1}")


@app.command("set")
def set_setting(
    name: Annotated[str, typer.Argument(help="See `paydesk tenants explain`.")],
    value: Annotated[str, typer.Argument(help='JSON such as 900, "FUNDS_RECEIVED" or ["ALIPAY"]; null takes it back.')],
    branch: Branch = "",
    product: Product = "",
    source: Source = "",
    terminal: Terminal = "",
    method: Method = "",
    valid_from: From = "",
    reason: Reason = "",
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Propose a value of a setting at a level, which is what the options name together."""
    session = Session(target=target, tenant=tenant, key=key)
    level = _level(branch, product, source, terminal, method)
    known = [
        item.version
        for item in session.ask("Tenants/ListSettings", key=name).settings
        if not item.level.all_tenants and _names(item.level) == (branch, product, source, terminal, method)
    ]
    try:
        told = json.loads(value)
    except json.JSONDecodeError:
        told = value  # a word without its quotes
    wanted: dict[str, Any] = {"valid_from": datetime.fromisoformat(valid_from)} if valid_from else {}
    if told is not None:
        wanted["value"] = _json_value(told)
    answer = session.ask(
        "Tenants/SetSetting", key=name, level=level, version=max(known, default=0), reason=reason, **wanted
    )
    _tell(answer.proposal, f"{name} = {value}")


@app.command()
def explain(
    name: Annotated[str, typer.Argument(help="One setting; default: all.")] = "",
    branch: Branch = "",
    product: Product = "",
    source: Source = "",
    terminal: Terminal = "",
    method: Method = "",
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Tell what counts for orders of a kind, which level said so, and what was passed over for it."""
    session = Session(target=target, tenant=tenant, key=key)
    order = _level(branch, product, source, terminal, method)
    for found in session.ask("Tenants/ExplainConfig", order=order, key=name).resolutions:
        print(f"{found.key} = {_json(found.chosen.value)}   ({_place(found.chosen)})")
        for item in found.passed_over:
            print(f"    {'' if item.fits else 'for other orders: '}{_json(item.value)}   ({_place(item)})")


@app.command()
def cashier(
    product: Annotated[str, typer.Argument(help="Product code.")],
    amount: Annotated[str, typer.Argument(help="Such as 18.00.")],
    terminal: Terminal = "H5",
    branch: Branch = "",
    source: Source = "",
    tenant: Tenant = "",
    target: Target = "",
    key: Key = "",
) -> None:
    """Show what a cashier would show for an order, now."""
    session = Session(target=target, tenant=tenant, key=key)
    page = session.ask(
        "Payments/GetCashier", order_no=f"cashier-{secrets.token_hex(4)}", product_code=product,
        amount={"amount_minor": _minor(amount), "currency_code": "CNY"}, terminal=f"TERMINAL_{terminal}",
        institution_id=branch, source=source,
    )  # fmt: skip
    rows: list[tuple[str, ...]] = []
    for entry in page.entries:
        state = "" if entry.enabled else entry.reason_text
        bounds = f"{entry.min_amount.amount_minor / 100:,.2f} to {entry.max_amount.amount_minor / 100:,.2f}"
        shown = "yes" if entry.enabled else "grey" if entry.visible else "no"
        rows.append((str(entry.display_order), _word(entry, "method"), shown, state, bounds, entry.promotion))
    _print(("place", "method", "shown", "why not", "amounts", "promotion"), rows)
    print(f"version {page.version}, {page.expire_s} s to pay")


def _level(branch: str, product: str, source: str, terminal: str, method: str) -> dict[str, Any]:
    level: dict[str, Any] = {"institution_id": branch, "product_code": product, "source": source}
    if terminal:
        level["terminal"] = f"TERMINAL_{terminal}"
    if method:
        level["method"] = f"METHOD_{method}"
    return level


def _names(level: Any) -> tuple[str, str, str, str, str]:
    terminal, method = (_word(level, "terminal"), _word(level, "method"))
    return level.institution_id, level.product_code, level.source, terminal, method


def _place(item: Any) -> str:
    if not item.HasField("level"):
        return "default"
    parts = ["all tenants" if item.level.all_tenants else "tenant", *(part for part in _names(item.level) if part)]
    return f"{', '.join(parts)}; version {item.version}"


def _word(message: Any, field: str) -> str:
    """Return an enum's value without the name of its enum, "" for unspecified."""
    kind = message.DESCRIPTOR.fields_by_name[field].enum_type
    prefix = kind.values_by_number[0].name.removesuffix("UNSPECIFIED")
    name: str = kind.values_by_number[getattr(message, field)].name
    return "" if name.endswith("UNSPECIFIED") else name.removeprefix(prefix)


def _terms(terms: Any) -> tuple[str, str, str, str]:
    fees = "; ".join(
        " / ".join(f"{tier.rate_bps} bps" + (f" + {tier.flat_minor / 100:.2f}" if tier.flat_minor else "") for tier in span.tiers)
        for span in terms.fees
    )  # fmt: skip
    limits = (terms.max_amount_minor, terms.day_limit_minor, terms.month_limit_minor)
    single, day, month = (f"{limit / 100:,.2f}" if limit else "-" for limit in limits)
    return fees or "0", single, day, month


def _minor(text: str) -> int:
    try:
        amount = Decimal(text) * 100
    except InvalidOperation as error:
        raise typer.BadParameter(f"{text!r} is not an amount such as 50000.00") from error
    if amount != int(amount) or amount < 0:
        raise typer.BadParameter(f"{text!r} is not an amount such as 50000.00")
    return int(amount)


def _json_value(value: Any) -> Any:
    from google.protobuf import json_format
    from google.protobuf.struct_pb2 import Value

    return json_format.Parse(json.dumps(value), Value())


def _json(value: Any) -> str:
    from google.protobuf import json_format

    told = json_format.MessageToDict(value)
    return json.dumps(int(told) if isinstance(told, float) and told.is_integer() else told, ensure_ascii=False)


def _tell(proposal: Any, what: str) -> None:
    done = "done" if proposal.performed else f"waits for approval {proposal.approval_id}"
    print(f"{what}: {done}")


def _print(names: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = Table(*names, box=None, header_style="dim")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, width=None if sys.stdout.isatty() else 180).print(table)
