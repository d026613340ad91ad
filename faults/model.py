"""Every interleaving of the turn protocol at small bounds: an explicit-state model, explored breadth first.

`python -m faults.model` explores the scenarios below: two workers that crash, stall and come back, calls whose answers
are lost or whose copies come late, stops, retries, events that are lost, a Redis that loses its tail. `--mutants` shows
that a protocol without one of its rules is caught (faults/model_mutants.py). Each exits non-zero where it is not so.
Time is left out: a lease lapses, a ring comes, a conversation expires whenever it could.
"""

import os
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from typing import Any, NamedTuple

from faults.protocol import (
    GONE,
    LAPSED,
    LIVES,
    NO_LEASE,
    Answer,
    Event,
    Protocol,
    Reply,
    Store,
    Told,
    View,
    view,
    without,
)

AWAY, READING, LIVE, CLOSED = range(4)
# Fences are called 1, 2, … by who knows them; new ones are renamed at once.
NEW, FRESH, NOBODY = 7, 8, 9
MANY = -1
# What a call may answer when it is repeated as it stands and nothing has happened since, other than the same.
REPEATED = {"accepted": "duplicate", "released": "fenced", "deleted": "gone", "stopped": "finished"}

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
    """All of one moment. Stores are kept once and known by number; `left` is how often each fault may still come."""

    store: int
    workers: tuple[Worker, Worker] = (Worker(), Worker())
    late: Call = ()
    sent: str = ""
    reader: Reader = Reader()
    disk: int = -1
    left: tuple[int, ...] = ()

    def put(self, i: int, worker: Worker) -> "World":
        return self._replace(workers=(worker, self.workers[1]) if i == 0 else (self.workers[0], worker))


class Scenario(NamedTuple):
    """What may happen, each fault so many times or MANY, and how large things are."""

    name: str
    faults: dict[str, int]
    messages: str = "a"
    pieces: int = 1
    watched: bool = False
    limits: tuple[tuple[str, int], ...] = ()


# What happens, whether it happens also without a fault, and the world after it.
Step = tuple[tuple[Any, ...], bool, World]


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


