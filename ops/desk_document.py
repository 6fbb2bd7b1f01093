"""Desk documents: tenants, channels and accounts as one TOML file, checked whole before anything is done with it."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actors.connector import Limits
from channels import registry
from domain import approvals, credentials, settings, terms
from domain.health import HealthPolicy
from domain.refusals import Refused, Violation
from domain.rule_sets import from_record
from domain.rules import Effect, Period, faults_of
from simulator.profiles import Profile
from storage.desk import Desk, with_moments

# What is written in words of Pydantic, in ours.
_MISSING = "missing"
_EXTRA = "extra_forbidden"

Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Name = Annotated[str, Field(min_length=1, max_length=128)]
Word = Annotated[str, Field(min_length=1, max_length=32)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Institution(_Part):
    institution_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")]
    parent_id: str = ""
    display_name: Name | None = None


class _Product(_Part):
    product_code: Word
    display_name: Name | None = None
    institutions: list[Word] = []


class _Webhook(_Part):
    url: Annotated[str, Field(pattern=r"^https?://.{1,500}$")]
    secrets: Annotated[list[Annotated[str, Field(pattern=r"^whsec_.{16,}$")]], Field(min_length=1, max_length=5)]


class _Rule(_Part):
    rule_id: Annotated[str, Field(min_length=1, max_length=64)]
    priority: int = 0
    effect: str
    when: str
    channels: list[str] = []
    weight: float = 1.0
    limit_bps: int = 0
    limit_minor: int = 0
    limit_per: str = Period.DAY


class _Routing(_Part):
    margin_bps: Annotated[int, Field(ge=0, le=10_000)] = 10_000
    explore_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    rules: list[_Rule] = []
    plug_ins: list[str] = []


class _Tenant(_Part):
    tenant_id: Id
    display_name: Name
    products: list[Word | _Product] = []
    institutions: list[_Institution] = []
    routing: _Routing = _Routing()
    webhook: _Webhook | None = None
    approvals: dict[str, Any] = {}


class _ChannelSettings(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)  # each kind has settings of its own

    limits: dict[str, int | float] = {}
    health: dict[str, int | float] = {}
    profile: dict[str, Any] = {}


class _Channel(_Part):
    channel_id: Id
    display_name: Annotated[str, Field(min_length=1, max_length=64)]
    kind: Word
    settings: _ChannelSettings = _ChannelSettings()


class _Account(_Part):
    account_id: Word
    tenant_id: str
    channel_id: str
    merchant_no: Word
    terms: dict[str, Any] = {}
    credentials: dict[str, str] = {}


class _Setting(_Part):
    key: str
    value: Any
    tenant_id: str = ""
    institution_id: str = ""
    product_code: str = ""
    source: str = ""
    terminal: str = ""
    method: str = ""


class _Document(_Part):
    tenants: list[_Tenant] = []
    channels: list[_Channel] = []
    accounts: list[_Account] = []
    settings: list[_Setting] = []


class Known(NamedTuple):
    """What is there already: tenants, channels with their kinds, whose an account is, and who has a number at a channel."""

    tenants: Collection[str] = ()
    channels: Mapping[str, str] = {}
    owners: Mapping[str, str] = {}
    merchants: Mapping[tuple[str, str], str] = {}


def known_of(desk: Desk) -> Known:
    """Return what a document may refer to, and must not take."""
    return Known(
        frozenset(desk.tenants), {channel.channel_id: channel.kind for channel in desk.channels.values()},
        {account.account_id: account.tenant_id for account in desk.accounts},
        {(account.channel_id, account.merchant_no): account.account_id for account in desk.accounts},
    )  # fmt: skip


def violations(document: Mapping[str, Any], known: Known) -> list[Violation]:
    """Return everything that is wrong with a document, each with its place, such as accounts[2].terms.fee_bps."""
    try:
        read = _Document.model_validate(document)
    except ValidationError as error:
        return [Violation(_place(fault["loc"]), _rule(fault)) for fault in error.errors()]
    found = [*_twice(read)]
    for index, tenant in enumerate(read.tenants):
        found += _tenant_violations(f"tenants[{index}]", tenant)
    for index, channel in enumerate(read.channels):
        found += _channel_violations(f"channels[{index}]", channel)
    tenants = {*known.tenants, *(tenant.tenant_id for tenant in read.tenants)}
    kinds = {**known.channels, **{channel.channel_id: channel.kind for channel in read.channels}}
    for index, account in enumerate(read.accounts):
        found += _account_violations(f"accounts[{index}]", account, tenants, kinds)
        found += _taken(f"accounts[{index}]", account, tenants, known)
    for index, setting in enumerate(read.settings):
        wrong = settings.value_violation(setting.key, setting.value)
        found += [Violation(f"settings[{index}].{wrong.field}", wrong.rule)] if wrong else []
        if setting.tenant_id and setting.tenant_id not in tenants:
            found.append(_unknown(f"settings[{index}].tenant_id", "tenant", setting.tenant_id, tenants))
    return found


def _place(path: tuple[int | str, ...]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".") or "(document)"


def _rule(fault: Any) -> str:
    if fault["type"] == _MISSING:
        return "is missing"
    if fault["type"] == _EXTRA:
        return "is no field here"
    words = str(fault["msg"]).removeprefix("Input ").removeprefix("Value error, ")
    return words[:1].lower() + words[1:]


def _twice(read: _Document) -> Iterator[Violation]:
    """Find ids that stand there twice, and numbers at a channel that two accounts have."""
    lists: tuple[tuple[str, str, list[Any]], ...] = (
        ("tenants", "tenant_id", [tenant.tenant_id for tenant in read.tenants]),
        ("channels", "channel_id", [channel.channel_id for channel in read.channels]),
        ("accounts", "account_id", [account.account_id for account in read.accounts]),
        ("accounts", "merchant_no", [(account.channel_id, account.merchant_no) for account in read.accounts]),
    )
    for part, field, values in lists:
        for index, value in enumerate(values):
            if (first := values.index(value)) < index:
                yield Violation(f"{part}[{index}].{field}", f"is that of {part}[{first}] too")


def _tenant_violations(place: str, tenant: _Tenant) -> Iterator[Violation]:
    branches = {branch.institution_id for branch in tenant.institutions}
    for index, branch in enumerate(tenant.institutions):
        if branch.parent_id and branch.parent_id not in branches:
            yield _unknown(f"{place}.institutions[{index}].parent_id", "institution", branch.parent_id, branches)
    try:
        approvals.policy_of(tenant.approvals)
    except Refused as refused:
        yield from (Violation(f"{place}.approvals.{v.field}", v.rule) for v in refused.refusal.violations)
    else:
        if tenant.approvals.get("expire_s", approvals.EXPIRE_S) < approvals.EXPIRE_S_MIN:
            yield Violation(f"{place}.approvals.expire_s", f"must be {approvals.EXPIRE_S_MIN} seconds or more")
    yield from _rule_violations(f"{place}.routing.rules", tenant.routing.rules)


def _rule_violations(place: str, rules: list[_Rule]) -> Iterator[Violation]:
    words: list[tuple[int, str, str, list[str]]] = [
        *((index, "effect", rule.effect, [*Effect]) for index, rule in enumerate(rules)),
        *((index, "limit_per", rule.limit_per, [*Period]) for index, rule in enumerate(rules)),
    ]
    wrong_words = [word for word in words if word[2] not in word[3]]
    for index, name, value, known in wrong_words:
        yield _unknown(f"{place}[{index}].{name}", name, value, known)
    if not wrong_words:
        for fault in faults_of(from_record({"rules": [rule.model_dump() for rule in rules]}).rules):
            wrong = fault.violation()
            yield Violation(f"{place}: {wrong.field}", wrong.rule)


def _channel_violations(place: str, channel: _Channel) -> Iterator[Violation]:
    if channel.kind not in registry.KINDS:
        yield _unknown(f"{place}.kind", "kind of channel", channel.kind, registry.KINDS)
    else:
        missing = registry.missing_settings(channel.kind, channel.settings.model_dump())
        yield from (Violation(f"{place}.settings.{name}", rule) for name, rule in missing.items())
    for name, known in (("limits", Limits), ("health", HealthPolicy), ("profile", Profile)):
        fields = {field.name for field in dataclasses.fields(known)} - {"channel_id"}
        for field in getattr(channel.settings, name):
            if field not in fields:
                yield _unknown(f"{place}.settings.{name}.{field}", "field", field, fields)


def _account_violations(
    place: str, account: _Account, tenants: Collection[str], kinds: Mapping[str, str]
) -> Iterator[Violation]:
    if account.tenant_id not in tenants:
        yield _unknown(f"{place}.tenant_id", "tenant", account.tenant_id, tenants)
    if account.channel_id not in kinds:
        yield _unknown(f"{place}.channel_id", "channel", account.channel_id, kinds)
    known = with_moments({name: term for name, term in account.terms.items() if name != "secret"})
    yield from (Violation(f"{place}.terms.{wrong.field}", wrong.rule) for wrong in terms.violations(known))
    kind = kinds.get(account.channel_id)
    if account.credentials and kind is not None and kind in registry.KINDS:
        wrong_names = credentials.name_violations(registry.needs_of(kind), account.credentials)
        for wrong in wrong_names:  # they are named as in a request, where the credentials are its `values`
            yield Violation(f"{place}.{wrong.field.replace('values', 'credentials', 1)}", wrong.rule)


def _taken(place: str, account: _Account, tenants: Collection[str], known: Known) -> Iterator[Violation]:
    # Over the API a tenant names accounts only so; no tenant's name has a "-", so nobody else's begin like that.
    first, dash, _ = account.account_id.partition("-")
    if dash and first in tenants and first != account.tenant_id and account.account_id not in known.owners:
        yield Violation(f"{place}.account_id", f"begins with {first}-, as those of tenant {first} do")
    if known.owners.get(account.account_id, account.tenant_id) != account.tenant_id:
        yield Violation(f"{place}.account_id", "is an account of another tenant")
    if known.merchants.get((account.channel_id, account.merchant_no), account.account_id) != account.account_id:
        yield Violation(f"{place}.merchant_no", "another account has this number at the channel")


def _unknown(place: str, what: str, value: str, known: Collection[str]) -> Violation:
    there = ", ".join(sorted(known)) or "none"
    return Violation(place, f"there is no {what} {value[:64]!r}; there are {there}")
