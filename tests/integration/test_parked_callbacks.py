"""Who is shown which callbacks that nothing could use yet."""

from typing import Any

import pytest

from domain.permissions import PLATFORM
from protos.paydesk.v1 import channels_pb2, channels_pb2_grpc
from servers.pages import token
from storage import callbacks as store
from storage import row_security
from storage.database import transact
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
    await office.database.run(store.keep, kept)


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

        def forgetful(connection: Any) -> list[str]:
            row_security.enter(connection, "life")
            return [row.notify_id for row in store.parked(connection, limit=50)]

        assert transact(office.database.engine, forgetful) == ["n4"]


@pytest.mark.parametrize("key", ["n", "1", "9" * 30, "-1 a", "٣ a", "1 " + "a" * 90])
async def test_a_token_of_another_list_is_no_page(emptied_database_url: str, key: str) -> None:
    async with opened_office(emptied_database_url) as office:
        stub = await office.stub(channels_pb2_grpc.ChannelsStub, "OPS")
        asked = stub.ListParkedCallbacks(channels_pb2.ListParkedCallbacksRequest(page_token=token(key)))
        assert await reason_of(asked) in ("INVALID_FIELD", "OK" if key.startswith("1") else "INVALID_FIELD")
