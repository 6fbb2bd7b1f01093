"""What goes in and out: JSON with the manual's rules for every field, times of China, and refusals with their codes."""

import datetime
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from simulator.codec import Flaw
from simulator.wire.front import Told

CHINA = datetime.timezone(datetime.timedelta(hours=8))
AMOUNT_MAX = 10**10
NUMBER = re.compile(r"[0-9A-Za-z_\-|*]{6,32}")
REFUND_NUMBER = re.compile(r"[0-9A-Za-z_\-|*@]{1,64}")
PLAIN_NUMBER = re.compile(r"[0-9A-Za-z]{1,32}")
# The real platform wants https; the sandbox takes http too, because it calls the hub of a developer.
URL = re.compile(r"https?://[^\s?#]{1,240}")

NOTHING_TOLD = Told({}, Flaw.NONE, 0)

Json = dict[str, Any]


class Refusal(Exception):
    """A request that is refused; `told` is the weather around a refusal by the world."""

    def __init__(self, status: int, code: str, message: str, detail: Mapping[str, Any] | None = None) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.detail = detail
        self.told = NOTHING_TOLD

    def with_weather(self, told: Told) -> "Refusal":
        """Return the refusal with the weather around it."""
        self.told = told
        return self

    @property
    def body(self) -> bytes:
        """The error as it is sent."""
        item: Json = {"code": self.code, "message": self.message}
        return encode(item | ({"detail": dict(self.detail)} if self.detail else {}))


class Fields(NamedTuple):
    """An object of a request, read by rules."""

    item: Mapping[str, Any]
    path: str = "/body"

    def text(
        self, name: str, *, required: bool = False, longest: int = 256, form: re.Pattern[str] | None = None
    ) -> str:
        """Read a text."""
        value = self.item.get(name)
        if value is None and not required:
            return ""
        if not isinstance(value, str) or len(value) > longest or (required and not value) or not value.isprintable():
            raise self.invalid(name, value)
        if form is not None and value and not form.fullmatch(value):
            raise self.invalid(name, value)
        return value

    def whole(self, name: str, *, least: int = 0, most: int = AMOUNT_MAX) -> int:
        """Read a whole number that must be there."""
        value = self.item.get(name)
        if type(value) is not int or not least <= value <= most:
            raise self.invalid(name, value)
        return value

    def flag(self, name: str) -> bool:
        """Read true or false; false where it is not there."""
        value = self.item.get(name, False)
        if not isinstance(value, bool):
            raise self.invalid(name, value)
        return value

    def inner(self, name: str, *, required: bool = False) -> "Fields":
        """Read an object inside."""
        value = self.item.get(name)
        if value is None and not required:
            return Fields({}, f"{self.path}/{name}")
        if not isinstance(value, dict):
            raise self.invalid(name, value)
        return Fields(value, f"{self.path}/{name}")

    def many(self, name: str, *, least: int = 1, most: int = 50) -> list["Fields"]:
        """Read a list of objects."""
        value = self.item.get(name, [])
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise self.invalid(name, value)
        if not all(isinstance(each, dict) for each in value):
            raise self.invalid(name, value)
        return [Fields(each, f"{self.path}/{name}/{place}") for place, each in enumerate(value)]

    def day(self, name: str) -> datetime.date:
        """Read a day, yyyy-MM-dd, that must be there."""
        value = self.text(name, required=True, longest=10)
        try:
            return datetime.date.fromisoformat(value)
        except ValueError:
            raise self.invalid(name, value) from None

    def time_ms(self, name: str) -> int:
        """Read a time with its zone; 0 where it is not there."""
        value = self.text(name, longest=64)
        if not value:
            return 0
        try:
            moment = datetime.datetime.fromisoformat(value)
        except ValueError:
            raise self.invalid(name, value) from None
        if moment.tzinfo is None:
            raise self.invalid(name, value)
        return int(moment.timestamp() * 1_000)

    def invalid(self, name: str, value: object) -> Refusal:
        """Return the refusal of a field."""
        detail = {"field": f"{self.path}/{name}", "value": str(value)[:64], "issue": "无法通过校验", "location": "body"}
        return Refusal(400, "PARAM_ERROR", f"输入源“{self.path}/{name}”无法通过校验", detail)


def read(body: bytes) -> Fields:
    """Read the object of a request."""
    try:
        item = json.loads(body)
    except (ValueError, RecursionError):
        item = None
    if not isinstance(item, dict):
        raise Refusal(400, "PARAM_ERROR", "请求体不是有效的JSON对象")
    return Fields(item)


def encode(item: Mapping[str, Any]) -> bytes:
    """Write an object; fields that are None are not there."""
    kept = {name: value for name, value in item.items() if value is not None}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode()


def time_text(moment_ms: int) -> str | None:
    """Write a time; None for 0."""
    return moment(moment_ms).isoformat(timespec="seconds") if moment_ms else None


def moment(moment_ms: int) -> datetime.datetime:
    """Return a time as China's clocks show it."""
    return datetime.datetime.fromtimestamp(moment_ms / 1_000, tz=CHINA)
