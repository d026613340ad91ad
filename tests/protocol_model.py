"""What the documentation says of a turn, as simply as can be: what a client knows, and which worker may write."""

from dataclasses import dataclass, field
from typing import Any, Literal

from chat.events import Event, utf16_units
from chat.turns import STRIKES_MAX, Turn

Json = dict[str, Any]


@dataclass
class Client:
    """The conversation as its events tell it. An event that does not follow from the ones before fails."""

    messages: list[Json] = field(default_factory=list)
    pending: list[Json] = field(default_factory=list)
    turn: Json | None = None

    def see(self, event: Event) -> None:
        getattr(self, f"_{event.type}")(event.content)

    def shows(self, snapshot: Json) -> None:
        """Assert that the snapshot, which must hold the whole conversation, is what the events have told."""
        assert (self.messages, self.pending) == (snapshot["messages"], snapshot["pending"])
        turn = snapshot["turn"]
        assert self.turn == (turn and {name: turn[name] for name in ("message_id", "reply_id", "attempt", "text")})

    def _reset(self, snapshot: Json) -> None:
        turn = snapshot["turn"]
        self.messages, self.pending = snapshot["messages"], snapshot["pending"]
        self.turn = turn and {name: turn[name] for name in ("message_id", "reply_id", "attempt", "text")}

    def _accepted(self, told: Json) -> None:
        assert told["position"] == len(self.pending) + bool(self.turn)
        if told.get("retry"):
            message, reply = self.messages.pop(-2), self.messages.pop()
            assert (message, reply["reply_to"]) == (told["message"], message["id"])
        self.pending.append(told["message"])

    def _started(self, told: Json) -> None:
        if self.turn:
            assert told == {"message_id": self.turn["message_id"], "reply_id": self.turn["reply_id"],
                            "attempt": self.turn["attempt"] + 1}  # fmt: skip
        else:
            message = self.pending.pop(0)
            assert (told["message_id"], told["attempt"]) == (message["id"], 1)
            self.messages.append(message)
        self.turn = told | {"text": ""}

    def _delta(self, told: Json) -> None:
        assert self.turn and told["reply_id"] == self.turn["reply_id"]
        assert told["offset"] == utf16_units(self.turn["text"])
        self.turn["text"] += told["text"]

    def _end(self, told: Json) -> None:
        reply = told["message"]
        assert self.turn and (reply["id"], reply["reply_to"]) == (self.turn["reply_id"], self.turn["message_id"])
        # What was seen is never taken back by the end.
        assert reply["text"].startswith(self.turn["text"])
        self.turn = None
        self.messages.append(reply)

    _completed = _failed = _end

    def _stopped(self, told: Json) -> None:
        if not told.get("withdrawn"):
            return self._end(told)
        (message,) = (message for message in self.pending if message["id"] == told["message_id"])
        self.pending.remove(message)
        if "restored" in told:
            self.messages += [message, told["restored"]]


@dataclass
class Running:
    """What the contract says of the turn that is under way."""

    message_id: str
    holder: Turn | None = None
    # lapsed: nobody has seen it yet; rung: neither, but a message that came in has had the conversation rung for.
    lease: Literal["living", "lapsed", "rung", None] = None
    strikes: int = 0
    stop: bool = False


@dataclass
class Contract:
    """What must be true of the conversation, as far as it does not show in its events."""

    waiting: list[str] = field(default_factory=list)
    running: Running | None = None
    ended: dict[str, str] = field(default_factory=dict)  # message id -> withdrawn, or how its turn ended
    texts: dict[str, str] = field(default_factory=dict)
    owed: int = 0  # ends that the accepted messages still have to get
    finished: list[tuple[Turn, int]] = field(default_factory=list)

    def end(self, how: str) -> None:
        assert self.running
        self.ended[self.running.message_id] = how
        self.running = None
        self.owed -= 1

    def settle(self) -> None:
        """A stop whose worker has died is carried out by whoever comes next."""
        if self.running and self.running.stop and self.running.lease != "living":
            self.end("stopped")

    def begin(self) -> str | None:
        """The message that is taken up next."""
        self.settle()
        if self.running:
            self.running.strikes += self.running.lease in ("lapsed", "rung")
            if self.running.strikes >= STRIKES_MAX:
                self.end("failed")
        if not self.running and self.waiting:
            self.running = Running(self.waiting.pop(0))
        return self.running.message_id if self.running else None

    def holds(self, turn: Turn) -> bool:
        """Whether this worker may write; if so it goes on, and its silence was no strike."""
        self.settle()
        if not self.running or self.running.holder is not turn:
            return False
        self.running.strikes -= self.running.lease is None
        self.running.lease = "living"
        return True
