"""The demo's hand on the sandbox: what goes wrong, from when to when, through the public Simulator service."""

import asyncio
from typing import Any

import grpc

from ops.demo.day import DEATH, LATE_SUCCESS_SHARE, WEATHER, Day
from protos.paydesk.v1 import channels_pb2, channels_pb2_grpc, simulator_pb2, simulator_pb2_grpc

TIMEOUT_S = 15.0
KEY_WAIT_S = 10.0


class Sandbox:
    """Switches faults on and off, and reads the channels' health."""

    def __init__(self, target: str, keys: dict[str, str]) -> None:
        self._channel = grpc.aio.insecure_channel(target)
        self._simulator: Any = simulator_pb2_grpc.SimulatorStub(self._channel)
        self._channels: Any = channels_pb2_grpc.ChannelsStub(self._channel)
        self._metadata = [(("authorization", f"Bearer {key}"),) for key in keys.values()]

    async def close(self) -> None:
        """Hang up."""
        await self._channel.close()

    async def ready(self) -> None:
        """Wait until the keys, which are a second old, are known to the gateways."""
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + KEY_WAIT_S
        for metadata in self._metadata:
            while True:
                try:
                    request = channels_pb2.ListChannelsRequest()
                    await self._channels.ListChannels(request, metadata=metadata, timeout=TIMEOUT_S)
                    break
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAUTHENTICATED or loop.time() > give_up_s:
                        raise
                    await asyncio.sleep(0.2)

    async def health(self) -> dict[str, tuple[str, float]]:
        """Return state and score of every channel that a tenant has."""
        found = {}
        for metadata in self._metadata:
            request = channels_pb2.ListChannelsRequest()
            listed = await self._channels.ListChannels(request, metadata=metadata, timeout=TIMEOUT_S)
            for channel in listed.channels:
                name = channels_pb2.ChannelHealth.State.Name(channel.state).removeprefix("STATE_")
                found[channel.channel_id] = (name, channel.score)
        return found

    async def make_weather(self, channel_ids: list[str], day: Day) -> None:
        """Switch on what goes wrong all day."""
        targeted = {
            "CALLBACK_LOST": (1.0, day.lost_callbacks),
            "CALLBACK_LATE": (1.0, day.late_callbacks),
            "CALLBACK_REORDERED": (1.0, day.reordered_callbacks),
            "LATE_SUCCESS_AFTER_CLOSE": (LATE_SUCCESS_SHARE, day.closers),
        }
        for channel_id in channel_ids:
            for kind, share in WEATHER.items():
                await self._inject(channel_id, kind, share)
            for kind, (share, orders) in targeted.items():
                if orders:
                    await self._inject(channel_id, kind, share, sorted(orders))

    async def kill(self, channel_id: str) -> None:
        """Let a channel die: nobody gets an answer to a charge."""
        for kind, share in DEATH.items():
            await self._inject(channel_id, kind, share)

    async def heal(self, channel_id: str) -> None:
        """Let it live again, with the weather of every day."""
        for kind in DEATH:
            await self._inject(channel_id, kind, WEATHER[kind])

    async def _inject(self, channel_id: str, kind: str, share: float, targets: list[str] | None = None) -> None:
        fault = simulator_pb2.Fault(channel_id=channel_id, kind=f"KIND_{kind}", share=share, targets=targets or [])
        request = simulator_pb2.InjectFaultRequest(request_id=f"{channel_id}-{kind}-{share}", fault=fault)
        await self._simulator.InjectFault(request, metadata=self._metadata[0], timeout=TIMEOUT_S)
