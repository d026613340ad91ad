"""The scripts of chat/lua once more, as pure functions, for protocol/model.py to explore what they can do together.

tests/test_model.py makes random calls of these functions and of the real scripts, and finds both the same.
"""

from typing import Any

from protocol.store import GONE, LAPSED, LIVES, NO_LEASE, Answer, Reply, Store, view, without


class Protocol:
    """The scripts: each takes a store and returns the next one and its answer. Mutants override a method."""

    log_max, pending_max, strikes_max, read_max = 256, 16, 3, 256

    def run(self, s: Store, script: str, *args: Any) -> tuple[Store, Answer]:
        """What is in front of every script but the sweep, and the script."""
        if script == "sweep":
            return self.sweep(s)
        if not s.here:
            return s, ("gone",)
        if s.restarted:
            s = s._replace(epoch=self.new_epoch(s), restarted=0)
        if s.stop and s.lease != LIVES:
            s = self.end_turn(s, "stopped")
        s, answer = getattr(self, script)(s, *args)
        return (s._replace(asked=True) if answer[0] == "stopping" else s), answer

    def new_epoch(self, s: Store) -> int:
        return s.restarted

    def append(self, s: Store, kind: str, *data: Any) -> Store:
        event = (s.n + 1, kind, *data)
        s = s._replace(n=s.n + 1, told=(*s.told, (s.epoch, event)))
        if kind == "delta":
            return s._replace(deltas=(*s.deltas, event))
        if len(s.log) >= self.log_max:
            s = s._replace(trimmed=s.log[0][0], log=s.log[1:])
        message = data[0].to if isinstance(data[0], Reply) else data[0]
        if kind == "accepted":
            s = s._replace(owed=(*s.owed, message), replies=tuple(sorted((*s.replies, message))))
        elif kind != "started":
            s = s._replace(owed=without(s.owed, message) if message in s.owed else (*s.owed, "twice"))
        if kind == "withdrawn":
            s = s._replace(replies=without(s.replies, message))
        return s._replace(log=(*s.log, event))

    def settle(self, s: Store, message: str, outcome: str | int) -> Store:
        return s._replace(ids=tuple(sorted((dict(s.ids) | {message: outcome}).items())))

    def ring(self, s: Store) -> Store:
        return s._replace(ready=True, leased=False)

    def rest(self, s: Store) -> Store:
        return s._replace(ready=False, ttl=True)

    def keep_lease(self, s: Store) -> Store:
        strikes = s.strikes - (s.lease == NO_LEASE)
        return s._replace(strikes=strikes, lease=LIVES, leased=True, ready=False)

    def holds(self, s: Store, fence: int) -> bool:
        return s.turn is not None and s.fence == fence

    def deliver(self, s: Store, fence: int, offset: int, text: str) -> Store | None:
        """The store with this text; None where another worker has the turn, or a piece before it is missing."""
        if not self.holds(s, fence) or offset > len(s.partial):
            return None
        if offset < len(s.partial) or not text:
            return s
        return self.append(s._replace(partial=s.partial + text), "delta", s.turn and s.turn[1], offset, text)

    def end_turn(self, s: Store, status: str) -> Store:
        assert s.turn
        message, reply, _ = s.turn
        stored = Reply(reply, message, status, s.partial)
        s = self.settle(s, message, len(s.messages))._replace(messages=(*s.messages, stored), turn=None)
        s = s._replace(
            partial="", deltas=(), fence=0, begun=0, lease=NO_LEASE, strikes=0, stop=False, failures=0, asked=False
        )
        s = self.append(s, status, stored)
        return self.ring(s) if s.pending else self.rest(s._replace(leased=False))

    def known(self, s: Store, message: str) -> str | int | None:
        return dict(s.ids).get(message)

    def accept(self, s: Store, message: str) -> tuple[Store, Answer]:
        outcome = self.known(s, message)
        if outcome is not None:
            return s, ("duplicate", outcome)
        if len(s.pending) >= self.pending_max:
            return s, ("full",)
        position = len(s.pending) + bool(s.turn)
        s = self.settle(s, message, "waiting")._replace(pending=(*s.pending, message), ttl=s.ttl and position > 0)
        s = s if s.lease == LIVES else self.ring(s)
        return self.append(s, "accepted", message, False), ("accepted", position)

    def retry(self, s: Store, message: str, reply: str) -> tuple[Store, Answer]:
        last = s.messages[-1] if s.messages else ""
        if any((other.id, other.to) == (reply, message) for other in s.replaced):
            return s, ("duplicate",)
        if not isinstance(last, Reply) or (last.id, last.to) != (reply, message):
            return s, ("not_last_turn",)
        if s.turn or s.pending:
            return s, ("busy",)
        s = s._replace(ttl=False, replaced=(*s.replaced, last), messages=s.messages[:-2], pending=(message,))
        s = self.ring(self.settle(s, message, "waiting")._replace(retrying=message))
        return self.append(s, "accepted", message, True), ("accepted",)

    def begin(self, s: Store, name: int, fence: int) -> tuple[Store, Answer]:
        """`fence` is a new one each time that this runs, as it has the number of `started` in it."""
        if s.turn and s.begun == name:
            return s, ("turn", s.fence, *s.turn)
        if s.lease == LIVES:
            return s, ("busy",)
        if s.turn:
            strikes, (message, reply, attempt) = s.strikes + (s.lease == LAPSED), s.turn
            if strikes >= self.strikes_max:
                s = self.end_turn(s, "failed")
            else:
                s = s._replace(strikes=strikes, turn=(message, reply, attempt + 1), failures=s.failures + bool(s.fence))
        if not s.turn and not s.pending:
            return s._replace(ready=False), ("idle",)
        turn = s.turn or self.first(s)
        if not s.turn:
            s = s._replace(pending=s.pending[1:], messages=(*s.messages, turn[0]), retrying="")
            s = self.settle(s, turn[0], "running")
        s = s._replace(turn=turn, partial="", deltas=(), fence=fence, begun=name)
        s = s._replace(lease=LIVES, leased=True, ready=False)
        return self.append(s, "started", *turn), ("turn", fence, *turn)

    def first(self, s: Store) -> tuple[str, str, int]:
        """The turn of the first that waits. Ids of replies are random in truth; here they are counted."""
        message = s.pending[0]
        earlier = sum(isinstance(m, Reply) and m.to == message for m in (*s.messages, *s.replaced))
        return message, f"{message}{earlier + 1}", 1

    def emit(self, s: Store, fence: int, offset: int, text: str) -> tuple[Store, Answer]:
        longer = self.deliver(s, fence, offset, text)
        if longer is None:
            return s, ("fenced",)
        return self.keep_lease(longer), ("stop" if s.stop else "go",)

    def renew(self, s: Store, fence: int) -> tuple[Store, Answer]:
        return self.emit(s, fence, 0, "")

    def finish(self, s: Store, fence: int, status: str, offset: int, text: str) -> tuple[Store, Answer]:
        if s.finished == fence:
            return s, ("done", s.waiting)
        longer = self.deliver(s, fence, offset, text)
        if longer is None:
            return s, ("fenced",)
        s = self.end_turn(longer, status)
        return s._replace(finished=fence, waiting=len(s.pending)), ("done", len(s.pending))

    def release(self, s: Store, fence: int, strike: int) -> tuple[Store, Answer]:
        if not self.holds(s, fence):
            return s, ("fenced",)
        if s.stop:
            return self.end_turn(s, "stopped"), ("released",)
        strikes = s.strikes + strike - (s.lease == NO_LEASE)
        s = self.ring(s._replace(fence=0, begun=0, lease=NO_LEASE, strikes=strikes))
        return s._replace(failures=s.failures + strike), ("released",)

    def stop(self, s: Store, message: str) -> tuple[Store, Answer]:
        if s.turn and s.turn[0] == message:
            if s.lease == LIVES:
                return s._replace(stop=True), ("stopping",)
            return self.end_turn(s, "stopped"), ("stopped",)
        if message not in s.pending:
            return s, (self.stopped(s, message),)
        s, restored = s._replace(pending=without(s.pending, message)), None
        if s.retrying == message:
            restored = s.replaced[-1]
            s = s._replace(messages=(*s.messages, message, restored), replaced=s.replaced[:-1], retrying="")
        s = self.settle(s, message, len(s.messages) - 1 if restored else "withdrawn")
        s = self.append(s, "withdrawn", message, restored)
        return (s if s.turn or s.pending else self.rest(s)), ("stopped",)

    def stopped(self, s: Store, message: str) -> str:
        outcome = dict(s.ids).get(message, "unknown")
        ended = s.messages[outcome] if isinstance(outcome, int) else None
        if outcome == "withdrawn" or (isinstance(ended, Reply) and ended.status == "stopped"):
            return "stopped"
        return "unknown" if outcome == "unknown" else "finished"

    def delete(self, s: Store) -> tuple[Store, Answer]:
        return GONE._replace(told=(*s.told, (s.epoch, (s.n, "gone")))), ("deleted",)

    def look(self, s: Store) -> tuple[Store, Answer]:
        return s, ("ok", s.epoch, s.n)

    def read(self, s: Store, epoch: int, n: int) -> tuple[Store, Answer]:
        if epoch != s.epoch or n > s.n or n < s.trimmed:
            return s, ("reset", s.epoch, s.n, view(s))
        found = sorted(event for event in (*s.log, *s.deltas) if event[0] > n)
        return s, ("events", s.epoch, s.n, tuple(found[: self.read_max]))

    def sweep(self, s: Store) -> tuple[Store, Answer]:
        if s.leased and s.lease == LAPSED:
            s = self.ring(s._replace(lease=NO_LEASE, strikes=s.strikes + 1))
        return s, ("rings" if s.ready else "silent",)
