"""Events and positions. A client's position is the id of the last event that it has seen."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

_POSITION = re.compile(r"([0-9a-f]{8})-(0|[1-9][0-9]{0,15})")

ENDS = ("completed", "stopped", "failed")


class Position(NamedTuple):
    """The epoch of a conversation and the number of an event in it."""

    epoch: str
    n: int

    @classmethod
    def parse(cls, text: str | None) -> "Position":
        """Read `<epoch>-<n>`; whatever else becomes a position that no conversation knows, so it gets a reset."""
        match = _POSITION.fullmatch(text or "")
        return cls(match[1], int(match[2])) if match else cls("", 0)

    def __str__(self) -> str:
        return f"{self.epoch}-{self.n}"


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a conversation. `data` is JSON, rendered once, by the script or the worker, and passed on as is."""

    position: Position
    type: str
    data: str

    @classmethod
    def published(cls, payload: str) -> "Event":
        """Read what the scripts publish: event id, type and data, a line each."""
        position, kind, data = payload.split("\n", 2)
        return cls(Position.parse(position), kind, data)

    @property
    def content(self) -> dict[str, Any]:
        """The data as a dictionary."""
        found: dict[str, Any] = orjson.loads(self.data)
        return found


def dumps(value: Any) -> str:
    """JSON in UTF-8 without white space."""
    return orjson.dumps(value).decode()


def utf16_units(text: str) -> int:
    """The length of a text in UTF-16 code units, as JavaScript counts it."""
    return len(text) + sum(char > "\uffff" for char in text)


def iso(at_s: float) -> str:
    """A time in seconds since 1970 as clients see it: ISO 8601 in UTC."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
