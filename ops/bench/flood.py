"""A tenant that sends batches as fast as it is let: it waits only for answers, and as long as a refusal says.

    python -m ops.bench.flood --target HOST:PORT --key KEY

It says READY once the first batch is under way, and ends when its standard input does.
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time

import grpc
import uvloop
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from ops.bench.caller import request_of
from protos.paydesk.v1 import payments_pb2, payments_pb2_grpc

# More than a tenant may hold of a gateway, in batches that are small enough to be counted within a few seconds.
BATCH = 100
CALLERS = 12
TIMEOUT_S = 60.0


async def flood(target: str, key: str) -> dict[str, float]:
    """Send batches until standard input ends; return what was taken and refused."""
    metadata = (("authorization", f"Bearer {key}"),)
    run, begin_s = os.urandom(3).hex(), time.perf_counter()
    taken_count = refused_count = 0

    async def caller(number: int, stub: payments_pb2_grpc.PaymentsStub) -> None:
        nonlocal taken_count, refused_count
        count = 0
        while True:
            wishes = [request_of(run, number, count + place) for place in range(BATCH)]
            try:
                answer = await stub.BatchCreatePayments(
                    payments_pb2.BatchCreatePaymentsRequest(requests=wishes), metadata=metadata, timeout=TIMEOUT_S
                )
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
                refused_count += 1
                await asyncio.sleep(_delay_s(error))
                continue
            count += BATCH
            taken_count += sum(result.HasField("payment") for result in answer.results)

    async with grpc.aio.insecure_channel(target) as channel:
        callers = [asyncio.create_task(caller(number, payments_pb2_grpc.PaymentsStub(channel))) for number in range(CALLERS)]
        print("READY", flush=True)
        ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        await asyncio.wait([ended, *callers], return_when=asyncio.FIRST_COMPLETED)
        for task in callers:
            if task.done():
                task.result()
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*callers)
    seconds = time.perf_counter() - begin_s
    return {"batch_payments_per_s": round(taken_count / seconds, 1), "batches_refused_per_s": round(refused_count / seconds, 1)}


def _delay_s(error: grpc.aio.AioRpcError) -> float:
    """Return how long a refusal asks us to wait."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(retry):
            return float(retry.retry_delay.seconds)
    return 0.0


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Call BatchCreatePayments as fast as it is let.")
    parser.add_argument("--target", required=True)
    parser.add_argument("--key", required=True)
    options = parser.parse_args()
    print(json.dumps(uvloop.run(flood(options.target, options.key))))


if __name__ == "__main__":
    main()
