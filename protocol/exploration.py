"""All worlds of a model, each once, those first that take the fewest steps."""

import time
from array import array
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from protocol.model import Model
from protocol.promises import check_world
from protocol.scenarios import SCENARIOS
from protocol.store import Store
from protocol.symmetry import Symmetry
from protocol.world import Broken, World


class Result(NamedTuple):
    """What an exploration found: how much, and the promise that is broken, with the shortest way to it."""

    states: int
    transitions: int
    seconds: float
    broken: str = ""
    trace: tuple[str, ...] = ()


def explore(kind: type[Model], scenario: str) -> Result:
    """Explore a scenario, with the protocol as it is or a mutant."""
    return Exploration(kind(SCENARIOS[scenario])).explore()


class Exploration:
    """A breadth-first search that remembers how it came to each world."""

    def __init__(self, model: Model) -> None:
        self.model, self.symmetry = model, Symmetry(model)
        self.worlds: list[World] = []
        self.numbers: dict[World, int] = {}
        self.parents: list[tuple[int, tuple[Any, ...]]] = []
        self.at = 0
        self.fair = array("q")  # steps that need no fault, as pairs: from, to

    def explore(self) -> Result:
        begun, transitions, broken = time.monotonic(), 0, ""
        try:
            self.visit(self.model.start(), -1, ())
            for n, w in enumerate(self.worlds):
                self.at = n
                for what, fair, then in self.model.steps(w):
                    transitions += 1
                    to = self.visit(self.symmetry.same(then), n, what)
                    if fair and to != n:
                        self.fair.extend((n, to))
            self.at = self.stuck()
            broken = "from everywhere all turns come to their ends when nothing fails any more" if self.at >= 0 else ""
        except Broken as error:
            broken = str(error)
        seconds = time.monotonic() - begun
        return Result(len(self.worlds), transitions, seconds, broken, tuple(self.trace()) if broken else ())

    def visit(self, w: World, parent: int, what: tuple[Any, ...]) -> int:
        n = self.numbers.setdefault(w, len(self.worlds))
        if n == len(self.worlds):
            self.worlds.append(w)
            self.parents.append((parent, what))
            if broken := self.model.broken.get(w.store) or check_world(w, self.model.stores[w.store]):
                self.at = n
                raise Broken(broken)
        return n

    def stuck(self) -> int:
        """The first world from which no way without further faults leads to the end of all turns; -1 for none."""
        before = defaultdict[int, list[int]](list)
        for n, to in zip(self.fair[::2], self.fair[1::2], strict=True):
            before[to].append(n)
        ends = [n for n, w in enumerate(self.worlds) if self.model.is_over(w)]
        reached = bytearray(len(self.worlds))
        while ends:
            n = ends.pop()
            if not reached[n]:
                reached[n] = 1
                ends += before.get(n, ())
        return reached.find(0)

    def trace(self) -> Iterator[str]:
        """The way to where the exploration is, a line for each step, and what is stored there."""
        n, lines = self.at, []
        while n > 0:
            n, what = self.parents[n]
            lines.append(" ".join(" ".join(map(str, part)) if isinstance(part, tuple) else part for part in what))
        yield from reversed(lines)
        s = self.model.stores[self.worlds[self.at].store]
        yield ", ".join(f"{k}={v}" for k, v in s._asdict().items() if v != Store._field_defaults[k])
