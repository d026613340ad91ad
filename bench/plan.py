"""What is measured, in which lanes, in how many rounds, and what the numbers should be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAIN = ("parley", "floor", "handbook", "channels", "naive")
STREAMING = ("parley", "floor", "channels", "naive")
ALL = (*MAIN, "handbook as published", "channels as published")
# At most this much of anything, where only a sign of life is wanted.
QUICK = {"for_s": 0.5, "users": 20, "rounds": 1, "pieces": 50, "streams": 50, "events": 500, "pool": 5}


@dataclass(frozen=True)
class Measure:
    """One thing that the load generator does (a method of Load, by name) in a lane, and what its numbers are called."""

    title: str
    do: str
    how: Mapping[str, Any]
    lanes: Sequence[str] = MAIN
    as_users: str = ""

    def quick(self) -> dict[str, Any]:
        return {name: min(value, QUICK.get(name, value)) for name, value in self.how.items()}


@dataclass(frozen=True)
class Group:
    """Measures that a lane goes through one after the other before the next lane has its turn."""

    measures: Sequence[Measure]
    rounds: int = 3


def burst(users: int, rate: int) -> Group:
    """After a burst of its own a slow lane would be busy for many minutes, so each begins with a fresh one."""
    title = f"{users:,} users within a second, {rate} tokens/s"
    return Group([Measure(title, "burst", {"users": users, "rate": rate, "for_s": 5})], rounds=2)


SSE = {"streams": 9_500, "events": 50_000}
SOCKETS = {"streams": 2_000, "events": 0}
GROUPS = {
    "steady": Group(
        [
            Measure("1 user", "alone", {"for_s": 3, "pool": 50}, ALL),
            Measure("100 users, a message a second each", "paced", {"users": 100, "for_s": 4}),
            Measure("100 users at once", "at_once", {"users": 100, "rounds": 4}),
            Measure("1 user, no pause", "replies", {"users": 1, "for_s": 3, "pool": 50}),
            Measure("20 users, no pause", "replies", {"users": 20, "for_s": 3, "pool": 200}),
            Measure("200 users, no pause", "replies", {"users": 200, "for_s": 4, "pool": 200}),
            Measure("100 users, fast model", "deltas", {"users": 100, "pieces": 500, "limit_s": 15}, STREAMING),
            Measure("2 users at once", "at_once", {"users": 2, "rounds": 1}, ("handbook as published", "handbook")),
            Measure("raw Redis", "raw", {"for_s": 1}, ("floor",)),
        ]
    ),
    "burst-200-10": burst(200, 10),
    "burst-200-50": burst(200, 50),
    "burst-1000-10": burst(1_000, 10),
    "burst-1000-50": burst(1_000, 50),
    "streams": Group([Measure("idle SSE", "idle", SSE, ("parley", "floor", "naive"))], rounds=2),
    "sockets": Group(
        [
            Measure("idle WebSocket", "idle", SOCKETS, ("parley",), "parley-socket"),
            Measure("idle WebSocket", "idle", SOCKETS, ("handbook", "channels")),
        ],
        rounds=2,
    ),
}


@dataclass(frozen=True)
class Target:
    """Parley's number divided by another's: what it must be, and what would be first by far."""

    metric: str
    lane: str
    must: float
    reach: float
    other: str = ""  # the other's metric, if it is another one
    more: bool = False  # more is better

    def met(self, ratio: float, wanted: float) -> bool:
        return ratio >= wanted if self.more else ratio <= wanted


BUSY, FAST, CROWD = (
    "200 users, no pause: replies/s",
    "100 users, fast model: deltas/s",
    "100 users at once: first text p50",
)
TARGETS = (
    Target("1 user: first text p50", "handbook", 0.45, 0.30),
    Target("1 user: first text p50", "naive", 0.30, 0.22),
    Target("1 user: first text p50", "floor", 2.5, 1.5),
    Target(CROWD, "handbook", 0.25, 0.10),
    Target(CROWD, "floor", 8, 3),
    Target(BUSY, "handbook", 5, 12, more=True),
    Target(BUSY, "naive", 6, 15, more=True),
    Target(BUSY, "floor", 0.12, 0.33, more=True),
    Target(FAST, "naive", 50, 70, more=True),
    Target(FAST, "floor", 0.35, 0.6, more=True),
    Target("1,000 users within a second, 50 tokens/s: in time", "floor", 1, 1, more=True),
    Target("1,000 users within a second, 50 tokens/s: first text p99", "floor", float("inf"), 1.5),
    Target("idle SSE: KB a stream", "naive", 0.04, 0.03),
    Target("idle WebSocket: KB a stream", "naive", 0.6, 0.14, other="idle SSE: KB a stream"),
    Target("idle SSE: event p50", "floor", 1.5, 1.2),
    Target("idle SSE: events/s", "floor", 0.6, 0.8, more=True),
    Target("idle SSE: connects/s", "naive", 3, 4, more=True),
    Target("10,000 messages: first text p50", "parley", 1.10, 1.05, other="10 messages: first text p50"),
    Target("1,000,000 conversations: first text p50", "parley", 1.10, 1.05, other="100 conversations: first text p50"),
)
