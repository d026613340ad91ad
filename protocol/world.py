"""All of one moment: what is stored, two workers, a reader, and what may still go wrong."""

from typing import Any, NamedTuple

from protocol.store import Told, View

AWAY, READING, LIVE, CLOSED = range(4)
MANY = -1
# Fences are called 1, 2, … by who knows them; new ones are renamed at once.
NEW, FRESH, NOBODY = 7, 8, 9

Call = tuple[Any, ...]  # a script and its arguments


class Broken(Exception):
    """A promise of the protocol does not hold."""


class Worker(NamedTuple):
    """A worker process; one that dies is at once another that is idle. `call` is repeated until it is answered."""

    fence: int = 0
    message: str = ""
    reply: str = ""
    attempt: int = 0
    text: str = ""
    call: Call = ()


class Reader(NamedTuple):
    """A stream of the hub with its client. `missed` is for the checks: something was published and did not arrive."""

    phase: int = AWAY
    epoch: int = -1
    n: int = 0
    view: View = View()
    inbox: Told = ()
    newest: tuple[int, int] = (-1, 0)
    incomplete: bool = False
    missed: bool = False


class World(NamedTuple):
    """Stores are kept once and known by number; `left` is how often each fault may still come."""

    store: int
    workers: tuple[Worker, Worker] = (Worker(), Worker())
    late: Call = ()
    sent: str = ""
    reader: Reader = Reader()
    disk: int = -1
    left: tuple[int, ...] = ()

    def put(self, i: int, worker: Worker) -> "World":
        return self._replace(workers=(worker, self.workers[1]) if i == 0 else (self.workers[0], worker))


# What happens, whether it happens also without a fault, and the world after it.
Step = tuple[tuple[Any, ...], bool, World]
