"""A stream of the hub with its client: it subscribes, reads, goes live, and reads again when something is missing."""

from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any

from protocol.calls import Calls
from protocol.store import Answer, Event, Reply, View, without
from protocol.world import AWAY, CLOSED, LIVE, READING, Broken, Reader, Step, World


def drawn(was: View, event: Event) -> View:
    """What a client makes of an event, as frontend/src/chat/thread.ts does."""
    _, kind, *data = event
    messages, pending, turn = was
    match kind, data:
        case "accepted", [message, retry]:
            if retry:
                messages = tuple(m for m in messages if m != message and not (isinstance(m, Reply) and m.to == message))
            return View(messages, (*without(pending, message), message), turn)
        case "started", [message, reply, _]:
            if message in pending:
                messages = (*without(messages, message), message)
            return View(messages, without(pending, message), (message, reply, ""))
        case "delta", [reply, offset, text]:
            if not turn or turn[1] != reply or offset != len(turn[2]):
                raise Broken("a client finds no hole in a reply")
            return View(messages, pending, (turn[0], reply, turn[2] + text))
        case "withdrawn", [message, restored]:
            back = (message, restored) if restored and message in pending else ()
            return View((*messages, *back), without(pending, message), turn)
    reply = data[0]
    waited = (reply.to,) if reply.to in pending else ()
    ended = turn is not None and turn[0] == reply.to
    return View((*messages, *waited, reply), without(pending, reply.to), None if ended else turn)


class Reading(Calls):
    """What a reader may do next. Mutants override a method."""

    def reading(self, w: World) -> Iterator[Step]:
        """A stream of the hub: subscribe, read, go live; read again when something is missing."""
        r = w.reader
        if r.phase == AWAY:
            yield ("the reader subscribes",), True, w._replace(reader=r._replace(phase=READING))
        elif r.phase == READING:
            yield from self.asks_for(w, self.has_read, "read", r.epoch, r.n)
        elif r.phase == LIVE:
            if r.inbox:
                yield ("the reader takes", r.inbox[0]), True, w._replace(reader=self.takes(r))
            elif r.incomplete:
                yield ("the reader will read",), True, w._replace(reader=r._replace(phase=READING, incomplete=False))
            yield from self.asks_for(w, self.has_looked, "look")
        if r.phase in (READING, LIVE) and (then := self.may(w, "reader leaves")):
            yield ("the reader leaves",), False, then._replace(reader=Reader(AWAY, r.epoch, r.n, r.view))

    def asks_for(self, w: World, has: Callable[[Reader, Answer], Reader], *call: Any) -> Iterator[Step]:
        return self.calls(w, call, lambda then, answer: then._replace(reader=has(then.reader, answer)))

    def has_read(self, r: Reader, answer: Answer) -> Reader:
        if answer[0] == "gone":
            return Reader(CLOSED)
        kind, epoch, n, found = answer
        if kind == "events":
            seen = reduce(drawn, found, r.view)
            if len(found) == self.read_max:
                return r._replace(n=found[-1][0], view=seen)
            found = seen
        return r._replace(phase=LIVE, epoch=epoch, n=n, view=found, newest=(epoch, n), missed=False)

    def has_looked(self, r: Reader, answer: Answer) -> Reader:
        return r if r.newest == answer[1:] else r._replace(incomplete=True)

    def takes(self, r: Reader) -> Reader:
        (epoch, event), r = r.inbox[0], r._replace(inbox=r.inbox[1:])
        if event[1] == "gone":
            return Reader(CLOSED)
        if self.is_hole(r, epoch, event[0]):
            return r._replace(phase=READING, incomplete=False)
        return r._replace(n=event[0], view=drawn(r.view, event)) if event[0] > r.n else r

    def is_hole(self, r: Reader, epoch: int, n: int) -> bool:
        return epoch != r.epoch or n > r.n + 1
