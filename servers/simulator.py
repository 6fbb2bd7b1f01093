"""The Simulator service: drives the sandbox. It is there only where a sandbox is."""

from collections.abc import AsyncIterator
from typing import Any

from actors.peers import Peer, PeerLost
from domain.refusals import Kind, Refusal, Refused, Violation, invalid
from protos.paydesk.v1 import simulator_pb2, simulator_pb2_grpc
from servers import translate

TRUTH_PAGE = 2_000
_PROFILE_FIELDS = (
    "channel_id", "success_rate", "latency_ms_p50", "latency_ms_p99", "asynchronous", "payer_delay_ms_p50", "fee_bps",
    "rate_limit_per_s",
)  # fmt: skip
_COUNTS = [field.name for field in simulator_pb2.SimulatorStats.ChannelStats.DESCRIPTOR.fields]


class SimulatorService(simulator_pb2_grpc.SimulatorServicer):
    """Translates; the simulator actor does."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return await self._peer.call(method, *arguments, timeout_s=90.0)
        except PeerLost as error:
            raise Refused(Refusal(Kind.UNAVAILABLE, "SIMULATOR_LOST", "the sandbox did not answer")) from error

    async def ConfigureChannel(
        self, request: simulator_pb2.ConfigureChannelRequest, context: Any
    ) -> simulator_pb2.ChannelProfile:
        """Change the profile of a sandbox channel."""
        done = await self._call("configure", {name: getattr(request.profile, name) for name in _PROFILE_FIELDS})
        return simulator_pb2.ChannelProfile(**{name: done[name] for name in _PROFILE_FIELDS})

    async def InjectFault(self, request: simulator_pb2.InjectFaultRequest, context: Any) -> simulator_pb2.Fault:
        """Switch a fault on or off."""
        fault = request.fault
        if fault.kind == 0 or fault.kind not in simulator_pb2.Fault.Kind.values():
            raise Refused(invalid(Violation("fault.kind", f"{fault.kind} is no kind of fault")))
        await self._call("inject", {
            "channel_id": fault.channel_id,
            "kind": simulator_pb2.Fault.Kind.Name(fault.kind).removeprefix("KIND_"),
            "share": fault.share, "targets": list(fault.targets),
            "ttl_s": fault.ttl.seconds + fault.ttl.nanos / 1e9,
        })  # fmt: skip
        return fault

    async def AdvanceClock(
        self, request: simulator_pb2.AdvanceClockRequest, context: Any
    ) -> simulator_pb2.AdvanceClockResponse:
        """Move the sandbox's clock forward."""
        done = await self._call("advance", request.step.seconds + request.step.nanos / 1e9)
        return simulator_pb2.AdvanceClockResponse(
            now=translate.timestamp(done["now_ms"]), fired_count=done["fired_count"]
        )

    async def ExportTruth(
        self, request: simulator_pb2.ExportTruthRequest, context: Any
    ) -> AsyncIterator[simulator_pb2.TruthEntry]:
        """Stream the ledger of truth."""
        offset = 0
        while True:
            page = await self._call("truth", request.channel_id, offset, TRUTH_PAGE)
            for entry in page:
                yield simulator_pb2.TruthEntry(
                    channel_id=entry["channel_id"], kind=f"KIND_{entry['kind']}", attempt_no=entry["attempt_no"],
                    channel_txn_no=entry["channel_txn_no"], merchant_no=entry["merchant_no"],
                    amount_minor=entry["amount_minor"], currency_code=entry["currency"],
                    time=translate.timestamp(entry["time_ms"]), order_no=entry["order_no"],
                )  # fmt: skip
            offset += len(page)
            if len(page) < TRUTH_PAGE:
                return

    async def Reset(self, request: simulator_pb2.ResetRequest, context: Any) -> simulator_pb2.ResetResponse:
        """Begin again with a seed."""
        await self._call("reset", request.seed)
        return simulator_pb2.ResetResponse()

    async def GetStats(self, request: simulator_pb2.GetStatsRequest, context: Any) -> simulator_pb2.SimulatorStats:
        """Count what the sandbox did."""
        described = await self._call("describe")
        message = simulator_pb2.SimulatorStats(now=translate.timestamp(described["now_ms"]), seed=described["seed"])
        for counts in await self._call("stats"):
            message.channels.add(**{name: counts[name] for name in _COUNTS})
        return message
