"""Setting channels up, for all tenants: what a platform administrator does in the Channels service."""

import dataclasses
import json
import re
from typing import Any

from actors.connector import Limits
from channels import registry
from domain.refusals import Refused, Violation, invalid
from protos.paydesk.v1 import channels_pb2
from servers import commands, terms
from storage import channels as channel_store
from storage import tenants as store
from storage.database import Database

# Settings of a channel are a page of numbers and names; secrets have their own place.
SETTINGS_LENGTH_MAX = 32 * 1024
NAME_LENGTH_MAX = 64
_CHANNEL_ID = re.compile(r"[a-z][a-z0-9_]{0,31}")


async def create(database: Database, request: channels_pb2.CreateChannelRequest) -> channels_pb2.ChannelConfig:
    """Make a channel. Raise Refused for an unknown kind, and for settings with which it could not be built."""
    settings = terms.json_value(request.settings, "settings")
    violations = _name_violations(request.display_name)
    if not _CHANNEL_ID.fullmatch(request.channel_id):
        violations.append(Violation("channel_id", "must be a letter and at most 31 of a-z, 0-9 and _"))
    violations += _settings_violations(request.kind, request.channel_id, settings)
    if violations:
        raise Refused(invalid(*violations))
    after = {"display_name": request.display_name, "kind": request.kind, "settings": settings}
    await commands.once(
        database, "Channels.CreateChannel", object_kind="channel", object_id=request.channel_id,
        request_id=request.request_id, content=(request.SerializeToString(deterministic=True),), after=after,
        reason=request.reason,
        work=lambda connection: store.create_channel(
            connection, channel_id=request.channel_id, display_name=request.display_name, kind=request.kind,
            settings_json=json.dumps(settings),
        ),
    )  # fmt: skip
    return await _read(database, request.channel_id)


async def update(database: Database, request: channels_pb2.UpdateChannelRequest) -> channels_pb2.ChannelConfig:
    """Rename a channel, or change its settings. Raise Refused, with CONFIG_CONFLICT for an older version."""
    known = await _read(database, request.channel_id)
    before = terms.json_value(known.settings, "settings")
    settings = terms.json_value(request.settings, "settings") if request.HasField("settings") else before
    name = request.display_name or known.display_name
    if violations := _name_violations(name) + _settings_violations(known.kind, known.channel_id, settings):
        raise Refused(invalid(*violations))
    await commands.once(
        database, "Channels.UpdateChannel", object_kind="channel", object_id=request.channel_id,
        request_id=request.request_id, content=(request.SerializeToString(deterministic=True),),
        before={"display_name": known.display_name, "settings": before, "version": known.version},
        after={"display_name": name, "settings": settings, "version": request.version + 1}, reason=request.reason,
        work=lambda connection: store.update_channel(
            connection, channel_id=request.channel_id, version=request.version, display_name=name,
            settings_json=json.dumps(settings),
        ),
    )  # fmt: skip
    return await _read(database, request.channel_id)


async def _read(database: Database, channel_id: str) -> channels_pb2.ChannelConfig:
    found = await database.run(channel_store.config_of, channel_id=channel_id)
    if found is None:
        raise Refused(store.missing("channel", channel_id))
    display_name, kind, settings, version = found
    return channels_pb2.ChannelConfig(
        channel_id=channel_id, display_name=display_name, kind=kind, settings=terms.struct_message(settings),
        version=version,
    )  # fmt: skip


def _name_violations(name: str) -> list[Violation]:
    if 0 < len(name) <= NAME_LENGTH_MAX and name.isprintable():
        return []
    return [Violation("display_name", f"must be 1 to {NAME_LENGTH_MAX} printable characters")]


def _settings_violations(kind: str, channel_id: str, settings: dict[str, Any]) -> list[Violation]:
    if len(json.dumps(settings)) > SETTINGS_LENGTH_MAX:
        return [Violation("settings", f"is longer than {SETTINGS_LENGTH_MAX} characters")]
    try:
        registry.make_callback_reader(kind, channel_id, settings, ())
    except (ValueError, TypeError) as error:
        field = "settings" if kind in registry.KINDS else "kind"
        return [Violation(field, str(error)[:256])]
    missing = registry.missing_settings(kind, settings)
    return [Violation(f"settings.{name}", rule) for name, rule in missing.items()] + _limit_violations(settings.get("limits", {}))


def _limit_violations(limits: Any) -> list[Violation]:
    known = {field.name for field in dataclasses.fields(Limits)}
    if not isinstance(limits, dict) or not limits.keys() <= known:
        return [Violation("settings.limits", f"must be numbers by these names: {', '.join(sorted(known))}")]
    return [
        Violation(f"settings.limits.{name}", "must be a number from 0")
        for name, value in limits.items()
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0
    ]
