"""A channel that is set up while the deployment runs: its connector comes without a restart."""

import urllib.request

from google.protobuf import struct_pb2

from domain.permissions import PLATFORM, PLATFORM_ROLES
from ops.deployment import make_key
from protos.paydesk.v1 import channels_pb2
from tests.end_to_end.conftest import Api, House, fresh, until


def test_a_new_channel_has_its_connector_within_seconds(house: House) -> None:
    running = house.deployment
    _, key = running.transact(
        lambda connection: make_key(
            connection, running.settings.directory(), tenant_id=PLATFORM, principal="wu", roles=PLATFORM_ROLES
        )
    )
    platform = Api(running.target, key)
    settings = struct_pb2.Struct()
    settings.update({"base_url": "http://127.0.0.1:9"})
    request = channels_pb2.CreateChannelRequest(
        request_id=fresh("channel"), channel_id="late_bank", display_name="Late Bank", kind="iso20022", settings=settings,
        reason="a bank that was won over today",
    )  # fmt: skip
    until(lambda: _made(platform, request))

    def speaks() -> bool:
        with urllib.request.urlopen(f"{house.http_url}/metrics", timeout=10) as page:
            return b'channel_score{channel="late_bank"}' in page.read()

    until(speaks, 30)


def _made(platform: Api, request: channels_pb2.CreateChannelRequest) -> bool:
    return _allowed(platform) and bool(platform.channels.CreateChannel(request).channel_id)


def _allowed(platform: Api) -> bool:
    """Gateways hear of a new key within a second."""
    import grpc

    from protos.paydesk.v1 import identity_pb2, identity_pb2_grpc

    try:
        identity_pb2_grpc.IdentityStub(platform.channel).WhoAmI(
            identity_pb2.WhoAmIRequest(), metadata=(("authorization", f"Bearer {platform.key}"),), timeout=5
        )
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            return False
        raise
    return True
