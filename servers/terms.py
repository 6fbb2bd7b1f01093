"""Terms of merchant accounts and settings between protobuf and stored values: pure, both ways."""

import json
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct, Value

from domain import settings
from domain.refusals import Refused, Violation, invalid
from domain.settings import Considered, Level, Setting
from domain.terms import KNOWN, account_of, schedule_of
from protos.paydesk.v1 import tenants_pb2
from servers import translate
from storage.accounts import Version

# What a channel itself needs is a handful of numbers and names.
CHANNEL_TERMS_MAX = 32
SECRET = "secret"  # a name, not one itself  # noqa: S105

_LIMITS = ("min_amount_minor", "max_amount_minor", "day_limit_minor", "month_limit_minor", "rate_per_s", "refund_window_days")
_TIER = ("from_minor", "to_minor", "rate_bps", "flat_minor", "cap_minor")


def json_value(message: Struct | Value, field: str) -> Any:
    """Read a JSON value. Raise Refused for numbers that JSON does not have."""
    try:
        return _with_whole_numbers(json_format.MessageToDict(message))
    except (ValueError, json_format.SerializeToJsonError) as error:
        raise Refused(invalid(Violation(field, "has a number that is infinite or none"))) from error


def _with_whole_numbers(value: Any) -> Any:
    """Return a JSON value with whole numbers as such: on the wire all numbers are floats."""
    if isinstance(value, dict):
        return {name: _with_whole_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def struct_message(value: Mapping[str, Any]) -> Struct:
    """Write a Struct."""
    return json_format.Parse(json.dumps(value), Struct())


def value_message(value: Any) -> Value:
    """Write any JSON value."""
    return json_format.Parse(json.dumps(value), Value())


def read_terms(message: tenants_pb2.AccountTerms) -> dict[str, Any]:
    """Read terms as they are stored. Raise Refused for what can't be read; the rest is checked where it is stored."""
    methods = [translate.method_name(number) for number in message.methods]
    terminals = [translate.terminal_name(number) for number in message.terminals]
    violations = [Violation("terms.methods", "holds a number that is no method")] if not all(methods) else []
    if not all(terminals):
        violations.append(Violation("terms.terminals", "holds a number that is no terminal"))
    own: dict[str, Any] = json_value(message.channel_terms, "terms.channel_terms")
    strange = [name for name in own if name in KNOWN or name == SECRET]
    violations += [Violation(f"terms.channel_terms.{name}", "is not the channel's own") for name in strange]
    if len(own) > CHANNEL_TERMS_MAX:
        violations.append(Violation("terms.channel_terms", f"has more than {CHANNEL_TERMS_MAX} entries"))
    if violations:
        raise Refused(invalid(*violations))
    terms: dict[str, Any] = {"methods": methods, **{name: getattr(message, name) for name in _LIMITS if getattr(message, name)}}
    lists = {"terminals": terminals, "products": list(message.product_codes),
             "institutions": list(message.institution_ids), "partner_only": list(message.sources)}  # fmt: skip
    terms |= {name: value for name, value in lists.items() if value}
    if message.currency_code:
        terms["currency_code"] = message.currency_code
    if message.fees:
        terms["fees"] = [_read_span(span) for span in message.fees]
    return own | terms


def _read_span(message: tenants_pb2.FeeSpan) -> dict[str, Any]:
    span: dict[str, Any] = {"tiers": [
        {name: getattr(tier, name) for name in _TIER if getattr(tier, name)} for tier in message.tiers
    ]}  # fmt: skip
    if message.HasField("valid_from"):
        span["valid_from_ms"] = translate.milliseconds(message.valid_from)
    if message.HasField("valid_until"):
        span["valid_until_ms"] = translate.milliseconds(message.valid_until)
    if message.promotion:
        span["promotion"] = message.promotion
    return span


def account_message(version: Version) -> tenants_pb2.MerchantAccount:
    """Write one version of an account for the wire."""
    return tenants_pb2.MerchantAccount(
        account_id=version.account_id, channel_id=version.channel_id, merchant_no=version.merchant_no,
        terms=_terms_message(version.terms), version=version.version,
        valid_from=translate.timestamp(version.valid_from_ms), newest_version=version.newest_version,
        principal=version.principal, create_time=translate.timestamp(version.create_ms),
    )  # fmt: skip


def _terms_message(terms: Mapping[str, Any]) -> tenants_pb2.AccountTerms:
    account = account_of(terms, account_id="", channel_id="", tenant_id="", merchant_no="")
    message = tenants_pb2.AccountTerms(
        methods=[translate.METHOD_VALUES[name] for name in sorted(account.methods)
                 if name in translate.METHOD_VALUES],
        terminals=[translate.TERMINAL_VALUES[name] for name in sorted(account.terminals)
                   if name in translate.TERMINAL_VALUES],
        product_codes=sorted(account.products), institution_ids=sorted(account.institutions),
        sources=sorted(account.partner_only), currency_code=account.currency_code,
        min_amount_minor=account.min_amount_minor, max_amount_minor=account.max_amount_minor,
        day_limit_minor=account.limits.day_minor, month_limit_minor=account.limits.month_minor,
        rate_per_s=account.limits.rate_per_s, refund_window_days=account.refund_window_days,
    )  # fmt: skip
    for span in schedule_of(terms):
        written = message.fees.add(
            valid_from=translate.timestamp(span.valid_from_ms), valid_until=translate.timestamp(span.valid_until_ms),
            promotion=span.promotion,
        )  # fmt: skip
        for tier in span.tiers:
            written.tiers.add(**tier._asdict())
    if not account.fees and (account.fee_bps or account.fee_flat_minor):
        message.fees.add().tiers.add(
            rate_bps=account.fee_bps, flat_minor=account.fee_flat_minor, cap_minor=account.fee_cap_minor
        )
    own = {name: value for name, value in terms.items() if name not in KNOWN and name != SECRET}
    if own:
        message.channel_terms.CopyFrom(struct_message(own))
    return message


# --- settings ---------------------------------------------------------------------------------------------------------


def read_level(message: tenants_pb2.SettingLevel) -> dict[str, str]:
    """Read a level, without its tenant. Raise Refused for numbers that are none and texts that are too long."""
    terminal, method = translate.terminal_name(message.terminal), translate.method_name(message.method)
    violations = [
        Violation(f"level.{name}", "must be at most 32 printable characters")
        for name in ("institution_id", "product_code", "source")
        if len(getattr(message, name)) > 32 or not (getattr(message, name) + " ").isprintable()
    ]
    if terminal is None:
        violations.append(Violation("level.terminal", f"{message.terminal} is no terminal"))
    if method is None:
        violations.append(Violation("level.method", f"{message.method} is no method"))
    if violations:
        raise Refused(invalid(*violations))
    return {"institution_id": message.institution_id, "product_code": message.product_code, "source": message.source,
            "terminal": terminal or "", "method": method or ""}  # fmt: skip


def level_message(level: Level) -> tenants_pb2.SettingLevel:
    """Write a level for the wire."""
    return tenants_pb2.SettingLevel(
        institution_id=level.institution_id, product_code=level.product_code, source=level.source,
        terminal=translate.TERMINAL_VALUES.get(level.terminal, 0), method=translate.METHOD_VALUES.get(level.method, 0),
        all_tenants=not level.tenant_id,
    )  # fmt: skip


def setting_message(setting: Setting) -> tenants_pb2.Setting:
    """Write a value that was given for the wire."""
    return tenants_pb2.Setting(
        key=setting.key, level=level_message(setting.level), value=value_message(setting.value),
        version=setting.version, valid_from=translate.timestamp(setting.valid_from_ms),
    )  # fmt: skip


def key_message(key: settings.Key) -> tenants_pb2.SettingKey:
    """Write what a setting is for the wire."""
    return tenants_pb2.SettingKey(
        key=key.name, default_value=value_message(key.default), about=key.about, choices=key.choices, low=key.low,
        high=key.high,
    )  # fmt: skip


def considered_message(item: Considered) -> tenants_pb2.ExplainConfigResponse.Considered:
    """Write a value that was looked at for the wire."""
    return tenants_pb2.ExplainConfigResponse.Considered(
        value=value_message(item.value), level=level_message(item.level) if item.level else None,
        version=item.version, fits=item.fits,
    )  # fmt: skip


