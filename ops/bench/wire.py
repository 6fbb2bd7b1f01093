"""Payments over the wires of real channels: the channel's own code against the simulated wire, over HTTP, both sides signing.

    python -m ops.bench.wire serve  --wires FILE
    python -m ops.bench.wire sample --kind alipay --wires FILE --sample FILE
    python -m ops.bench.wire pay    --kind alipay --wires FILE --server PID
    python -m ops.bench.wire bare   --kind alipay --sample FILE --port P --server PID

`pay` asks a channel for payments as its connector does: in lists, many at once, each a request that we sign and the wire
verifies, and an answer that the wire signs and we verify. `bare` is what it is compared with: the bytes of one such
request, as a look-on saw them pass, written onto connections that stay open; the same answer from a server of the same
kind that does nothing else (`ops.bench.wire_bare`); and one signature made and one verified on each side, making in
threads. Nothing is composed, parsed, compared, routed or remembered there, and no HTTP library reads what comes.

A bank takes payments by the file, with one signature for all of them. It is compared with the bare work of one signed
request per payment: that is what the file saves.

How long the loop was *busy* in one go is the CPU time of its thread between two timers: signing there would be seen, and
other processes are not. It is *late* when a timer fires after its time, for whatever reason. A loop without room is late
in any case, because all answers that have come are read in one go; so both are told of half the rate (`--rate`).
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import uvloop

from channels.http import HttpTransport, Reply
from channels.port import Answer, Charge, DebitRequest, Payee, PayeeKind, PayoutRequest
from channels.registry import make_channel
from domain.credentials import Credentials
from domain.evidence import Outcome
from domain.identifiers import attempt_number
from ops.bench.caller import percentile_ms
from ops.bench.loop import Loop
from ops.bench.wire_bare import Party, Sample
from simulator.wire import alone
from simulator.wire.iso20022.credentials import BANK_CODE, account_no

WARM_S = 1.0
# Payers stay away for a day, so that charges alone are measured; an order ends after an hour.
PAYER_DELAY_MS = 86_400_000
EXPIRE_MS = 3_600_000


class Load(NamedTuple):
    """How one wire is used: which channel, and how many lists of how many payments are under way at once."""

    channel: str
    operation: str
    batch: int
    lanes: int


# A bank's list is one file, the others' is so many requests.
LOADS: Mapping[str, Load] = {
    "alipay": Load("alipay", "charge", 16, 6),
    "wechatpay": Load("wechatpay", "charge", 16, 6),
    "unionpay": Load("unionpay", "charge", 16, 6),
    "pain.001": Load("iso20022", "payout", 200, 4),
    "pain.008": Load("iso20022", "debit", 200, 4),
}


class _Account(NamedTuple):
    merchant_no: str
    terms: Mapping[str, Any]
    credentials: Sequence[Credentials]


class Payer:
    """Asks one channel for payments."""

    def __init__(self, load: Load, wires: Mapping[str, Any], base_url: str = "") -> None:
        """`base_url` goes before that of the wires."""
        account = wires["kinds"][load.channel]["accounts"][0]
        url = f"{base_url or wires['base_url']}/{load.channel}"
        bank = {"account_name": "Group", "account_no": account_no(account["merchant_no"]), "bank_code": BANK_CODE}
        accounts = [_Account(account["merchant_no"], bank | account["values"], [Credentials(1, account["values"])])]
        settings = {"base_url": f"{url}/gateway.do" if load.channel == "alipay" else url}
        self._merchant_no = account["merchant_no"]
        self._load = load
        self.channel: Any = make_channel(load.channel, load.channel, settings, accounts, None)  # type: ignore[arg-type]

    async def pay(self, count: int) -> Counter[str]:
        """Ask for so many payments in one list; return what came of them, "" for what was taken."""
        now_ms = time.time_ns() // 1_000_000
        numbers = [attempt_number(shard=1, now_ms=now_ms, random=os.urandom(5)) for _ in range(count)]
        requests = [getattr(self, f"_{self._load.operation}")(number, now_ms) for number in numbers]
        outcomes: Counter[str] = Counter()
        answers: list[Answer]
        async for answers in getattr(self.channel, self._load.operation)(requests):
            outcomes.update("" if _taken(answer) else f"{answer.outcome} {answer.reason}" for answer in answers)
        return outcomes

    def _charge(self, number: str, now_ms: int) -> Charge:
        return Charge(
            number, self._merchant_no, 1_800, "CNY", f"ORD{number}", "旅行意外险 7 天", "", now_ms + EXPIRE_MS,
            "https://pay.insurer.example/callbacks/bench", "APP" if self._load.channel == "unionpay" else "",
        )  # fmt: skip

    def _payout(self, number: str, _now_ms: int) -> PayoutRequest:
        payee = Payee(PayeeKind.BANK_CARD, "6222020200000000006", "张三", "102100099996")
        return PayoutRequest(number, self._merchant_no, 1_800, "CNY", payee, "理赔款")

    def _debit(self, number: str, _now_ms: int) -> DebitRequest:
        payer = Payee(PayeeKind.BANK_CARD, "6222020200000000006", "李四", "102100099996")
        return DebitRequest(number, self._merchant_no, 1_800, "CNY", f"ORD{number}", "期交保费", "M-1", "", payer)


def _taken(answer: Answer) -> bool:
    return answer.outcome in (Outcome.ACCEPTED, Outcome.DONE)


class Bare:
    """Does the bare work."""

    def __init__(self, sample: Sample, port: int) -> None:
        self._sample = sample
        self._port = port
        self._party = Party()
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def many(self, count: int) -> Counter[str]:
        """Do so many side by side."""
        await asyncio.gather(*(self._one() for _ in range(count)))
        return Counter({"": count})

    async def _one(self) -> None:
        await self._party.sign(self._sample.body)
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(self._sample.request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        await reader.readexactly(len(self._sample.answer))
        self._idle.append((reader, writer))
        self._party.verify()


async def measure(
    work: Callable[[int], Awaitable[Counter[str]]], *, batch: int, lanes: int, seconds: float, server: int, rate: float = 0
) -> dict[str, Any]:
    """Keep `work` busy in lanes for some counted seconds, at a rate or, with 0, as fast as it goes.

    `server` is the process at the other end.
    """
    begin_s = time.perf_counter() + WARM_S
    end_s = begin_s + seconds
    outcomes: Counter[str] = Counter()
    loop, other = Loop(), psutil.Process(server)

    async def lane(place: int) -> None:
        pause_s = lanes * batch / rate if rate else 0.0
        due_s = time.perf_counter() + pause_s * place / lanes
        while time.perf_counter() < end_s:
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            due_s += pause_s
            found = await work(batch)
            if begin_s <= time.perf_counter() <= end_s:
                outcomes.update(found)

    running = [asyncio.create_task(lane(place)) for place in range(lanes)]
    await asyncio.sleep(WARM_S)
    watching = asyncio.create_task(loop.watch())
    before = _cpu_s(), sum(other.cpu_times()[:2])
    await asyncio.sleep(end_s - time.perf_counter())
    used = _cpu_s() - before[0], sum(other.cpu_times()[:2]) - before[1]
    watching.cancel()
    await asyncio.gather(*running)
    done = outcomes.pop("", 0)
    return {
        "per_s": round(done / seconds, 1),
        "failed": dict(outcomes),
        "cpu_us": round(sum(used) / max(done, 1) * 1e6),
        "cores_used": {"connector": round(used[0] / seconds, 2), "wire": round(used[1] / seconds, 2)},
        "loop_busy_max_ms": percentile_ms(sorted(loop.busy_s), 1.0),
        "loop_late_p99_ms": percentile_ms(sorted(loop.late_s), 0.99),
        "loop_late_max_ms": percentile_ms(sorted(loop.late_s), 1.0),
    }


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def sample_of(load: Load, wires: Mapping[str, Any]) -> Sample:
    """Ask for one payment through a relay that looks on, and return what went over the wire."""
    await _keep_payers_away(load.channel, wires["base_url"])
    host, port = wires["base_url"].removeprefix("http://").split(":")
    sent, told = bytearray(), bytearray()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(host, int(port))
        passing = asyncio.gather(_pass(reader, there[1], sent), _pass(there[0], writer, told))
        with contextlib.suppress(asyncio.CancelledError):
            await passing

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as looking_on:
        payer = Payer(load, wires, f"http://127.0.0.1:{looking_on.sockets[0].getsockname()[1]}")
        outcomes = await payer.pay(1)
        await payer.channel.aclose()
    assert outcomes == {"": 1}, f"the wire refuses: {dict(outcomes)}"
    return Sample.of(bytes(sent), bytes(told))


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: bytearray) -> None:
    while data := await reader.read(1 << 16):
        seen += data
        writer.write(data)
    writer.close()


async def _keep_payers_away(channel: str, base_url: str) -> None:
    transport = HttpTransport()
    profile = json.dumps([{"channel_id": channel, "payer_delay_ms_p50": PAYER_DELAY_MS}]).encode()
    reply = await transport.send("POST", f"{base_url}/control/configure", body=profile)
    await transport.aclose()
    assert isinstance(reply, Reply) and reply.status == 200, reply


async def pay(
    kind: str, wires: Mapping[str, Any], *, seconds: float, server: int, rate: float = 0
) -> dict[str, Any]:
    """Measure a channel."""
    load = LOADS[kind]
    payer = Payer(load, wires)
    try:
        return await measure(
            payer.pay, batch=load.batch, lanes=load.lanes, seconds=seconds, server=server, rate=rate
        )
    finally:
        await payer.channel.aclose()


async def bare(sample: Sample, *, port: int, seconds: float, server: int) -> dict[str, Any]:
    """Measure what it is compared with, as many at once as a channel asks."""
    load = LOADS["alipay"]
    return await measure(Bare(sample, port).many, batch=load.batch, lanes=load.lanes, seconds=seconds, server=server)


async def serve(hub_file: Path) -> None:
    """Serve the wires until killed."""
    stop = asyncio.Event()
    await alone.serve(hub_file.parent / "world", host="127.0.0.1", port=0, seed=1, hub_file=hub_file, stop=stop)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Pay over a wire, or do the bare work behind it.")
    parser.add_argument("what", choices=("serve", "sample", "pay", "bare"))
    parser.add_argument("--kind", choices=LOADS)
    parser.add_argument("--wires", type=Path)
    parser.add_argument("--sample", type=Path)
    parser.add_argument("--port", type=int)
    parser.add_argument("--server", type=int)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rate", type=float, default=0)
    options = parser.parse_args()
    if options.what == "serve":
        uvloop.run(serve(options.wires))
        return
    result: dict[str, Any] = {}
    if options.what == "bare":
        sample = Sample.read(options.sample.read_text(encoding="ascii"))
        result = uvloop.run(bare(sample, port=options.port, seconds=options.seconds, server=options.server))
    else:
        wires = json.loads(options.wires.read_text(encoding="utf-8"))
        if options.what == "sample":
            options.sample.write_text(uvloop.run(sample_of(LOADS[options.kind], wires)).text(), encoding="ascii")
        else:
            done = pay(options.kind, wires, seconds=options.seconds, server=options.server, rate=options.rate)
            result = uvloop.run(done)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
