"""The protocol without one of its rules, each time another: the exploration must find what breaks then."""

from collections.abc import Iterator
from typing import Any

from protocol.model import Model
from protocol.store import LIVES, NO_LEASE, Answer, Store, Told
from protocol.world import AWAY, LIVE, Call, Reader, Step, World


class NoFence(Model):
    def holds(self, s: Store, fence: int) -> bool:
        return s.turn is not None


class FenceOfManyTurns(Model):
    """As it was once: the fence is the name under which a worker asked, whichever turn it was given."""

    def begin(self, s: Store, name: int, fence: int) -> tuple[Store, Answer]:
        return super().begin(s, name, name)


class NoLease(Model):
    """`begin` takes up a turn whoever has it."""

    def begin(self, s: Store, name: int, fence: int) -> tuple[Store, Answer]:
        return super().begin(s if s.begun == name else s._replace(lease=NO_LEASE), name, fence)


class AcceptTwice(Model):
    def known(self, s: Store, message: str) -> str | int | None:
        return None


class EmitTwice(Model):
    def deliver(self, s: Store, fence: int, offset: int, text: str) -> Store | None:
        return super().deliver(s, fence, len(s.partial), text)


class FinishTwice(Model):
    """A worker whose `finish` is repeated hears that it was fenced off."""

    def finish(self, s: Store, fence: int, status: str, offset: int, text: str) -> tuple[Store, Answer]:
        return super().finish(s._replace(finished=0), fence, status, offset, text)


class BeginTwice(Model):
    """A worker whose `begin` is repeated meets its own lease."""

    def begin(self, s: Store, name: int, fence: int) -> tuple[Store, Answer]:
        return (s, ("busy",)) if s.lease == LIVES else super().begin(s, name, fence)


class RetryTwice(Model):
    """A reply that was replaced is not known any more."""

    def retry(self, s: Store, message: str, reply: str) -> tuple[Store, Answer]:
        after, answer = super().retry(s._replace(replaced=()), message, reply)
        return (after if answer[0] == "accepted" else s), answer


class NoSweep(Model):
    def sweep(self, s: Store) -> tuple[Store, Answer]:
        return s, ("silent",)

    def is_rung_for(self, s: Store) -> bool:
        return False


class ReleaseWithoutStrike(Model):
    def release(self, s: Store, fence: int, strike: int) -> tuple[Store, Answer]:
        after, answer = super().release(s, fence, strike)
        return (after._replace(strikes=s.strikes) if after.turn else after), answer


class ReleaseAfterSweepCountsTwice(Model):
    """As it was once: a worker that stalled, was swept and then gave its turn back counted as two deaths."""

    def release(self, s: Store, fence: int, strike: int) -> tuple[Store, Answer]:
        after, answer = super().release(s, fence, strike)
        forgiven = answer == ("released",) and after.turn and s.lease == NO_LEASE
        return (after._replace(strikes=after.strikes + 1) if forgiven else after), answer


class StopMarkLost(Model):
    """The sweep that finds a dead worker forgets that its turn was to be stopped."""

    def sweep(self, s: Store) -> tuple[Store, Answer]:
        after, answer = super().sweep(s)
        return (after._replace(stop=False) if after.lease != s.lease else after), answer


class TimeToLiveWhileWorkWaits(Model):
    def accept(self, s: Store, message: str) -> tuple[Store, Answer]:
        after, answer = super().accept(s, message)
        return after._replace(ttl=s.ttl), answer


class EpochOutlivesRestart(Model):
    def new_epoch(self, s: Store) -> int:
        return s.epoch


class EndRingsForNobody(Model):
    """The end of a turn leaves the next message to whoever has ended it."""

    def end_turn(self, s: Store, status: str) -> Store:
        return super().end_turn(s, status)._replace(ready=False)


class PublishBeforeStore(Model):
    """Whoever runs a script can die when its events are published and nothing is stored."""

    def calls(self, w: World, call: Call, *args: Any, **how: Any) -> Iterator[Step]:
        told = self.call(w.store, call)[2]
        if told:
            yield (call, "is published and not stored"), False, w._replace(reader=self.hear(w.reader, told))
        yield from super().calls(w, call, *args, **how)


class ReplayBeforeSubscribe(Model):
    def reading(self, w: World) -> Iterator[Step]:
        replayed = w.reader.phase == AWAY and w.reader.missed
        if replayed:
            reader = w.reader._replace(phase=LIVE, missed=False)
            yield ("the reader subscribes",), True, w._replace(reader=reader)
        elif w.reader.phase == AWAY:
            yield from self.asks_for(w, self.has_replayed, "read", w.reader.epoch, w.reader.n)
        else:
            yield from super().reading(w)

    def has_replayed(self, r: Reader, answer: Answer) -> Reader:
        read = self.has_read(r, answer)
        return read._replace(phase=AWAY, missed=True) if read.phase == LIVE else read


class NoHoleDetection(Model):
    def is_hole(self, r: Reader, epoch: int, n: int) -> bool:
        return False


class NoLook(Model):
    """Nobody compares what arrived with what is stored: only a later event could show that one was lost."""

    def has_looked(self, r: Reader, answer: Answer) -> Reader:
        return r


class FullQueueForgets(Model):
    """What does not fit into a slow client's queue is dropped, and nobody notes it."""

    def hear(self, r: Reader, told: Told) -> Reader:
        return super().hear(r, told)._replace(incomplete=r.incomplete)


class TrimmedUnnoticed(Model):
    def append(self, s: Store, kind: str, *data: Any) -> Store:
        return super().append(s, kind, *data)._replace(trimmed=0)


# By the scenario that is enough to catch them.
CAUGHT_BY: dict[str, tuple[type[Model], ...]] = {
    "two messages": (
        NoFence, NoLease, AcceptTwice, EmitTwice, FinishTwice, BeginTwice, StopMarkLost, TimeToLiveWhileWorkWaits,
        EndRingsForNobody,
    ),
    "late calls": (FenceOfManyTurns,),
    "retries": (RetryTwice,),
    "two restarts": (NoSweep,),
    "a failing model": (ReleaseWithoutStrike, ReleaseAfterSweepCountsTwice),
    "readers": (PublishBeforeStore, ReplayBeforeSubscribe, NoHoleDetection, NoLook, FullQueueForgets),
    "readers, two messages": (TrimmedUnnoticed,),
    "readers, a restart": (EpochOutlivesRestart,),
}  # fmt: skip
MUTANTS = [(mutant, scenario) for scenario, mutants in CAUGHT_BY.items() for mutant in mutants]