class Model(Protocol):
    """A scenario: all that can happen next in each world. Mutants override a method."""

    queue_max = 256

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.limited = [fault for fault, times in scenario.faults.items() if times != MANY]
        self.stores: list[Store] = []
        self.broken: dict[int, str] = {}
        self._numbers: dict[Store, int] = {}
        self._calls: dict[tuple[int, Call], tuple[int, Answer, Told]] = {}
        self._same: dict[Any, tuple[int, int, tuple[Worker, Worker], int]] = {}
        vars(self).update(scenario.limits)

    def start(self) -> World:
        return World(self.number(Store()), left=tuple(self.scenario.faults[fault] for fault in self.limited))

    def number(self, s: Store) -> int:
        """The number of a store; a new one is checked."""
        if not self.scenario.watched:
            s = s._replace(n=0, trimmed=0, log=(), deltas=())  # what nobody reads
        found = self._numbers.get(s)
        if found is None:
            found = self._numbers[s] = len(self.stores)
            self.stores.append(s)
            if broken := check_store(s):
                self.broken[found] = broken
        return found

    def may(self, w: World, fault: str) -> World | None:
        """The world with one fault of this kind less to come; None when there is none left."""
        if fault not in self.limited:
            return w if fault in self.scenario.faults else None
        n = self.limited.index(fault)
        return w._replace(left=(*w.left[:n], w.left[n] - 1, *w.left[n + 1 :])) if w.left[n] else None

    def steps(self, w: World) -> Iterator[Step]:
        yield from self.clients(w)
        yield from self.worker(w, 0)
        if w.workers[0] != w.workers[1]:
            yield from self.worker(w, 1)
        yield from self.fate(w)
        if self.scenario.watched:
            yield from self.reading(w)

    def call(self, store: int, call: Call) -> tuple[int, Answer, Told]:
        """What a script does to a store, found once; it must be possible to repeat it."""
        if (store, call) not in self._calls:
            s, answer = self.run(self.stores[store], *call)
            told, s = s.told, s._replace(told=())
            again, second = self.run(s, *call)
            if again != s or (second != answer and second[0] != REPEATED.get(answer[0])):
                raise Broken(f"a call can be repeated: {call} answers {answer}, and at once again {second}")
            self._calls[store, call] = self.number(s), answer, told
        return self._calls[store, call]

    def calls(
        self, w: World, call: Call, answered: Callable[[World, Answer], World], unanswered: World | None, fair: bool
    ) -> Iterator[Step]:
        """All that can become of a call. `unanswered` has the caller that will repeat it."""
        store, answer, told = self.call(w.store, call)
        changed = store != w.store
        after = [("", w._replace(store=store, reader=self.hear(w.reader, told)) if changed else w)]
        if told and w.reader.phase in (READING, LIVE) and (deaf := self.may(w, "events lost")):
            after.append(("its events are lost", deaf._replace(store=store, reader=w.reader._replace(missed=True))))
        for note, then in after:
            yield (call, "→", answer, note), fair and not note, answered(then, answer)
            # Who hears nothing of a call that changed nothing could as well make it later.
            if changed and unanswered and (left := self.may(then, "answer lost")):
                yield (call, "→", answer, "the answer is lost"), False, left._replace(workers=unanswered.workers)
        if not w.late and (left := self.may(unanswered or w, "late")):
            yield (call, "is on its way, and is made anew"), False, left._replace(late=call)

    def clients(self, w: World) -> Iterator[Step]:
        def sent(then: World, answer: Answer) -> World:
            known = message in then.sent or answer[0] not in ("accepted", "duplicate")
            return then if known else then._replace(sent=then.sent + message)

        s = self.stores[w.store]
        for message in self.scenario.messages[: len(w.sent) + 1]:
            yield from self.calls(w, ("accept", message), sent, None, fair=message in w.sent)
        for message in w.sent:
            yield from self.asks(w, "stop", message)
            first = f"{message}1"
            if any(isinstance(m, Reply) and m.id == first for m in (*s.messages, *s.replaced)):
                yield from self.asks(w, "retry", message, first)
        if s.here:
            yield from self.asks(w, "delete")

    def asks(self, w: World, script: str, *args: str) -> Iterator[Step]:
        if then := self.may(w, script):
            yield from self.calls(then, (script, *args), lambda then, _: then, None, fair=False)

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
        return self.calls(w, call, answered, waits, fair)

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
            yield from self.calls(w, ("sweep",), lambda then, _: then, None, fair=True)
        if w.late:
            yield from self.calls(w, w.late, lambda then, _: then._replace(late=()), None, fair=True)
        if s.ttl and s.here and (then := self.may(w, "expiry")):
            yield ("the conversation expires",), False, then._replace(store=self.number(GONE))
        if w.disk < 0 and (then := self.may(w, "restart")):
            yield ("what comes now will be lost",), False, then._replace(disk=w.store)
        if w.disk >= 0:
            kept = self.stores[w.disk]._replace(restarted=1 + w.left[self.limited.index("restart")])
            reader = w.reader._replace(missed=True)
            yield ("Redis restarts",), True, w._replace(store=self.number(kept), disk=-1, reader=reader)

    def hear(self, r: Reader, told: Told) -> Reader:
        if not told or r.phase not in (READING, LIVE):
            return r
        inbox, (epoch, event) = (*r.inbox, *told), told[-1]
        full = r.incomplete or len(inbox) > self.queue_max
        return r._replace(inbox=inbox[: self.queue_max], newest=(epoch, event[0]), incomplete=full)

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
        return self.calls(w, call, lambda then, answer: then._replace(reader=has(then.reader, answer)), None, fair=True)

    def has_read(self, r: Reader, answer: Answer) -> Reader:
        if answer[0] == "gone":
            return Reader(CLOSED)
        kind, epoch, n, found = answer
        if kind == "events":
            was = r.view
            for event in found:
                was = drawn(was, event)
            if len(found) == self.read_max:
                return r._replace(n=found[-1][0], view=was)
            found = was
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

    def same(self, w: World) -> World:
        """One for all the worlds that differ only in which worker is which and in the names of fences."""
        late = w.late[1] if len(w.late) > 1 and isinstance(w.late[1], int) else 0
        key = (w.store, w.disk, w.workers, late)
        if key not in self._same:
            self._same[key] = self.named_anew(*key)
        store, disk, workers, name = self._same[key]
        return w._replace(
            store=store, disk=disk, workers=workers, late=(w.late[0], name, *w.late[2:]) if late else w.late
        )

    def named_anew(
        self, store: int, disk: int, workers: tuple[Worker, Worker], late: int
    ) -> tuple[int, int, tuple[Worker, Worker], int]:
        kept = [self.stores[n] for n in (store, disk) if n >= 0]
        fences = [late, *(fence for s in kept for fence in (s.fence, s.begun, s.finished))]
        first, second = sorted(workers, key=lambda worker: (worker[1:], [worker.fence == fence for fence in fences]))
        names = {0: 0}
        for fence in (first.fence, second.fence, late):
            names.setdefault(fence, len(names))
        for s in kept:
            if s.begun in names:
                names.setdefault(s.fence, len(names))
        workers = first._replace(fence=names[first.fence]), second._replace(fence=names[second.fence])
        return self.renamed(store, names), self.renamed(disk, names), workers, names[late]

    def renamed(self, store: int, names: dict[int, int]) -> int:
        if store < 0:
            return store
        s = self.stores[store]
        fence, begun, finished = names.get(s.fence, NOBODY), names.get(s.begun, 0), names.get(s.finished, 0)
        if (fence, begun, finished) == (s.fence, s.begun, s.finished):
            return store
        return self.number(
            s._replace(fence=fence, begun=begun, finished=finished, waiting=s.waiting if finished else 0)
        )

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


