"""A flood of garbage at the address of callbacks, and real notices among it, in an open model.

    python -m ops.bench.callbacks --port PORT --notices FILE --real 100 --garbage 1000

FILE holds one notice per line, in hexadecimal, as UnionPay would post it. What is sent is written by hand onto connections
that stay open, so that one core is enough for it. Latency counts from the moment a notice was due, whenever it was sent:
how late this process itself was is told beside it, and subtracted from nothing.
"""

import argparse
import asyncio
import itertools
import json
import os
import random
import resource
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

import uvloop
from sqlalchemy import text

from ops.bench.caller import percentile_ms
from ops.bench.loop import Loop
from simulator.wire.accounts import Keys
from simulator.wire.unionpay import credentials, signing
from storage.database import make_engine

CHANNEL_ID = "union"
MERCHANT_NO = "777290000000011"
PATH = f"/callbacks/{CHANNEL_ID}"
# Garbage has lines of its own, as a flood has. A channel opens as many as it needs, so that none of its notices waits here.
REAL_LINES, GARBAGE_LINES = 64, 48
ANSWER_TIMEOUT_S = 30.0
# Of garbage, so much is a body that is far too large.
LARGE_SHARE = 0.005
LARGE_BYTES = 1 << 20

DESK = """
[[tenants]]
tenant_id = "bench"
display_name = "Benchmark"
products = ["TRAVEL_ACC"]

[[channels]]
channel_id = "{channel_id}"
display_name = "The payer's browser pays at UnionPay"
kind = "unionpay"
[channels.settings]
base_url = "http://127.0.0.1:9"
front_url = "https://shop.example/paid"
[channels.settings.limits]
concurrency = 5000
queue_max = 20000

[[accounts]]
account_id = "bench_union"
tenant_id = "bench"
channel_id = "{channel_id}"
merchant_no = "{merchant_no}"
[accounts.terms]
methods = ["BANK_CARD"]
fee_bps = 60
[accounts.credentials]
{credentials}
"""


def write_desk(path: Path) -> Keys:
    """Write a desk with one channel of UnionPay, and return both halves of its account's keys."""
    keys = credentials.make_keys(MERCHANT_NO)
    lines = "\n".join(f'{name} = """\n{value}"""' for name, value in keys[0].items())
    path.write_text(DESK.format(channel_id=CHANNEL_ID, merchant_no=MERCHANT_NO, credentials=lines), encoding="utf-8")
    return keys


def write_notices(path: Path, database_url: str, own: Mapping[str, str], count: int) -> int:
    """Write the notices that so many waiting payments are paid; return how many there are."""
    engine = make_engine(database_url, pool_size=1)
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT attempt_no, amount_minor FROM payments WHERE state = 'PENDING' ORDER BY attempt_no LIMIT :count"
            ),
            {"count": count},
        ).all()
    engine.dispose()
    with path.open("w", encoding="ascii") as file:
        for place, (attempt_no, amount_minor) in enumerate(rows):
            file.write(f"{_notice(own, attempt_no, amount_minor, f'{place:021d}').hex()}\n")
    return len(rows)


def put_off_questions(database_url: str) -> None:
    """Have nobody ask how the payments are: all were made at once, and the channel's address is one where nobody answers."""
    engine = make_engine(database_url, pool_size=1)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE payments SET next_action_time = now() + interval '1 hour' WHERE next_action_time IS NOT NULL")
        )
    engine.dispose()


def paid_count(database_url: str) -> int:
    """Count the payments that succeeded."""
    engine = make_engine(database_url, pool_size=1)
    with engine.connect() as connection:
        count: int = connection.execute(text("SELECT count(*) FROM payments WHERE state = 'SUCCEEDED'")).scalar_one()
    engine.dispose()
    return count


def _notice(own: Mapping[str, str], number: str, amount_minor: int, query_id: str) -> bytes:
    fields = {
        "version": "5.1.0", "encoding": "UTF-8", "signMethod": "01", "txnType": "01", "txnSubType": "01",
        "bizType": "000201", "accessType": "0", "merId": MERCHANT_NO, "orderId": number, "txnTime": "20261124120000",
        "txnAmt": str(amount_minor), "currencyCode": "156", "respCode": "00", "respMsg": "成功[0000000]",
        "queryId": query_id, "signPubKeyCert": own["sign_cert"].strip(),
    }  # fmt: skip
    return urlencode(fields | {"signature": signing.sign(fields, signing.load_key(own["sign_key"]))}).encode()


