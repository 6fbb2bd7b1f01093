"""Maintenance windows through the real door, and what orders and channels make of them."""

import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from grpc_status import rpc_status

from actors.tables import routing_tables
from domain.health import Health
from domain.identifiers import CHINA
from domain.payments import State
from domain.permissions import PLATFORM
from domain.windows import Window
from protos.paydesk.v1 import audit_pb2, audit_pb2_grpc, channels_pb2, channels_pb2_grpc
from simulator.profiles import Profile
from storage import desk as desk_store
from storage import windows as store
from tests.harness import House, opened_house
from tests.integration.office import Office, opened_office

HOUR_MS = 3_600_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def wish(request_id: str, start_ms: int, end_ms: int = 0, **more: Any) -> channels_pb2.SetMaintenanceWindowRequest:
    made = channels_pb2.SetMaintenanceWindowRequest(
        request_id=request_id, **{"channel_id": "one", "reason": "upgrade", **more}
    )
    made.start_time.FromMilliseconds(start_ms)
    if end_ms:
        made.end_time.FromMilliseconds(end_ms)
    return made


def cancel(request_id: str, window_id: str) -> channels_pb2.CancelMaintenanceWindowRequest:
    return channels_pb2.CancelMaintenanceWindowRequest(request_id=request_id, window_id=window_id, reason="done early")


async def refused(call: Any) -> dict[str, Any]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)
    assert status is not None
    details = MessageToDict(status)["details"]
    return {**details[0], "fields": [one["field"] for one in details[1]["fieldViolations"]] if len(details) > 1 else []}


async def admin(office: Office, **more: str) -> Any:
    return await office.stub(channels_pb2_grpc.ChannelsStub, "CHANNEL_ADMIN", **more)


