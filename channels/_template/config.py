"""What the channel must be told, and what it can do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from channels.port import Ability
from domain.credentials import Material, Needs

# Name only what the channel really does: nobody asks it for anything else.
ABILITIES = frozenset({Ability.CHARGE, Ability.QUERY, Ability.CLOSE, Ability.REFUND, Ability.QUERY_REFUND})

# What an account's credentials must hold; the store refuses any other name, and what does not parse.
CREDENTIALS = Needs({"secret": Material.TEXT}, (frozenset({"secret"}),))

BASE_URL = "https://bank.example"


@dataclass(frozen=True, slots=True)
class TemplateConfig:
    """One channel: its name, and the secret shared with each merchant number."""

    channel_id: str
    secrets: Mapping[str, str]
    base_url: str = BASE_URL

    @classmethod
    def of(cls, *, channel_id: str, settings: Mapping[str, Any], secrets: Mapping[str, str]) -> "TemplateConfig":
        """Read the settings of the channel's row; every setting has a default that works."""
        return cls(channel_id, dict(secrets), settings.get("base_url", BASE_URL))
