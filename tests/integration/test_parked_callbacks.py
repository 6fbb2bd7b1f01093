"""Who is shown which callbacks that nothing could use yet."""

from typing import Any

import pytest

from domain.permissions import PLATFORM
from protos.paydesk.v1 import channels_pb2, channels_pb2_grpc
from servers.identity import Caller, set_caller
from servers.pages import token
from servers.tenant_database import TenantDatabase
from storage import callbacks as store
from tests.harness import merchant_no
from tests.integration.office import Office, opened_office, reason_of

# Parked together, in one batch; the last two are those of a merchant that is nobody's here, and one that was applied.
NOTICES = [
    ("one", "pnc", "n1", "PARKED"), ("one", "pnc", "n2", "PARKED"), ("two", "pnc", "n3", "PARKED"),
    ("one", "life", "n4", "PARKED"), ("one", "stranger", "n5", "PARKED"), ("one", "pnc", "n6", "APPLIED"),
]  # fmt: skip


async def keep(office: Office) -> None:
    kept = [
        (store.Received(channel, f"{merchant_no(tenant, channel)}/{number}", f"of-{number}", b"raw"), state)
        for channel, tenant, number, state in NOTICES
    ]
    await office.database.ask(store.keep, kept)


async def shown(stub: Any, *, page_size: int = 50, **more: str) -> list[str]:
    found: list[str] = []
    page_token = ""
    while True:
        request = channels_pb2.ListParkedCallbacksRequest(page_size=page_size, page_token=page_token, **more)
        page = await stub.ListParkedCallbacks(request)
        assert len(page.callbacks) <= page_size
        for row in page.callbacks:
            assert (row.attempt_no, row.size_bytes) == (f"of-{row.notify_id}", 3)
            assert row.receive_time.seconds
        found += [row.notify_id for row in page.callbacks]
        page_token = page.next_page_token
        if not page_token:
            return sorted(found)


@pytest.mark.parametrize("walled", [True, False])
async def test_a_tenant_is_shown_the_callbacks_to_its_own_accounts(emptied_database_url: str, walled: bool) -> None:
    async with opened_office(emptied_database_url, walled=walled) as office:
        await keep(office)
        for tenant_id, own in (("pnc", ["n1", "n2", "n3"]), ("life", ["n4"])):
            stub = await office.stub(channels_pb2_grpc.ChannelsStub, "OPS", tenant_id=tenant_id)
            assert await shown(stub) == await shown(stub, page_size=1) == own
            assert await shown(stub, channel_id="one") == [number for number in own if number != "n3"]
            asked = channels_pb2.ListParkedCallbacksRequest(channel_id="three")
            assert await reason_of(stub.ListParkedCallbacks(asked)) == "CHANNEL_NOT_FOUND"
        root = await office.stub(channels_pb2_grpc.ChannelsStub, "PLATFORM_ADMIN", tenant_id=PLATFORM, principal="root")
        assert await shown(root, page_size=2) == ["n1", "n2", "n3", "n4", "n5"]


async def test_the_wall_alone_keeps_tenants_apart(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        await keep(office)
        behind = TenantDatabase(office.database, walled=True)
        set_caller(Caller("life", "li", frozenset({"OPS"})))
        for work in (behind.run, behind.ask):
            assert [row.notify_id for row in await work(store.parked, limit=50)] == ["n4"]
        assert len(await office.database.ask(store.parked, limit=50)) == 5


async def test_a_token_of_another_list_is_no_page(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        stub = await office.stub(channels_pb2_grpc.ChannelsStub, "OPS")
        answers = {
            key: await reason_of(stub.ListParkedCallbacks(channels_pb2.ListParkedCallbacksRequest(page_token=token(key))))
            for key in ("n", "1", "1 ", "9" * 30 + " a", "-1 a", "٣ a", "pay_1 a", "1 " + "a" * 32)
        }
        assert answers == dict.fromkeys(answers, "INVALID_FIELD") | {"1 " + "a" * 32: "OK"}


async def test_of_two_with_one_number_the_applied_one_counts(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        notice = store.Received("one", f"{merchant_no('pnc', 'one')}/n1", "of-n1", b"raw")
        for states in (("APPLIED", "PARKED"), ("PARKED", "APPLIED"), ("PARKED",)):
            await office.database.ask(store.keep, [(notice, state) for state in states])
            assert await office.database.run(store.parked, limit=9) == []