async def test_the_calendar_of_a_channel(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        stub, start = await admin(office), now_ms() + HOUR_MS
        once = await stub.SetMaintenanceWindow(wish("w1", start, start + 4 * HOUR_MS))
        assert await stub.SetMaintenanceWindow(wish("w1", start, start + 4 * HOUR_MS)) == once
        assert (once.principal, once.in_force, once.next_start_time) == ("zhang", False, once.start_time)
        hours = channels_pb2.MaintenanceWindow.Weekly(days=[6, 7], start_time_of_day="23:30", end_time_of_day="04:00")
        weekly = await stub.SetMaintenanceWindow(wish("w2", start, channel_id="two", weekly=hours))
        assert (weekly.weekly, weekly.HasField("end_time")) == (hours, False)
        next_start = weekly.next_start_time.ToDatetime(tzinfo=CHINA)
        assert weekly.next_end_time.seconds - weekly.next_start_time.seconds == 4.5 * 3_600, next_start
        ever = await stub.SetMaintenanceWindow(
            wish("w3", now_ms() - 1, channel_id="two", for_ever=True, account_id="pnc_two", overlap=True)
        )
        assert ever.in_force and not ever.HasField("end_time")
        listed = (await stub.ListMaintenanceWindows(channels_pb2.ListMaintenanceWindowsRequest())).windows
        assert [window.window_id for window in listed] == [once.window_id, weekly.window_id, ever.window_id]
        first = await stub.ListMaintenanceWindows(channels_pb2.ListMaintenanceWindowsRequest(page_size=2))
        rest = channels_pb2.ListMaintenanceWindowsRequest(page_token=first.next_page_token)
        assert [window.window_id for window in (await stub.ListMaintenanceWindows(rest)).windows] == [ever.window_id]
        stranger = await admin(office, tenant_id="life", principal="xu")
        listed = (await stranger.ListMaintenanceWindows(channels_pb2.ListMaintenanceWindowsRequest())).windows
        assert not listed, "they stand for the orders of pnc alone"
        assert (await refused(stranger.CancelMaintenanceWindow(cancel("c", ever.window_id))))["reason"] == "WINDOW_NOT_FOUND"


async def test_what_cannot_be_is_refused_by_name(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        stub, start = await admin(office), now_ms() + HOUR_MS
        past = await refused(stub.SetMaintenanceWindow(wish("p", start - 9 * HOUR_MS, start - 2 * HOUR_MS)))
        assert (past["reason"], past["fields"]) == ("WINDOW_IN_PAST", ["end_time"])
        made = await stub.SetMaintenanceWindow(wish("w", start, start + HOUR_MS))
        clash = wish("x", start + HOUR_MS - 1, start + 2 * HOUR_MS)
        conflict = await refused(stub.SetMaintenanceWindow(clash))
        assert (conflict["reason"], conflict["metadata"]["window_id"]) == ("RULE_CONFLICT", made.window_id)
        clash.overlap = True
        await stub.SetMaintenanceWindow(clash)
        await stub.SetMaintenanceWindow(wish("y", start + 2 * HOUR_MS, start + 3 * HOUR_MS))
        bad = channels_pb2.MaintenanceWindow.Weekly(days=[0, 8], start_time_of_day="24:00", end_time_of_day="4")
        fields = (await refused(stub.SetMaintenanceWindow(wish("z", start, weekly=bad))))["fields"]
        assert fields == ["weekly.days", "weekly.start_time_of_day", "weekly.end_time_of_day"]
        assert (await refused(stub.SetMaintenanceWindow(wish("z", start))))["fields"] == ["end_time"]
        both = wish("z", start, start + 1, for_ever=True)
        assert (await refused(stub.SetMaintenanceWindow(both)))["fields"] == ["for_ever"]
        nobodys = wish("z", start, start + 1, account_id="life_one")
        assert (await refused(stub.SetMaintenanceWindow(nobodys)))["reason"] == "ACCOUNT_NOT_FOUND"


async def test_a_tenants_window_is_its_own_and_the_platforms_is_for_all(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        pnc, life, now = await admin(office), await admin(office, tenant_id="life"), now_ms()
        root = await office.stub(channels_pb2_grpc.ChannelsStub, "PLATFORM_ADMIN", tenant_id=PLATFORM, principal="root")
        mine = await pnc.SetMaintenanceWindow(wish("w1", now - HOUR_MS, now + HOUR_MS))
        assert not mine.all_tenants
        await office.reread()
        tables = routing_tables(office.view.desk)
        assert [len(tables[tenant_id].windows) for tenant_id in ("pnc", "life")] == [1, 0]
        assert not office.view.desk.closing("one"), "life is offered it still"
        state = channels_pb2.GetChannelHealthRequest(channel_id="one")
        maintenance = channels_pb2.ChannelHealth.STATE_MAINTENANCE
        assert [(await stub.GetChannelHealth(state)).state == maintenance for stub in (pnc, life)] == [True, False]
        assert not (await life.ListMaintenanceWindows(channels_pb2.ListMaintenanceWindowsRequest())).windows
        assert not (await life.GetChannelHealth(state)).windows
        assert (await refused(life.CancelMaintenanceWindow(cancel("c", mine.window_id))))["reason"] == "WINDOW_NOT_FOUND"
        await life.SetMaintenanceWindow(wish("w1", now - HOUR_MS, now + HOUR_MS))  # overlaps nothing that it could see
        ours = await root.SetMaintenanceWindow(wish("w2", now + 2 * HOUR_MS, now + 3 * HOUR_MS))
        assert ours.all_tenants
        await office.reread()
        assert [len(routing_tables(office.view.desk)[tenant_id].windows) for tenant_id in ("pnc", "life")] == [2, 2]
        assert [window.window_id for window in office.view.desk.closing("one")] == [ours.window_id]
        assert (await refused(pnc.CancelMaintenanceWindow(cancel("c", ours.window_id))))["reason"] == "WINDOW_OF_ALL"
        force = channels_pb2.ForceChannelStateRequest(
            request_id="f", channel_id="one", state=channels_pb2.ChannelHealth.STATE_FORCED_OPEN, reason="down"
        )
        force.ttl.FromSeconds(60)
        assert (await refused(pnc.ForceChannelState(force)))["reason"] == "CHANNEL_SHARED"
        assert (await refused(root.ForceChannelState(force)))["reason"] == "CONNECTOR_RESTARTING", "stored: nobody is here"
        assert (await office.database.run(desk_store.load)).forced["one"].state == "FORCED_OPEN"


async def test_a_window_is_cut_short_or_taken_back_and_both_are_on_record(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        stub, now = await admin(office), now_ms()
        running = await stub.SetMaintenanceWindow(wish("w1", now - HOUR_MS, now + 9 * HOUR_MS))
        coming = await stub.SetMaintenanceWindow(wish("w2", now + 10 * HOUR_MS, now + 11 * HOUR_MS))
        ended = await stub.CancelMaintenanceWindow(cancel("c1", running.window_id))
        again = await stub.CancelMaintenanceWindow(cancel("c1", running.window_id))
        assert again.end_time == ended.end_time
        assert store.CUT_MS <= ended.end_time.ToMilliseconds() - now < store.CUT_MS + 5_000
        await stub.CancelMaintenanceWindow(cancel("c2", coming.window_id))
        assert (await refused(stub.CancelMaintenanceWindow(cancel("c3", coming.window_id))))["reason"] == "WINDOW_OVER"
        known = (await office.database.run(desk_store.load)).windows
        assert [(window.window_id, window.end_ms) for window in known] == [
            (running.window_id, ended.end_time.ToMilliseconds())]  # fmt: skip
        past = channels_pb2.ListMaintenanceWindowsRequest(include_past=True)
        assert len((await stub.ListMaintenanceWindows(past)).windows) == 2
        auditor = await office.stub(audit_pb2_grpc.AuditStub, "AUDITOR", principal="chen")
        chosen = audit_pb2.AuditFilter(operation="Channels.CancelMaintenanceWindow")
        assert len((await auditor.SearchAudit(audit_pb2.SearchAuditRequest(filter=chosen))).entries) == 2


async def _announce(house: House, start_ms: int, end_ms: int, **more: Any) -> None:
    window = Window("win_1", "c1", start_ms, end_ms, "upgrade", **more)
    await house.database.run(store.add, window, {}, principal="zhang", may_overlap=False)
    await house.router._read_desk()
    await house.connectors["c1"].windows((await house.database.run(desk_store.load)).windows)


async def test_orders_go_elsewhere_what_is_under_way_is_asked_about_and_the_end_is_a_trial(
    emptied_database_url: str, tmp_path: Path
) -> None:
    profiles = Profile("c1", asynchronous=True, payer_delay_ms_p50=60_000.0), Profile("c2")
    async with opened_house(emptied_database_url, tmp_path, *profiles) as house:
        start_ms = house.now_ms() + 60_000
        await _announce(house, start_ms, start_ms + 3_600_000)
        before = await house.pay("before")
        assert (before.channel_id, before.state) == ("c1", State.PENDING)
        await house.skip((start_ms - house.now_ms()) / 1000)
        assert (await house.pay("inside")).channel_id == "c2"
        await house.skip(900)
        await house.sweep(2)
        assert house.payment("before").state is State.SUCCEEDED
        await house.skip((start_ms + 3_599_000 - house.now_ms()) / 1000)
        await house.connectors["c1"]._weigh(publish=True)
        await house.skip((start_ms + 3_600_000 - house.now_ms()) / 1000)
        late = {"expire_ms": house.now_ms() + 900_000}
        assert (await house.pay("just after", **late)).channel_id == "c2"  # nobody has tried it out yet
        house.connectors["c1"]._leave_window(house.now_ms())
        await house.connectors["c1"]._weigh(publish=True)
        assert house.router._snapshots["c1"].state is Health.HALF_OPEN
        await house.check(at_rest=False)
