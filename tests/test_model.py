"""The model of the turn protocol: it holds, it would show a rule that is missing, and it is what the scripts do."""

import random
import time
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from chat import keys
from chat.conversation import Conversation
from chat.errors import ConversationGone
from chat.events import Event, Position, dumps
from chat.store import Store as RealStore
from protocol.exploration import explore
from protocol.model import Model
from protocol.mutants import MUTANTS
from protocol.scripts import Protocol
from protocol.store import GONE, LAPSED, LIVES, NO_LEASE, Answer, Reply, Store, View, view
from protocol.store import Event as ModelEvent

QUICK = ["late calls, longer", "a late retry", "two restarts", "readers, a retry", "readers, deletion"]
LEASE_MS, UNKNOWN = 600_000, 999


@pytest.mark.parametrize("scenario", QUICK)
def test_no_interleaving_breaks_a_promise(scenario: str) -> None:
    found = explore(Model, scenario)
    assert not found.broken, found.trace
    assert found.states > 1000


@pytest.mark.parametrize("mutant, scenario", MUTANTS)
def test_a_protocol_without_one_of_its_rules_is_caught(mutant: type[Model], scenario: str) -> None:
    assert explore(mutant, scenario).broken


class Names(dict[str, Any]):
    """What the real store and the model call the same thing."""

    def learn(self, real: str, model: Any) -> Any:
        assert self.setdefault(real, model) == model
        assert len(set(self.values())) == len(self), "two things have one name"
        return model