def check_store(s: Store) -> str:
    """Which promise a store breaks; '' for none."""
    if not s.here:
        return ""
    replies = [m for m in (*s.messages, *s.replaced) if isinstance(m, Reply)]
    humans = [m for m in (*s.messages, *s.pending) if isinstance(m, str)]
    working = (*([s.turn[0]] if s.turn else []), *s.pending)
    held = bool(s.fence or s.lease or s.stop)
    promises = {
        "an accepted message waits, runs, or has ended once": sorted(s.owed) == sorted(working),
        "there is a reply for each time that a message was accepted": (
            sorted([*s.owed, *(reply.to for reply in replies)]) == list(s.replies)
        ),
        "a message is there once": len(set(humans)) == len(humans),
        "a reply is there once": len({reply.id for reply in replies}) == len(replies),
        "a reply is the text of one attempt, from its beginning": all(map(is_whole, replies)),
        "who sends a message again is answered what became of it": all(leads(s, *known) for known in s.ids),
        "work with a living lease is in leased": s.lease != LIVES or s.leased,
        "work without a lease is in ready": s.lease != NO_LEASE or s.ready == bool(working),
        "work is in one index": not (s.ready and s.leased),
        "only a turn has a fence, a lease, a stop": s.turn is not None or not held,
        "a guest's conversation has a time to live while nothing waits": s.ttl == (s.guest and not working),
        "each failure is a strike, and three end a turn": s.lease != LIVES or s.strikes == s.failures < 3,
        "a stop that was promised is not forgotten": s.stop == s.asked,
        "numbers rise": [e[0] for e in s.log] == sorted({e[0] for e in s.log}),
    }
    return next((promise for promise, holds in promises.items() if not holds), "")


def is_whole(reply: Reply) -> bool:
    pieces = [reply.text[n : n + 4] for n in range(0, len(reply.text), 4)]
    return all(piece == f"{reply.id}{pieces[0][2]}{'xyz'[n]}" for n, piece in enumerate(pieces))


def leads(s: Store, message: str, outcome: str | int) -> bool:
    if isinstance(outcome, int):
        reply = s.messages[outcome] if outcome < len(s.messages) else ""
        return isinstance(reply, Reply) and reply.to == message
    return (outcome == "waiting") == (message in s.pending)


def check_world(w: World, s: Store) -> str:
    """Which promise to a reader is broken; '' for none."""
    r = w.reader
    if not s.here or s.restarted:
        return ""
    if (r.epoch, r.n) == (s.epoch, s.n):
        return "" if r.view == view(s) else "a client at the newest position sees what is stored"
    told = r.phase == LIVE and not (r.inbox or r.incomplete or r.missed)
    return "a live client to whom all was told is at the newest position" if told else ""


class Result(NamedTuple):
    """What an exploration found: how much, and the promise that is broken, with the shortest way to it."""

    states: int
    transitions: int
    seconds: float
    broken: str = ""
    trace: tuple[str, ...] = ()


