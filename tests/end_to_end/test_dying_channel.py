"""Stories 10 and 11: a channel dies and returns; payers without funds are no illness."""

from ops.drill import Scene, dying_channel
from protos.paydesk.v1 import common_pb2
from tests.end_to_end.conftest import Api, House


async def test_a_channel_dies_and_returns(house: House, shop: Api) -> None:
    scene = Scene(
        dying="instant", method=common_pb2.METHOD_BANK_CARD, poor="slow", poor_method=common_pb2.METHOD_UNION_PAY,
        product_code="TRAVEL_ACC",
    )  # fmt: skip
    report = await dying_channel(target=house.deployment.target, key=shop.key, scene=scene)
    assert not report.broken(), "\n".join(report.broken())
    assert report.orders_later > 300
