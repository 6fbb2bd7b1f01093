"""An open-model load generator: payments begin at their own times, whether or not earlier ones have been answered.

    python -m ops.bench.open_model --target HOST:PORT --key KEY --rate 400 --seconds 20 --channel slow --seed 1

Every latency is measured from the time at which the payment should have begun, so a stall counts for all that it held
up. The channel's own time is drawn by the sandbox from the order's number, and drawn here again in the same way: what
is left is ours.
"""

import argparse
import asyncio
import json
import os
import time
from collections import Counter

import grpc
import uvloop

from ops.bench.caller import percentile_ms, request_of
from protos.paydesk.v1 import payments_pb2, payments_pb2_grpc
from simulator.draws import SEPARATOR, Draws, log_normal_ms

CHANNELS = 4
# The merchant of ops/bench/slow-desk.toml: the sandbox draws by merchant, order, amount and try.
MERCHANT_NO = "M1"
TIMEOUT_S = 20.0


async def drive(target: str, key: str, rate: float, seconds: float, draws: Draws, p50_ms: float, p99_ms: float) -> dict[str, object]:
    """Begin `rate` payments a second for `seconds`; the first two seconds warm up and are not counted."""
    channels = [grpc.aio.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(CHANNELS)]
    stubs = [payments_pb2_grpc.PaymentsStub(channel) for channel in channels]
    metadata = (("authorization", f"Bearer {key}"),)
    run = os.urandom(3).hex()
    totals: list[float] = []
    own: list[float] = []
    errors: Counter[str] = Counter()
    states: Counter[str] = Counter()
    begin_s = time.perf_counter() + 0.5

    async def pay(number: int) -> None:
        due_s = begin_s + number / rate
        request = request_of(run, 0, number)
        try:
            answer = await stubs[number % CHANNELS].CreatePayment(request, metadata=metadata, timeout=TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            errors[f"{error.code().name}: {error.details()}"[:120]] += 1
            return
        total_s = time.perf_counter() - due_s
        if number / rate < 2.0:
            return
        order_key = SEPARATOR.join((MERCHANT_NO, request.order_no, str(request.amount.amount_minor), "1"))
        channel_ms = log_normal_ms(p50_ms=p50_ms, p99_ms=p99_ms, draw=draws.plan(order_key).latency)
        totals.append(total_s)
        own.append(total_s - channel_ms / 1000)
        states[payments_pb2.Payment.State.Name(answer.state)] += 1

    tasks = []
    for number in range(int(rate * (seconds + 2))):
        wait_s = begin_s + number / rate - time.perf_counter()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        tasks.append(asyncio.create_task(pay(number)))
    await asyncio.gather(*tasks)
    for channel in channels:
        await channel.close()
    totals.sort()
    own.sort()
    return {
        "rate_per_s": rate, "payments": len(totals), "total_p50_ms": percentile_ms(totals, 0.5),
        "total_p99_ms": percentile_ms(totals, 0.99), "own_min_ms": percentile_ms(own, 0.0),
        "own_p50_ms": percentile_ms(own, 0.5), "own_p99_ms": percentile_ms(own, 0.99),
        "own_max_ms": percentile_ms(own, 1.0), "errors": dict(errors), "states": dict(states),
    }  # fmt: skip


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Call CreatePayment in an open model.")
    parser.add_argument("--target", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--rate", type=float, default=400)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--channel", default="slow")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--p50-ms", type=float, default=120)
    parser.add_argument("--p99-ms", type=float, default=380)
    options = parser.parse_args()
    draws = Draws(seed=options.seed, channel_id=options.channel)
    result = uvloop.run(
        drive(options.target, options.key, options.rate, options.seconds, draws, options.p50_ms, options.p99_ms)
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
