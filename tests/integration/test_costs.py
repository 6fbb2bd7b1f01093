"""What a tenant's contracts cost is its own people's to see, and no partner's."""

import pytest

from domain.routing import reason_text
from protos.paydesk.v1 import channels_pb2, channels_pb2_grpc
from servers.identity import Caller, set_caller
from servers.routing import decision_message
from tests.integration.office import opened_office
from tests.unit.test_routing import ORDER, account, route, snapshot


@pytest.mark.parametrize(("role", "sees"), [("PARTNER_API", False), ("OPS", True), ("VIEWER", True), ("CHANNEL_ADMIN", True)])
async def test_fees_are_shown_to_whom_they_concern(emptied_database_url: str, role: str, sees: bool) -> None:
    async with opened_office(emptied_database_url) as office:
        stub = await office.stub(channels_pb2_grpc.ChannelsStub, role)
        listed = (await stub.ListChannels(channels_pb2.ListChannelsRequest())).channels
        assert [channel.fee_bps for channel in listed] == ([10, 210] if sees else [0, 0])
    set_caller(Caller("pnc", "zhang", frozenset({role})))
    decision = route((account("wx", fee_bps=60), account("ali", fee_bps=80)), (snapshot("wx"), snapshot("ali")), ORDER)
    message = decision_message(decision)
    assert all(bool(each.fee_minor) is bool(each.expected_value_minor) is sees for each in message.candidates)
    assert [each.fee_minor for each in message.candidates] == [each.fee_minor if sees else 0 for each in decision.candidates]
    assert (", fee " in message.reason_text) is sees
    assert message.chosen_channel_id in reason_text(decision)
