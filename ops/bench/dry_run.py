"""A closed-loop load generator for DryRunRoute, in a process of its own.

python -m ops.bench.dry_run --target HOST:PORT --key KEY --callers 128 --seconds 8
"""

import argparse
import asyncio
import json
import time

import grpc
import uvloop

from ops.bench.caller import percentile_ms
from protos.paydesk.v1 import common_pb2, routing_pb2, routing_pb2_grpc

CHANNELS = 4
WARM_S = 2.0


async def call(target: str, key: str, callers: int, seconds: float) -> dict[str, object]:
    """Call for WARM_S uncounted and then `seconds` counted seconds."""
    channels = [grpc.aio.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(CHANNELS)]
    stubs = [routing_pb2_grpc.RoutingStub(channel) for channel in channels]
    metadata = (("authorization", f"Bearer {key}"),)
    begin_s = time.perf_counter() + WARM_S
    end_s = begin_s + seconds
    latencies: list[float] = []
    chosen: dict[str, int] = {}

    async def caller(number: int) -> None:
        decide = stubs[number % CHANNELS].DryRunRoute
        count = 0
        while (sent_s := time.perf_counter()) < end_s:
            count += 1
            request = routing_pb2.DryRunRouteRequest(
                order_no=f"dry-{number}-{count}", product_code="TRAVEL_ACC", terminal=common_pb2.TERMINAL_H5,
                amount=common_pb2.Money(amount_minor=1800 + count % 500, currency_code="CNY"),
            )  # fmt: skip
            answer = await decide(request, metadata=metadata, timeout=20)
            if sent_s >= begin_s:
                latencies.append(time.perf_counter() - sent_s)
                chosen[answer.chosen_channel_id] = chosen.get(answer.chosen_channel_id, 0) + 1

    await asyncio.gather(*(caller(number) for number in range(callers)))
    for channel in channels:
        await channel.close()
    latencies.sort()
    return {
        "callers": callers, "decisions_per_s": round(len(latencies) / seconds, 1),
        "p50_ms": percentile_ms(latencies, 0.5), "p99_ms": percentile_ms(latencies, 0.99), "chosen": chosen,
    }  # fmt: skip


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Call DryRunRoute in a closed loop.")
    parser.add_argument("--target", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--callers", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=8)
    options = parser.parse_args()
    print(json.dumps(uvloop.run(call(options.target, options.key, options.callers, options.seconds))))


if __name__ == "__main__":
    main()
