"""A turn as the worker writes it: begin, emit, renew, finish, release; and the sweep that finds abandoned ones."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

import orjson

from chat import keys, trace
from chat.errors import Busy, ConversationGone, FencedOff
from chat.events import dumps, utf16_units
from chat.store import Store

STRIKES_MAX = 3
_WORKER = "*"
_GIVEN_UP = {"code": "attempts_exhausted", "detail": "The reply broke off three times.", "retryable": True}


@dataclass
class Turn:
    """A turn that this worker holds. Its methods raise FencedOff when another worker has taken it over.

    `window` is the last four messages, the newest human one among them. `length` counts the UTF-16 code units
    written so far.
    """

    store: Store
    conversation_id: str
    fence: str
    message_id: str
    reply_id: str
    attempt: int
    window: list[dict[str, Any]]
    length: int = field(default=0, init=False)

    @classmethod
    def begin(cls, store: Store, conversation_id: str) -> "Turn | None":
        """Take up the conversation's next turn; None when another worker has it or nothing waits."""
        args = (_WORKER, uuid4().hex, _lease_ms(store), STRIKES_MAX, dumps(_GIVEN_UP))
        try:
            answer = store.run("begin", conversation_id, *args)
        except (Busy, ConversationGone):
            return None
        if answer[-1]:
            trace.note(f"failed {_GIVEN_UP['code']}", conversation_id, answer[-1])
        if answer[0] == "idle":
            return None
        turn, window = orjson.loads(answer[1]), orjson.loads(answer[2])
        trace.note(f"begun, attempt {turn['attempt']}", conversation_id, turn["message_id"])
        return cls(store, conversation_id, answer[3], turn["message_id"], turn["reply_id"], turn["attempt"], window)

    def emit(self, text: str) -> bool:
        """Add a delta to the reply; False when a stop was asked for."""
        answer = self._run("emit", _lease_ms(self.store), *self._delta(text))
        self.length += utf16_units(text)
        return bool(answer[0] == "go")

    def finish(self, status: Literal["completed", "stopped", "failed"], text: str = "", **failure: Any) -> int:
        """End the turn, with a last delta where there is one. Returns how many messages wait.

        A failure has its code, detail and retryable.
        """
        answer = self._run("finish", status, dumps(failure) if failure else "", *self._delta(text))
        trace.note(f"{status} {failure.get('code', '')}".rstrip(), self.conversation_id, self.message_id)
        return int(answer[1])

    def release(self, strike: bool, delay_ms: int = 0) -> None:
        """Give the turn back, to be taken up after `delay_ms`. Three strikes end it."""
        self._run("release", int(strike), delay_ms)
        trace.note("given back", self.conversation_id, self.message_id)

    def _delta(self, text: str) -> tuple[str | int, ...]:
        data = dumps({"reply_id": self.reply_id, "text": text, "offset": self.length})
        return self.length, utf16_units(text), text, data

    def _run(self, script: str, *args: str | int) -> list[Any]:
        try:
            return self.store.run(script, self.conversation_id, _WORKER, self.fence, *args)
        except ConversationGone as error:
            # Deleted while the reply was being written: the same to a worker as being fenced off.
            raise FencedOff() from error


def renew(store: Store, turns: Sequence[Turn]) -> dict[str, list[Turn]]:
    """Renew the leases of many turns in one round trip. Returns those that are asked to stop and those fenced off."""
    lease_ms = _lease_ms(store)
    answers = store.run_all(
        ("renew", keys.conversation(turn.conversation_id), (_WORKER, turn.fence, lease_ms)) for turn in turns
    )
    found: dict[str, list[Turn]] = {"stop": [], "fenced": []}
    for turn, answer in zip(turns, answers, strict=True):
        # No answer, or an empty one, says nothing: the script failed, or a node of the cluster is away.
        if answer and answer != ["go"]:
            found["stop" if answer == ["stop"] else "fenced"].append(turn)
    return found


def _lease_ms(store: Store) -> int:
    return int(store.config.lease_s * 1000)


def sweep(store: Store, again_ms: int = 2000) -> list[str]:
    """Name the conversations whose work nobody does; each is named again after `again_ms` if that does not change."""
    answers = store.run_all(("sweep", on, (again_ms,)) for on in keys.indexes())
    return [conversation_id for found in answers for conversation_id in found or ()]
