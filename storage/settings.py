"""Settings in versions: a sensitive act gives a key a value at a level, from a moment on, or takes it back."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from domain.permissions import PLATFORM
from domain.refusals import Refused, invalid
from domain.settings import Level, value_violation
from storage import audit
from storage.acts import CHECKERS, Act, Ask, register
from storage.tenants import check_bindings, conflict

SET = "tenants.set_setting"
_AT_LEVEL = """key = :key AND tenant_id = :tenant_id AND institution_id = :institution_id
    AND product_code = :product_code AND source = :source AND terminal = :terminal AND method = :method"""


def level_of(ask: Ask) -> Level:
    """Return the level of an act: a platform administrator speaks for all tenants, everybody else for one."""
    return Level(**{**ask.arguments["level"], "tenant_id": "" if ask.tenant_id == PLATFORM else ask.tenant_id})


def _newest(connection: Connection, ask: Ask) -> tuple[int, Any]:
    """Return the newest version at the act's level, 0 for none, and its value; see that it is the one its author saw."""
    row = connection.execute(
        text(f"SELECT version, value FROM settings WHERE {_AT_LEVEL} ORDER BY version DESC LIMIT 1"),
        {"key": ask.arguments["key"], **level_of(ask)._asdict()},
    ).one_or_none()
    version, value = (row[0], row[1]) if row else (0, None)
    if version != ask.arguments["version"]:
        raise Refused(conflict(f"setting {ask.arguments['key']}", version=ask.arguments["version"]))
    return version, value


def _show(connection: Connection, ask: Ask) -> dict[str, Any]:
    wanted, level = ask.arguments, level_of(ask)
    violation = value_violation(wanted["key"], wanted["value"]) if wanted["value"] is not None else None
    if violation is not None:
        raise Refused(invalid(violation))
    version, value = _newest(connection, ask)
    if level.tenant_id:
        check_bindings(
            connection, tenant_id=level.tenant_id, institution_ids=[level.institution_id] if level.institution_id else (),
            product_codes=[level.product_code] if level.product_code else (),
        )  # fmt: skip
    return {"key": wanted["key"], "level": level._asdict(), "version": version, "before": value,
            "after": wanted["value"], "valid_from_ms": wanted["valid_from_ms"]}  # fmt: skip


def _set(connection: Connection, ask: Ask) -> str:
    key, level = ask.arguments["key"], level_of(ask)
    version, value = _newest(connection, ask)
    valid_from_ms = max(ask.arguments["valid_from_ms"], ask.now_ms)
    made = connection.execute(
        text(
            """INSERT INTO settings (key, tenant_id, institution_id, product_code, source, terminal, method, version,
                                     value, valid_from, principal)
               VALUES (:key, :tenant_id, :institution_id, :product_code, :source, :terminal, :method, :version,
                       :value, to_timestamp(:valid_from_ms / 1000.0), :principal) ON CONFLICT DO NOTHING"""
        ),
        {"key": key, **level._asdict(), "version": version + 1, "valid_from_ms": valid_from_ms,
         "principal": ask.proposer,
         "value": None if ask.arguments["value"] is None else json.dumps(ask.arguments["value"])},
    )  # fmt: skip
    if made.rowcount != 1:
        raise Refused(conflict(f"setting {key}", version=version))
    place = {name: part for name, part in level._asdict().items() if part}
    before: Mapping[str, Any] | None = {**place, "version": version, "value": value} if version else None
    after = {**place, "version": version + 1, "value": ask.arguments["value"], "valid_from_ms": valid_from_ms}
    entry = audit.Entry(
        ask.tenant_id, ask.approver or ask.proposer, "Tenants.SetSetting", "setting", key, before, after, ask.reason,
        ask.request_id, ask.address,
    )  # fmt: skip
    audit.append(connection, [entry])
    return str(key)


register(Act(SET, "setting", _show, _set, checkers=CHECKERS | {"PLATFORM_ADMIN"}))