@dataclass
class Both:
    """The same calls on a real conversation and on the model's."""

    real: RealStore
    chat: Conversation
    seed: int
    s: Store = field(default_factory=Store)
    model: Protocol = field(default_factory=Protocol)
    fences: Names = field(default_factory=Names)
    replies: Names = field(default_factory=Names)
    epochs: Names = field(default_factory=Names)
    calls: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.model.pending_max, self.model.read_max = 2, 3
        self.on = keys.conversation(self.chat.id)
        self.indexes = next(index for index in keys.indexes() if index[:2] == self.on[6:8])
        self.live = self.real.client.pubsub(ignore_subscribe_messages=False)
        self.live.ssubscribe(keys.live(self.chat.id))
        assert self.live.get_message(timeout=10)
        self.epochs.learn(self.chat.snapshot()["position"].split("-")[0], 0)

    def step(self) -> str:
        """Do something at random, in both; answers, what is published and what is kept must be the same."""
        what = ""
        if not self.something_happens():
            call = self.some_call()
            self.calls.append(call)
            before, (self.s, expected) = self.s, self.model.run(self.s, *call)
            assert self.answer(call, before, expected) == expected, self.calls
            for told in self.s.told:
                heard = Event.published(self.live.get_message(timeout=10)["data"])
                assert (self.epoch(heard.position.epoch, told[0]), self.event(heard)) == told, self.calls
            self.s, what = self.s._replace(told=()), f"{call[0]}: {expected[0]}"
        if self.s.here:
            assert self.kept() == self.s, self.calls
        return what

    def something_happens(self) -> bool:
        """A lease lapses, Redis restarts, the conversation expires."""
        what = self.random.random()
        run, leased = self.on[1], self.on[7]
        if what < 0.08 and self.s.lease == LIVES:
            self.real.execute("HSET", run, "lease", 1)
            self.real.execute("ZADD", leased, "XX", 1, self.chat.id)
            self.s = self.s._replace(lease=LAPSED)
        elif what > 0.992:
            self.real.execute("HSET", run, "server", "0" * 40)
            self.s = self.s._replace(restarted=self.s.epoch + 1)
        elif what > 0.99 and self.s.ttl:
            self.real.execute("DEL", *self.on[:6])
            self.s = GONE
        else:
            return False
        self.calls.append(what)
        return True

    def some_call(self) -> tuple[Any, ...]:
        """Some call, more often than not one that changes something."""
        s, pick = self.s, self.random.choice
        fence = pick([s.fence or UNKNOWN] * 20 + [UNKNOWN, *self.fences.values()])
        message = pick([*"abcd", *s.pending, *([s.turn[0]] * 2 if s.turn else [])])
        last = s.messages[-1] if s.messages else ""
        reply = last[:2] if isinstance(last, Reply) else (f"{message}1", message)
        offset = pick([len(s.partial)] * 4 + [0, 400])
        piece = pick(["", "ein ", "zwei", "drei"])
        choices: list[tuple[float, tuple[Any, ...]]] = [
            (5, ("accept", message)),
            (2, ("retry", *pick([reply[::-1], (message, f"{message}1")]))),
            (7, ("begin", pick([len(self.calls) + 1, s.begun or 1, 1]), len(self.calls) + 1000)),
            (7, ("emit", fence, offset, piece)),
            (3, ("renew", fence)),
            (3, ("finish", fence, pick(["completed", "failed", "stopped"]), offset, piece)),
            (3, ("release", fence, pick([0, 1]))),
            (2, ("stop", message)),
            (3, ("sweep",)),
            (1, ("look",)),
            (3, ("read", pick([s.epoch] * 3 + [0]), self.random.randrange(s.n + 2))),
            (0.03, ("delete",)),
        ]
        return self.random.choices([call for _, call in choices], [weight for weight, _ in choices])[0]

    def real_name(self, names: Names, model: Any) -> str:
        return next((real for real, known in names.items() if known == model), "nobody")

    def answer(self, call: tuple[Any, ...], before: Store, expected: Answer) -> Answer:
        """What the real script answers, in the model's words."""
        script, *args = call
        if script == "sweep":
            self.real.execute("ZADD", self.on[6], "XX", 1, self.chat.id)
            return ("rings" if self.chat.id in self.real.run_on("sweep", self.indexes, 2000) else "silent",)
        if script == "read":
            return self.read(*args, expected)
        found = self.real.run_on(script, self.on, *self.arguments(before, script, args))
        match found:
            case ["accepted", _, position, _]:
                return "accepted", position
            case ["duplicate", _, outcome, _, reply]:
                assert not reply or orjson.loads(reply)["reply_to"] == args[0]
                return "duplicate", int(outcome) if outcome.isdigit() else outcome
            case ["turn", turn, _, fence, *_]:
                turn = orjson.loads(turn)
                reply = self.replies.learn(turn["reply_id"], expected[3])
                return "turn", self.fences.learn(fence, expected[1]), turn["message_id"], reply, turn["attempt"]
            case ["idle", *_]:
                return ("idle",)
            case ["ok", epoch, n]:
                return "ok", self.epoch(epoch, expected[1]), n
        return tuple(found)

    def arguments(self, before: Store, script: str, args: list[Any]) -> list[Any]:
        fence = self.real_name(self.fences, args[0]) if args else ""
        match script, args:
            case "accept", [message]:
                return ["", message, f"text of {message}", self.model.pending_max, "a title"]
            case "retry", [message, reply]:
                return ["", message, self.real_name(self.replies, reply)]
            case "begin", [name, _]:
                return ["*", f"{name:032x}", LEASE_MS, 3, dumps({"code": "given_up"})]
            case "emit", [_, offset, text]:
                return ["*", fence, LEASE_MS, *self.delta(before, offset, text)]
            case "renew", _:
                return ["*", fence, LEASE_MS]
            case "finish", [_, status, offset, text]:
                return ["*", fence, status, "", *self.delta(before, offset, text)]
            case "release", [_, strike]:
                return ["*", fence, strike, 0]
        return ["", *args]

    def delta(self, before: Store, offset: int, text: str) -> list[Any]:
        reply = self.real_name(self.replies, before.turn[1]) if before.turn else ""
        return [offset, len(text), text, dumps({"reply_id": reply, "text": text, "offset": offset})]

    def read(self, epoch: int, n: int, expected: Answer) -> Answer:
        try:
            batch = self.chat.read(Position(self.real_name(self.epochs, epoch), n), limit=self.model.read_max)
        except ConversationGone:
            return ("gone",)
        newest = self.epoch(batch.newest.epoch, expected[1]), batch.newest.n
        if batch.events and batch.events[0].type == "reset":
            return "reset", *newest, self.view(batch.events[0].content)
        return "events", *newest, tuple(self.event(event) for event in batch.events)

    def epoch(self, real: str, model: int) -> int:
        return int(self.epochs.learn(real, model))

    def reply(self, message: dict[str, Any]) -> Reply:
        return Reply(self.replies[message["id"]], message["reply_to"], message["status"], message["text"])

    def message(self, message: dict[str, Any]) -> str | Reply:
        return self.reply(message) if message["role"] == "bot" else message["id"]

    def view(self, found: dict[str, Any]) -> View:
        turn = found["turn"]
        return View(
            tuple(self.message(message) for message in found["messages"]),
            tuple(message["id"] for message in found["pending"]),
            (turn["message_id"], self.replies[turn["reply_id"]], turn["text"]) if turn else None,
        )

    def event(self, event: Event) -> ModelEvent:
        data, n = event.content, event.position.n
        match event.type:
            case "accepted":
                return n, "accepted", data["message"]["id"], data.get("retry", False)
            case "started":
                # Its reply is new to us where the model has just named it.
                reply = self.s.turn[1] if self.s.turn and n == self.s.n else self.replies[data["reply_id"]]
                return n, "started", data["message_id"], self.replies.learn(data["reply_id"], reply), data["attempt"]
            case "delta":
                return n, "delta", self.replies[data["reply_id"]], data["offset"], data["text"]
            case "gone":
                return n, "gone"
        if "withdrawn" in data:
            return n, "withdrawn", data["message_id"], self.reply(data["restored"]) if "restored" in data else None
        return n, event.type, self.reply(data["message"])

    def kept(self) -> Store:
        """What Redis keeps, in the model's words; what only the model's checks look at is taken from there."""
        document, run, partial, ids, log, deltas, ready, leased = self.on[:8]
        found, fields, outcomes, *rest = self.real.execute_all(
            ("JSON.GET", document), ("HGETALL", run), ("HGETALL", ids), ("GET", partial),
            ("XRANGE", log, "-", "+"), ("XRANGE", deltas, "-", "+"),
            ("ZSCORE", ready, self.chat.id), ("ZSCORE", leased, self.chat.id), *(("PTTL", key) for key in self.on[:6]),
        )  # fmt: skip
        document, fence, turn = orjson.loads(found), fields.get("fence", ""), orjson.loads(found)["turn"]
        text, milestones, pieces, is_ready, is_leased, *left = rest
        lease = int(fields.get("lease", 0))
        lives = {ms > 0 for ms in left if ms != -2}
        assert len(lives) == 1, "some keys have a time to live, others have none"
        assert fields["server"] == "0" * 40 or not self.s.restarted
        return self.s._replace(
            ttl=lives.pop(), epoch=self.epoch(fields["epoch"], self.s.epoch), n=int(fields["n"]),
            trimmed=int(fields["trimmed"]), log=self.stream(fields["epoch"], milestones),
            deltas=self.stream(fields["epoch"], pieces),
            messages=tuple(self.message(message) for message in document["messages"]),
            pending=tuple(message["id"] for message in document["pending"]),
            turn=(turn["message_id"], self.replies[turn["reply_id"]], turn["attempt"]) if turn else None,
            replaced=tuple(self.reply(reply) for reply in document["replaced"]),
            ids=tuple(sorted((m, outcome(text)) for m, text in outcomes.items() if "#" not in m)),
            partial=text or "", fence=self.fences[fence] if fence else 0, begun=int(fence[:32] or "0", 16),
            finished=self.fences[fields["finished"]] if "finished" in fields else 0,
            waiting=int(fields.get("finished_waiting", 0)),
            lease=NO_LEASE if not lease else LIVES if lease > time.time() * 1000 else LAPSED,
            strikes=int(fields.get("strikes", 0)), stop="stop" in fields, retrying=fields.get("retrying", ""),
            ready=is_ready is not None, leased=is_leased is not None,
        )  # fmt: skip

    def stream(self, epoch: str, entries: list[Any]) -> tuple[ModelEvent, ...]:
        return tuple(self.event(Event(Position(epoch, int(i[2:])), kept["type"], kept["data"])) for i, kept in entries)


def outcome(kept: str) -> str | int:
    word = kept.split()[2]
    return int(word) if word.isdigit() else word


def test_the_model_does_what_the_scripts_do(store: RealStore) -> None:
    answers = set()
    for seed in range(10):
        chat = Conversation.create(store)
        both = Both(store, chat, seed)
        answers |= {both.step() for _ in range(200)}
        both.live.close()
        if both.s.here:
            assert both.view(chat.snapshot()) == view(both.s)
    assert len(answers) >= 38, sorted(answers)
