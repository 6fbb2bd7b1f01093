"""What the sandbox channel must be told."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from channels.port import Ability

ABILITIES = frozenset({Ability.CHARGE, Ability.QUERY, Ability.CLOSE, Ability.REFUND, Ability.QUERY_REFUND})


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """One sandbox channel: its name at the simulator, and the secret shared with each merchant number."""

    channel_id: str
    secrets: Mapping[str, str]

    @classmethod
    def of(cls, *, channel_id: str, settings: Mapping[str, Any], secrets: Mapping[str, str]) -> "SandboxConfig":
        """Read a channel's settings: `simulated_as` names the simulator's channel when it is not ours."""
        return cls(settings.get("simulated_as", channel_id), dict(secrets))
