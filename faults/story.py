"""What is known of a conversation: what its sender noted, what its clients saw, what is stored in the end."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

Json = dict[str, Any]
ENDS = ("completed", "stopped", "failed")
GONE = "the conversation was gone"


class Entry(NamedTuple):
    """A line of a client's log: an event with its id, or `connected`, `lost`, `left`, `gone`."""

    at: float
    kind: str
    id: str = ""
    data: Json = {}  # noqa: RUF012  (never changed)

    @property
    def epoch(self) -> str:
        return self.id.partition("-")[0]

    @property
    def n(self) -> int:
        return int(self.id.partition("-")[2] or 0)


@dataclass
class Log:
    """What one client saw. A whole one has all events after its first; others have those of one turn."""

    name: str
    whole: bool = True
    slow_s: float = 0
    left: bool = False
    entries: list[Entry] = field(default_factory=list)
    position: str = ""


@dataclass
class Sent:
    """A message and what its sender knows of it. `asked`: how often it wants to be answered, once and once a retry."""

    id: str
    text: str
    at: float
    acknowledged: bool = False
    asked: int = 1
    stop_at: float = 0
    outcome: str = ""


@dataclass
class Story:
    """All that is known of a conversation in the end."""

    name: str
    sent: list[Sent] = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)
    complaints: list[Entry] = field(default_factory=list)
    final: Json = field(default_factory=dict)

    @property
    def watched(self) -> list[Log]:
        """The logs of the clients that see everything."""
        return [log for log in self.logs if log.whole]
