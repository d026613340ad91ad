"""Every interleaving of the turn protocol at small bounds: an explicit-state model."""

from collections.abc import Iterator
from typing import Any

from protocol.reader import Reading
from protocol.store import GONE, LAPSED, LIVES, Answer, Reply, Store
from protocol.world import CLOSED, FRESH, LIVE, NEW, Broken, Call, Step, Worker, World


class Model(Reading):
    """A scenario: all that can happen next in each world. Mutants override a method."""

    def start(self) -> World:
        return World(self.number(Store()), left=tuple(self.scenario.faults[fault] for fault in self.limited))

    def steps(self, w: World) -> Iterator[Step]:
        yield from self.clients(w)
        for i in range(len(set(w.workers))):
            yield from self.worker(w, i)
        yield from self.fate(w)
        if self.scenario.watched:
            yield from self.reading(w)

    def clients(self, w: World) -> Iterator[Step]:
        def sent(then: World, answer: Answer) -> World:
            known = message in then.sent or answer[0] not in ("accepted", "duplicate")
            return then if known else then._replace(sent=then.sent + message)

        s = self.stores[w.store]
        for message in self.scenario.messages[: len(w.sent) + 1]:
            yield from self.calls(w, ("accept", message), sent, fair=message in w.sent)
        for message in w.sent:
            yield from self.asks(w, "stop", message)
            first = f"{message}1"
            if any(isinstance(m, Reply) and m.id == first for m in (*s.messages, *s.replaced)):
                yield from self.asks(w, "retry", message, first)
        if s.here:
            yield from self.asks(w, "delete")

    def worker(self, w: World, i: int) -> Iterator[Step]:
        worker, s = w.workers[i], self.stores[w.store]
        if not worker.fence and s.here:
            # Any ring may come, but only the sweep's is sure to.
            yield from self.does(w, i, Worker(fence=NEW), "begin", fair=self.is_rung_for(s))
        elif worker.call:
            yield from self.does(w, i, worker, *worker.call)
        elif worker.fence:
            yield from self.writes(w, i, worker)
        if worker.message and (s.lease != LIVES or s.stop or s.fence != worker.fence):
            yield from self.does(w, i, worker, "renew")
        if worker.fence and (then := self.may(w, "crash")):
            yield ("a worker crashes",), False, then.put(i, Worker())

    def is_rung_for(self, s: Store) -> bool:
        return s.ready

    def does(self, w: World, i: int, worker: Worker, script: str, *args: Any, fair: bool = True) -> Iterator[Step]:
        def answered(then: World, answer: Answer) -> World:
            return then.put(i, self.answered(then, worker, (script, *args), answer))

        call = (script, worker.fence, FRESH) if script == "begin" else (script, worker.fence, *args)
        waits = w if script == "renew" else w.put(i, worker._replace(call=(script, *args)))
        return self.calls(w, call, answered, fair, waits)

    def writes(self, w: World, i: int, worker: Worker) -> Iterator[Step]:
        """What a worker with a turn may do next, as in tasks/writing.py."""
        offset, n = len(worker.text), len(worker.text) // 4
        piece = f"{worker.reply}{worker.attempt}{'xyz'[n]}" if n < self.scenario.pieces else ""
        if piece:
            yield from self.does(w, i, worker, "emit", offset, piece)
        yield from self.does(w, i, worker, "finish", "completed", offset, piece)
        for fault, call in (
            ("the model fails", ("finish", "failed", offset, "")),
            ("the model breaks off", ("release", 1)),
            ("shutdown", ("release", 0)),
        ):
            if then := self.may(w, fault):
                yield from self.does(then, i, worker, *call, fair=False)

    def answered(self, w: World, worker: Worker, call: Call, answer: Answer) -> Worker:
        """What a worker makes of an answer."""
        match call[0], answer[0]:
            case "begin", "turn":
                return Worker(*answer[1:])
            case "emit", "go" | "stop":
                text = worker.text + call[2]
                told = ("finish", "stopped", len(text), "") if answer[0] == "stop" else ()
                return worker._replace(text=text, call=told)
            case "renew", _ if worker.call or answer[0] == "go":
                return worker
            case "renew", "stop":
                return worker._replace(call=("finish", "stopped", len(worker.text), ""))
            case "finish", "done":
                s, text = self.stores[w.store], worker.text + call[3]
                for m in (*s.messages, *s.replaced):
                    if isinstance(m, Reply) and m.id == worker.reply and m.text != text:
                        raise Broken(f"what was written is stored: {m} is not {text!r}")
        return Worker()

    def fate(self, w: World) -> Iterator[Step]:
        """What nobody asks for."""
        s = self.stores[w.store]
        held = any(worker.fence and worker.fence in (s.fence, s.begun) for worker in w.workers)
        if s.lease == LIVES and (then := self.may(w, "pause") if held else w):
            yield ("the lease lapses",), not held, then._replace(store=self.number(s._replace(lease=LAPSED)))
        if s.leased:
            yield from self.calls(w, ("sweep",))
        if w.late:
            yield from self.calls(w, w.late, lambda then, _: then._replace(late=()))
        if s.ttl and s.here and (then := self.may(w, "expiry")):
            yield ("the conversation expires",), False, then._replace(store=self.number(GONE))
        if w.disk < 0 and (then := self.may(w, "restart")):
            yield ("what comes now will be lost",), False, then._replace(disk=w.store)
        if w.disk >= 0:
            kept = self.stores[w.disk]._replace(restarted=1 + w.left[self.limited.index("restart")])
            reader = w.reader._replace(missed=True)
            yield ("Redis restarts",), True, w._replace(store=self.number(kept), disk=-1, reader=reader)

    def is_over(self, w: World) -> bool:
        """Whether nothing is left to do: every turn has ended and everybody knows."""
        s, r = self.stores[w.store], w.reader
        if w.late or any(worker.fence for worker in w.workers):
            return False
        if not s.here:
            return r.phase == CLOSED or not self.scenario.watched
        if s.turn or s.pending or any(message not in dict(s.ids) for message in w.sent):
            return False
        missing = r.inbox or r.incomplete or s.restarted or (r.epoch, r.n) != (s.epoch, s.n)
        return not self.scenario.watched or (r.phase == LIVE and not missing)
