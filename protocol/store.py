"""What Redis keeps of a conversation, what is told of it, and what a client makes of that.

No clock: a lease lives, has lapsed or is not there.
"""

from typing import Any, NamedTuple

NO_LEASE, LAPSED, LIVES = 0, 1, 2

Event = tuple[Any, ...]  # number, kind, and what it tells
Told = tuple[tuple[int, Event], ...]  # what is published, each event under its epoch
Answer = tuple[Any, ...]


class Reply(NamedTuple):
    """A bot's message. Human ones are just their letter."""

    id: str
    to: str
    status: str
    text: str


class View(NamedTuple):
    """What a client draws, and what a snapshot holds. The turn is (message, reply, text)."""

    messages: tuple[str | Reply, ...] = ()
    pending: tuple[str, ...] = ()
    turn: tuple[str, str, str] | None = None


class Store(NamedTuple):
    """What Redis keeps of one conversation, a guest's, and below the line what only the checks look at."""

    here: bool = True
    ttl: bool = True
    epoch: int = 0
    restarted: int = 0  # the restart that no script has noticed yet
    n: int = 0
    trimmed: int = 0
    log: tuple[Event, ...] = ()
    deltas: tuple[Event, ...] = ()
    messages: tuple[str | Reply, ...] = ()
    pending: tuple[str, ...] = ()
    turn: tuple[str, str, int] | None = None  # message, reply, attempt
    replaced: tuple[Reply, ...] = ()
    ids: tuple[tuple[str, str | int], ...] = ()  # message and outcome
    partial: str = ""
    fence: int = 0
    begun: int = 0  # by which name its holder asked for it
    finished: int = 0
    waiting: int = 0
    lease: int = NO_LEASE
    strikes: int = 0
    stop: bool = False
    retrying: str = ""
    ready: bool = False
    leased: bool = False
    # ---
    told: Told = ()  # by the last script
    owed: tuple[str, ...] = ()  # accepted and not ended
    replies: tuple[str, ...] = ()  # whose reply must be stored, or is owed
    failures: int = 0  # how often the turn broke off
    asked: bool = False  # whether a stop was promised


GONE = Store(here=False)


def view(s: Store) -> View:
    return View(s.messages, s.pending, (s.turn[0], s.turn[1], s.partial) if s.turn else None)


def without(items: tuple[Any, ...], item: Any) -> tuple[Any, ...]:
    """The items without the first that equals this one."""
    return items[: items.index(item)] + items[items.index(item) + 1 :] if item in items else items