class Exploration:
    """All worlds of a model, each once, those first that take the fewest steps."""

    def __init__(self, model: Model) -> None:
        self.model = model
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
                    to = self.visit(self.model.same(then), n, what)
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
        before: dict[int, list[int]] = {}
        for n in range(0, len(self.fair), 2):
            before.setdefault(self.fair[n + 1], []).append(self.fair[n])
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
        s, fresh = self.model.stores[self.worlds[self.at].store], Store()
        yield ", ".join(f"{k}={v}" for k, v in s._asdict().items() if v != getattr(fresh, k))


_ANY = {"crash": MANY, "pause": MANY, "answer lost": MANY}
_ONE = {"crash": 1, "pause": 1, "answer lost": MANY}
_SMALL = (("log_max", 4), ("queue_max", 2), ("read_max", 2))

SCENARIOS = [
    Scenario("two messages", _ANY | {"stop": MANY}, "ab"),
    Scenario("a full queue", _ANY | {"stop": 1}, "ab", limits=(("pending_max", 1),)),
    Scenario(
        "a failing model", _ANY | {"stop": MANY, "the model fails": 1, "the model breaks off": MANY, "shutdown": 2}
    ),
    Scenario("late calls", {"late": 1, "answer lost": 1, "pause": 1, "stop": 1}, "ab"),
    Scenario("late calls, longer", {"late": 2, "answer lost": 1, "pause": 1}, pieces=2),
    Scenario("retries", _ANY | {"retry": MANY, "stop": MANY}),
    Scenario("a late retry", {"late": 1, "pause": 1, "retry": MANY, "stop": 1}),
    Scenario("a retry of two", _ONE | {"retry": 1, "stop": 1}, "ab"),
    Scenario("expiry, deletion", _ONE | {"late": 1, "stop": 1, "expiry": 1, "delete": 1}, pieces=2),
    Scenario("a restart", {"restart": 1, "pause": 1, "answer lost": 1}, "ab"),
    Scenario("a restart, late calls", {"restart": 1, "pause": 1, "late": 1}),
    Scenario("two restarts", {"restart": 2, "stop": 1}),
    Scenario("readers", {"events lost": MANY, "reader leaves": MANY, "crash": 1}, "a", 2, True, _SMALL),
    Scenario("readers, two messages", {"events lost": 1, "stop": 1}, "ab", 1, True, _SMALL),
    Scenario("readers, a retry", {"events lost": 1, "retry": 1, "stop": 1}, "a", 1, True, _SMALL),
    Scenario("readers, a restart", {"events lost": 1, "restart": 1, "reader leaves": 1}, "a", 1, True),
    Scenario(
        "readers, deletion", {"events lost": 1, "reader leaves": 1, "expiry": 1, "delete": 1}, "a", 1, True, _SMALL
    ),
]


def explore(scenario: str, mutant: str = "") -> Result:
    """Explore a scenario, with the protocol as it is or one of faults/model_mutants.py."""
    kind: type[Model] = getattr(import_module("faults.model_mutants"), mutant) if mutant else Model
    return Exploration(kind(next(known for known in SCENARIOS if known.name == scenario))).explore()


def main(arguments: list[str]) -> int:
    """Print a table, and each counterexample that nobody asked for. Returns 1 when the model is not as it should be."""
    mutants = import_module("faults.model_mutants").MUTANTS if "--mutants" in arguments else {}
    work = [(scenario, mutant.__name__) for mutant, scenario in mutants.items()] or [(s.name, "") for s in SCENARIOS]
    wrong, states = 0, 0
    print(f"{'mutant' if mutants else 'scenario':<30}{'states':>9}{'transitions':>13}{'seconds':>9}  what is broken")
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for (scenario, mutant), found in zip(work, pool.map(explore, *zip(*work, strict=True)), strict=True):
            numbers = f"{found.states:>9,}{found.transitions:>13,}{found.seconds:>9.1f}"
            print(f"{mutant or scenario:<30}{numbers}  {found.broken}", flush=True)
            states += found.states
            wrong += bool(found.broken) != bool(mutant)
            if found.broken and (not mutant or "--traces" in arguments):
                print(*found.trace, sep="\n    ", end="\n\n")
    print(f"{states:,} states; {wrong} of {len(work)} " + ("mutants not caught" if mutants else "scenarios broken"))
    return int(wrong > 0)


if __name__ == "__main__":
    # Not by this module's own names: the mutants are made of those in faults.model.
    sys.exit(import_module("faults.model").main(sys.argv[1:]))