def garbage(sample: bytes) -> Iterator[bytes]:
    """Return what floods are made of: noise, forged amounts, forged signatures, strange certificates, huge bodies.

    The stranger's keys are made before the flood begins: that takes up to a second, whose garbage would come all at once.
    """
    fields = dict(parse_qsl(sample.decode()))
    stranger = credentials.make_keys("777290000000099")[1]
    strange = fields | {"signPubKeyCert": stranger["sign_cert"].strip()}
    kinds = [
        os.urandom(700),
        b"{" * 700,
        urlencode(fields | {"txnAmt": "1"}).encode(),
        urlencode(fields | {"signature": "AAAA" * 86}).encode(),
        urlencode(strange).encode(),
        urlencode(fields | {"merId": "777290000000099"}).encode(),
        urlencode({name: value for name, value in fields.items() if name != "signature"}).encode(),
    ]
    large = b"x" * LARGE_BYTES
    return (large if random.random() < LARGE_SHARE else body for body in itertools.cycle(kinds))


class Result(NamedTuple):
    """What became of one kind of requests: seconds until the answer, and answers by status."""

    seconds: list[float]
    statuses: Counter[str]


async def flood(port: int, notices: list[bytes], *, real_per_s: float, garbage_per_s: float) -> dict[str, Any]:
    """Send all notices at their rate, and garbage beside them from a second before the first to the last."""
    real, noise, late = Result([], Counter()), Result([], Counter()), Loop()
    wanted: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    unwanted: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    lines = [asyncio.create_task(_line(port, wanted, real)) for _ in range(REAL_LINES)]
    lines += [asyncio.create_task(_line(port, unwanted, noise)) for _ in range(GARBAGE_LINES)]
    bodies = garbage(notices[0])
    begin_s = time.perf_counter()
    watching = asyncio.create_task(late.watch())
    noisy = asyncio.create_task(_pace(unwanted, bodies, garbage_per_s))
    await asyncio.sleep(1)
    await _pace(wanted, iter(notices), real_per_s)
    noisy.cancel()
    seconds = time.perf_counter() - begin_s
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        await wanted.join()
    for task in (watching, *lines):
        task.cancel()
    taken = sorted(real.seconds)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "real_sent": len(notices),
        "real_per_s": round(len(notices) / (seconds - 1), 1),
        "garbage_per_s": round(sum(noise.statuses.values()) / seconds, 1),
        "garbage_behind": unwanted.qsize(),
        "acknowledged": real.statuses["200"],
        "p50_ms": percentile_ms(taken, 0.50),
        "p99_ms": percentile_ms(taken, 0.99),
        "max_ms": percentile_ms(taken, 1.0),
        "generator_late_p50_ms": percentile_ms(sorted(late.late_s), 0.50),
        "generator_late_p99_ms": percentile_ms(sorted(late.late_s), 0.99),
        "garbage_p99_ms": percentile_ms(sorted(noise.seconds), 0.99),
        "real_statuses": dict(real.statuses),
        "garbage_statuses": dict(noise.statuses),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
    }


async def _pace(queue: asyncio.Queue[tuple[float, bytes]], bodies: Iterator[bytes], per_s: float) -> None:
    """Put bodies in as they fall due, a few at once where a timer came late."""
    begin_s = time.perf_counter()
    for place, body in enumerate(bodies):
        due_s = begin_s + place / per_s
        if (wait_s := due_s - time.perf_counter()) > 0:
            await asyncio.sleep(wait_s)
        queue.put_nowait((due_s, body))


async def _line(port: int, queue: asyncio.Queue[tuple[float, bytes]], result: Result) -> None:
    """Post what is queued on one connection after the other."""
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None
    while True:
        due_s, body = await queue.get()
        try:
            if reader is None or writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            status, stays = await _post(reader, writer, body)
        except (OSError, EOFError, asyncio.IncompleteReadError, ValueError) as error:
            status, stays = type(error).__name__, False
        if not stays and writer is not None:
            writer.close()
            reader = writer = None
        result.statuses[status] += 1
        result.seconds.append(time.perf_counter() - due_s)
        queue.task_done()


async def _post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> tuple[str, bool]:
    head = f"POST {PATH} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(answer.partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
    await reader.readexactly(length)
    # Whoever answers before the body is read closes the connection; so do we after a large one.
    return answer.split(b" ", 2)[1].decode(), b"connection: close" not in answer and len(body) < LARGE_BYTES


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Post notices and garbage in an open model.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--notices", type=Path, required=True)
    parser.add_argument("--real", type=float, default=100)
    parser.add_argument("--garbage", type=float, default=1_000)
    options = parser.parse_args()
    notices = [bytes.fromhex(line) for line in options.notices.read_text(encoding="ascii").splitlines()]
    print(json.dumps(uvloop.run(flood(options.port, notices, real_per_s=options.real, garbage_per_s=options.garbage))))


if __name__ == "__main__":
    main()
