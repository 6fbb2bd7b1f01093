"""What the sandbox channel must be told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from channels.port import Ability
from domain.credentials import Material, Needs

ABILITIES = frozenset({Ability.CHARGE, Ability.QUERY, Ability.CLOSE, Ability.REFUND, Ability.QUERY_REFUND})


CREDENTIALS = Needs({"secret": Material.TEXT}, (frozenset({"secret"}),))


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """One sandbox channel: its name at the simulator, and the secrets shared with each merchant number.

    The first secret of a merchant signs, all of them verify.
    """

    channel_id: str
    secrets: Mapping[str, Sequence[str]] = field(repr=False)

    @classmethod
    def of(cls, *, channel_id: str, settings: Mapping[str, Any], secrets: Mapping[str, Sequence[str]]) -> "SandboxConfig":
        """Read a channel's settings: `simulated_as` names the simulator's channel when it is not ours."""
        return cls(settings.get("simulated_as", channel_id), dict(secrets))
