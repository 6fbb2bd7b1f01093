"""The office itself: real calls, real refusals, no Ray."""

import grpc
import pytest

from protos.paydesk.v1 import channels_pb2, channels_pb2_grpc, payments_pb2, payments_pb2_grpc
from tests.integration.office import opened_office


async def test_a_caller_reads_what_its_role_allows_and_nothing_else(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        viewer = await office.stub(payments_pb2_grpc.PaymentsStub, "VIEWER")
        assert not (await viewer.ListPayments(payments_pb2.ListPaymentsRequest())).payments
        channels = await office.stub(channels_pb2_grpc.ChannelsStub, "VIEWER")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channels.ForceChannelState(channels_pb2.ForceChannelStateRequest())
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
