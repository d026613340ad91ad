"""What faults act on, and the list in which they are entered."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from faults.clients import Conversation, Log, Sent
from faults.replies import Order
from faults.system import System, wait_for
from faults.traffic import Traffic


@dataclass
class Scene:
    """What a fault acts on, and its notes: when it struck, times that it measured itself, promises that were broken."""

    system: System
    traffic: Traffic
    rng: Random
    struck: float = 0
    measured: list[float] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def strike(self) -> None:
        """The fault begins now."""
        self.struck = time.monotonic()

    def expect(self, what: str, seen: object) -> None:
        """Note a promise of its own that was broken."""
        if not seen:
            self.broken.append(what)

    def turns(self, count: int, order: Order) -> list[tuple[Conversation, Sent]]:
        """So many turns with this order, each in a conversation of its own."""
        return [self.traffic.turn(order) for _ in range(count)]

    def until_text(self, turns: list[tuple[Conversation, Sent]]) -> None:
        """Wait until a delta of each of these turns has been seen."""
        logs = [log for conversation, _ in turns for log in conversation.logs]
        for log in logs:
            wait_for(partial(_has_text, log), 15)

    def victim(self) -> int:
        return self.rng.randrange(len(self.system.workers))


def _has_text(log: Log) -> bool:
    """Whether its client has seen a delta, or has come when the reply had begun."""
    resets = (entry.data["turn"] for entry in log.entries if entry.kind == "reset")
    return any(entry.kind == "delta" for entry in log.entries) or any(turn and turn["text"] for turn in resets)


Make = Callable[[Scene], None]


@dataclass(frozen=True)
class Fault:
    """A fault. `quick`: cheap enough for the quick run. `severs`: events may come late while it lasts."""

    name: str
    make: Make
    settle_s: float
    quick: bool
    severs: bool


FAULTS: dict[str, Fault] = {}


def fault(name: str, settle_s: float = 4, quick: bool = True, severs: bool = True) -> Callable[[Make], Make]:
    """Enter a function under a name. After it the traffic goes on undisturbed for `settle_s`."""

    def enter(make: Make) -> Make:
        FAULTS[name] = Fault(name, make, settle_s, quick, severs)
        return make

    return enter
