"""The Channels service."""

import secrets
import time
from typing import Any

from actors.directory import Directory
from actors.peers import PeerLost
from actors.tables import account_of
from domain.health import Health, HealthSnapshot
from domain.identifiers import RANDOM_BYTES, identifier
from domain.permissions import PLATFORM
from domain.refusals import Kind, Refusal, Refused, Violation, invalid
from protos.paydesk.v1 import channels_pb2, channels_pb2_grpc, common_pb2
from servers import channel_setup, commands, pages, translate, windows
from servers.desk import DeskView
from servers.identity import caller, sees_costs
from storage import callbacks as callback_store
from storage import channels as store
from storage import windows as window_store
from storage.database import Database

CHANGES_MAX = 50
FORCE_S_MAX = 7 * 86_400
WINDOWS_MAX = 100
_FORCIBLE = {
    channels_pb2.ChannelHealth.STATE_FORCED_OPEN: Health.FORCED_OPEN,
    channels_pb2.ChannelHealth.STATE_FORCED_CLOSED: Health.FORCED_CLOSED,
    channels_pb2.ChannelHealth.STATE_HEALTHY: Health.HEALTHY,
}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class ChannelsService(channels_pb2_grpc.ChannelsServicer):
    """Shows channels and their health, and takes them out of and into service."""

    def __init__(self, desk: DeskView, directory: Directory, database: Database) -> None:
        self._desk = desk
        self._directory = directory
        self._database = database

    async def ListChannels(
        self, request: channels_pb2.ListChannelsRequest, context: Any
    ) -> channels_pb2.ListChannelsResponse:
        """List the tenant's channels with their health."""
        limit, after = pages.size(request.page_size), pages.key_of(request.page_token)
        accounts = [a for a in self._desk.accounts_of(caller().tenant_id) if a.account_id > after]
        accounts = sorted(accounts, key=lambda account: account.account_id)[: limit + 1]
        response, costs = channels_pb2.ListChannelsResponse(), sees_costs()
        for row in accounts[:limit]:
            account, channel = account_of(row), self._desk.desk.channels[row.channel_id]
            snapshot = await self._snapshot(row.channel_id)
            response.channels.add(
                channel_id=row.channel_id, display_name=channel.display_name, kind=channel.kind,
                methods=[value for method in sorted(account.methods) if (value := translate.METHOD_VALUES.get(method))],
                account_id=row.account_id, fee_bps=account.fee_bps if costs else 0,
                max_amount=common_pb2.Money(
                    amount_minor=account.max_amount_minor, currency_code=account.currency_code
                ),
                state=self._state(row.channel_id, snapshot), score=snapshot.score if snapshot else 0.0,
            )  # fmt: skip
        if len(accounts) > limit:
            response.next_page_token = pages.token(accounts[limit - 1].account_id)
        return response

    async def GetChannelHealth(
        self, request: channels_pb2.GetChannelHealthRequest, context: Any
    ) -> channels_pb2.ChannelHealth:
        """Read one channel's health and its recent changes."""
        self._check_mine(request.channel_id)
        return await self._health(request.channel_id)

    async def SetMaintenanceWindow(
        self, request: channels_pb2.SetMaintenanceWindowRequest, context: Any
    ) -> channels_pb2.MaintenanceWindow:
        """Announce that a channel, or an account or a method of it, must not be offered for a while."""
        self._check_mine(request.channel_id, request.account_id)
        now_ms, who = _now_ms(), caller()
        window_id = identifier("win_", now_ms=now_ms, random=secrets.token_bytes(RANDOM_BYTES))
        window, hours = windows.read_window(request, window_id=window_id, tenant_id=_of_windows(), now_ms=now_ms)
        after = {name: value for name, value in window._asdict().items() if value and name not in ("weekly", "tenant_id")}
        claim = await commands.once(
            self._database, "Channels.SetMaintenanceWindow", object_kind="maintenance_window", object_id=window_id,
            request_id=request.request_id, content=(window._replace(window_id=""), request.overlap),
            after=after | {"weekly": hours}, reason=request.reason,
            work=lambda connection: window_store.add(
                connection, window, hours, principal=who.principal, may_overlap=request.overlap
            ),
        )  # fmt: skip
        return await self._window(claim.object_id)

    async def ListMaintenanceWindows(
        self, request: channels_pb2.ListMaintenanceWindowsRequest, context: Any
    ) -> channels_pb2.ListMaintenanceWindowsResponse:
        """List the windows of the tenant's channels."""
        if request.channel_id:
            self._check_mine(request.channel_id)
        limit, after = pages.size(request.page_size), pages.key_of(request.page_token)
        found = await self._database.run(
            window_store.page, tenant_id=_of_windows(),
            channel_ids=[request.channel_id] if request.channel_id else self._channels(), past=request.include_past,
            after=after, limit=limit + 1,
        )  # fmt: skip
        now_ms = _now_ms()
        response = channels_pb2.ListMaintenanceWindowsResponse(
            windows=[windows.window_message(row, now_ms) for row in found[:limit]]
        )
        if len(found) > limit:
            response.next_page_token = pages.token(found[limit - 1].window.window_id)
        return response

    async def ListParkedCallbacks(
        self, request: channels_pb2.ListParkedCallbacksRequest, context: Any
    ) -> channels_pb2.ListParkedCallbacksResponse:
        """List what channels told the tenant's accounts and nothing could use yet."""
        if request.channel_id:
            self._check_mine(request.channel_id)
        limit = pages.size(request.page_size)
        found = await self._database.run(
            callback_store.parked, channel_id=request.channel_id, accounts=self._merchants(),
            before=_place(request.page_token), limit=limit + 1,
        )  # fmt: skip
        response = channels_pb2.ListParkedCallbacksResponse()
        for row in found[:limit]:
            added = response.callbacks.add(
                channel_id=row.channel_id, merchant_no=row.merchant_no, notify_id=row.notify_id,
                attempt_no=row.attempt_no, size_bytes=row.size_bytes,
            )  # fmt: skip
            added.receive_time.FromMicroseconds(row.receive_us)
        if len(found) > limit:
            response.next_page_token = pages.token(f"{found[limit - 1].receive_us} {found[limit - 1].place}")
        return response

    async def CancelMaintenanceWindow(
        self, request: channels_pb2.CancelMaintenanceWindowRequest, context: Any
    ) -> channels_pb2.MaintenanceWindow:
        """End a window, or take it back before it has begun."""
        before, now_ms = await self._window(request.window_id), _now_ms()
        if before.all_tenants and caller().tenant_id != PLATFORM:
            told = "it stands for all tenants: whoever runs Paydesk ends it"
            raise Refused(Refusal(Kind.PERMISSION_DENIED, "WINDOW_OF_ALL", told))
        violations = windows.text_violations(request.request_id, request.reason)
        if not translate.is_time(request.end_time):
            violations.append(Violation("end_time", "is no time of this calendar"))
        if violations:
            raise Refused(invalid(*violations))
        wanted_ms = translate.milliseconds(request.end_time)
        end_ms = max(wanted_ms, now_ms + window_store.CUT_MS)
        await commands.once(
            self._database, "Channels.CancelMaintenanceWindow", object_kind="maintenance_window",
            object_id=request.window_id, request_id=request.request_id, content=(request.window_id, wanted_ms),
            before={"end_ms": translate.milliseconds(before.end_time)}, after={"end_ms": end_ms}, reason=request.reason,
            work=lambda connection: window_store.cut(
                connection, window_id=request.window_id, end_ms=end_ms, now_ms=now_ms
            ),
        )  # fmt: skip
        return await self._window(request.window_id)

    async def _window(self, window_id: str) -> channels_pb2.MaintenanceWindow:
        named = len(window_id) <= 64 and window_id.isprintable()
        row = await self._database.run(window_store.load, window_id=window_id) if named else None
        if row is None or row.window.tenant_id not in ("", _of_windows()) or not self._is_mine(row.window.channel_id):
            raise Refused(translate.not_found("WINDOW_NOT_FOUND", f"there is no window {window_id[:64]!r}"))
        return windows.window_message(row, _now_ms())

    async def ForceChannelState(
        self, request: channels_pb2.ForceChannelStateRequest, context: Any
    ) -> channels_pb2.ChannelHealth:
        """Hold a channel open or closed until a moment."""
        self._check_mine(request.channel_id)
        if caller().tenant_id != PLATFORM and self._desk.desk.users_of(request.channel_id) != {caller().tenant_id}:
            told = "it is not yours alone: a maintenance window closes it for you, and whoever runs Paydesk for all"
            raise Refused(Refusal(Kind.PERMISSION_DENIED, "CHANNEL_SHARED", told))
        violations = windows.text_violations(request.request_id, request.reason)
        state = _FORCIBLE.get(request.state)
        if state is None:
            violations.append(Violation("state", "must be FORCED_OPEN, FORCED_CLOSED or HEALTHY"))
        ttl_s = request.ttl.seconds
        if state is not Health.HEALTHY and not 0 < ttl_s <= FORCE_S_MAX:
            violations.append(Violation("ttl", f"must be 1 to {FORCE_S_MAX} seconds"))
        if not request.reason:
            violations.append(Violation("reason", "is missing"))
        if violations:
            raise Refused(invalid(*violations))
        assert state is not None
        arguments = {"channel_id": request.channel_id, "state": state, "ttl_s": ttl_s}
        proposed = await commands.propose(
            self._database, store.FORCE, arguments, request_id=request.request_id, reason=request.reason
        )
        if proposed.performed and not proposed.repeated:
            await self._tell(request.channel_id, state, until_ms=_now_ms() + ttl_s * 1000, reason=request.reason)
        message = await self._health(request.channel_id)
        message.proposal.CopyFrom(translate.proposal_message(proposed))
        return message

    async def CreateChannel(
        self, request: channels_pb2.CreateChannelRequest, context: Any
    ) -> channels_pb2.ChannelConfig:
        """Make a channel known to all tenants."""
        _refuse(windows.text_violations(request.request_id, request.reason))
        return await channel_setup.create(self._database, request)

    async def UpdateChannel(
        self, request: channels_pb2.UpdateChannelRequest, context: Any
    ) -> channels_pb2.ChannelConfig:
        """Rename a channel, or change its settings."""
        _refuse(windows.text_violations(request.request_id, request.reason))
        return await channel_setup.update(self._database, request)

    async def _tell(self, channel_id: str, state: Health, *, until_ms: int, reason: str) -> None:
        """Have the connector know at once what it would read within some seconds."""
        try:
            await self._directory.peer(f"channel/{channel_id}").call("force", state, until_ms, reason)
        except PeerLost as error:  # it is stored, and read when the connector comes back
            raise Refused(
                Refusal(Kind.UNAVAILABLE, "CONNECTOR_RESTARTING", "stored; it takes effect when the connector is back")
            ) from error

    def _check_mine(self, channel_id: str, account_id: str = "") -> None:
        if not self._is_mine(channel_id):
            raise Refused(translate.not_found("CHANNEL_NOT_FOUND", f"there is no channel {channel_id[:64]!r}"))
        if not self._is_mine(channel_id, account_id):
            raise Refused(translate.not_found("ACCOUNT_NOT_FOUND", f"there is no account {account_id[:64]!r} on it"))

    def _channels(self) -> list[str]:
        """Return the channels that concern the caller."""
        if caller().tenant_id == PLATFORM:
            return list(self._desk.desk.channels)
        return [account.channel_id for account in self._desk.accounts_of(caller().tenant_id)]

    def _merchants(self) -> list[tuple[str, str]] | None:
        """Return the (channel_id, merchant_no) that are the caller's; None for whoever runs the platform: all."""
        if caller().tenant_id == PLATFORM:
            return None
        return [(account.channel_id, account.merchant_no) for account in self._desk.accounts_of(caller().tenant_id)]

    def _is_mine(self, channel_id: str, account_id: str = "") -> bool:
        if caller().tenant_id == PLATFORM and not account_id:
            return channel_id in self._desk.desk.channels
        return any(
            account.channel_id == channel_id and account_id in ("", account.account_id)
            for account in self._desk.accounts_of(caller().tenant_id)
        )

    async def _snapshot(self, channel_id: str) -> HealthSnapshot | None:
        try:
            return await self._directory.peer(f"channel/{channel_id}").call("snapshot", timeout_s=2.0)  # type: ignore[no-any-return]
        except PeerLost:
            return None

    def _state(self, channel_id: str, snapshot: HealthSnapshot | None) -> Any:
        now_ms = _now_ms()
        whole = (w for w in self._desk.desk.windows if w.channel_id == channel_id and w.is_whole)
        if any(window.covers(now_ms) for window in whole if window.tenant_id in ("", _of_windows())):
            return channels_pb2.ChannelHealth.STATE_MAINTENANCE
        return channels_pb2.ChannelHealth.State.Value(f"STATE_{snapshot.state}") if snapshot else 0

    async def _health(self, channel_id: str) -> channels_pb2.ChannelHealth:
        snapshot = await self._snapshot(channel_id)
        message = channels_pb2.ChannelHealth(channel_id=channel_id, state=self._state(channel_id, snapshot))
        if snapshot is not None:
            message.score, message.success_rate = snapshot.score, snapshot.success_rate
            message.latency_ms_p95, message.unknown_share = snapshot.latency_ms_p95, snapshot.unknown_share
            message.callback_share, message.admit_share = snapshot.callback_share, snapshot.admit_share
            message.reason = snapshot.reason
            message.update_time.FromMilliseconds(snapshot.time_ms)
            if snapshot.forced_until_ms:
                message.forced_until_time.FromMilliseconds(snapshot.forced_until_ms)
        changes = await self._database.run(store.recent_changes, channel_id=channel_id, limit=CHANGES_MAX)
        for change in changes:
            message.changes.add(
                time=translate.timestamp(change.time_ms), score=change.score, reason=change.reason,
                state=channels_pb2.ChannelHealth.State.Value(f"STATE_{change.state}"),
            )  # fmt: skip
        found = await self._database.run(
            window_store.page, channel_ids=[channel_id], tenant_id=_of_windows(), past=False, after="", limit=WINDOWS_MAX
        )
        message.windows.extend(windows.window_message(row, _now_ms()) for row in found)
        return message


def _place(page_token: str) -> tuple[int, str]:
    """Return the time and place that a page token of parked callbacks names. Raise Refused for one that is not of theirs."""
    key = pages.key_of(page_token)
    if not key:
        return callback_store.NEWEST
    receive_us, _, place = key.partition(" ")
    if not place or not receive_us.isascii() or not receive_us.isdecimal() or int(receive_us) > callback_store.NEWEST[0]:
        raise Refused(invalid(Violation("page_token", "is not a token of this list")))
    return int(receive_us), place


def _of_windows() -> str:
    """Return whose windows the caller's are; those of whoever runs the platform stand for all."""
    return "" if caller().tenant_id == PLATFORM else caller().tenant_id


def _refuse(violations: list[Violation]) -> None:
    if violations:
        raise Refused(invalid(*violations))
