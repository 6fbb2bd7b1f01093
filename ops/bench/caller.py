"""A load generator in a process of its own: so many callers, each calling again as soon as it is answered.

    python -m ops.bench.caller --target HOST:PORT --key KEY --callers 512 --seconds 10

prints one JSON object: calls, calls_per_s, errors by code, and latency percentiles in milliseconds.
"""

import argparse
import asyncio
import itertools
import json
import os
import resource
import sys
import time
from collections import Counter

import grpc
import uvloop

from protos.paydesk.v1 import common_pb2, payments_pb2, payments_pb2_grpc

CHANNELS = 4
TIMEOUT_S = 20.0


def request_of(run: str, caller: int, number: int) -> payments_pb2.CreatePaymentRequest:
    """Return the message that echo and payments are both called with."""
    order = f"{run}-{caller:03d}-{number:06d}"
    return payments_pb2.CreatePaymentRequest(
        request_id=order, order_no=f"ORD{order}", product_code="TRAVEL_ACC",
        amount=common_pb2.Money(amount_minor=1800, currency_code="CNY"), subject="旅行意外险 7 天",
        payer_ref="payer-0001", terminal=common_pb2.TERMINAL_H5,
    )  # fmt: skip


async def call(
    target: str, key: str, callers: int, seconds: float, warm_s: float, calls_max: int
) -> dict[str, object]:
    """Call for `warm_s` uncounted and then `seconds` counted seconds, or until there were `calls_max` calls."""
    channels = [grpc.aio.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(CHANNELS)]
    stubs = [payments_pb2_grpc.PaymentsStub(channel) for channel in channels]
    metadata = (("authorization", f"Bearer {key}"),)
    run = os.urandom(3).hex()
    begin_s = time.perf_counter() + warm_s
    end_s = begin_s + seconds
    latencies: list[float] = []
    errors: Counter[str] = Counter()
    states: Counter[int] = Counter()
    places = itertools.count()

    async def caller(number: int) -> None:
        create = stubs[number % CHANNELS].CreatePayment
        count = 0
        while (sent_s := time.perf_counter()) < end_s and next(places) < calls_max:
            count += 1
            try:
                answer = await create(request_of(run, number, count), metadata=metadata, timeout=TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                errors[f"{error.code().name}: {error.details()}"[:120]] += 1
                await asyncio.sleep(0.05)
                continue
            if sent_s >= begin_s:
                done_s = time.perf_counter()
                if done_s <= end_s:
                    latencies.append(done_s - sent_s)
                    states[answer.state] += 1

    await asyncio.gather(*(caller(number) for number in range(callers)))
    for channel in channels:
        await channel.close()
    latencies.sort()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "callers": callers,
        "calls": len(latencies),
        "calls_per_s": round(len(latencies) / seconds, 1),
        "p50_ms": percentile_ms(latencies, 0.50),
        "p99_ms": percentile_ms(latencies, 0.99),
        "errors": dict(errors),
        "states": {payments_pb2.Payment.State.Name(state): count for state, count in states.items()},
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
    }


def percentile_ms(sorted_s: list[float], share: float) -> float:
    """Return a percentile of sorted seconds in milliseconds, 0 for none."""
    if not sorted_s:
        return 0.0
    return round(sorted_s[min(len(sorted_s) - 1, int(share * len(sorted_s)))] * 1000, 2)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Call CreatePayment in a closed loop.")
    parser.add_argument("--target", required=True)
    parser.add_argument("--key", default="")
    parser.add_argument("--callers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--warm-s", type=float, default=2)
    parser.add_argument("--calls-max", type=int, default=sys.maxsize)
    options = parser.parse_args()
    done = call(
        options.target, options.key, options.callers, options.seconds, options.warm_s, options.calls_max
    )
    print(json.dumps(uvloop.run(done)))


if __name__ == "__main__":
    main()
