"""A conversation as its clients use it: create, read, send, retry, stop, rename, delete."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

import orjson

from chat import keys, trace
from chat.errors import ConversationGone
from chat.events import Event, Position
from chat.sessions import Login
from chat.store import Store

Json = dict[str, Any]
TITLE_CHARS = 60


@dataclass(frozen=True)
class Accepted:
    """What became of a message: taken in now, or known already with the state that it has reached.

    `position` counts the turns before it. `outcome` is waiting, running, withdrawn or finished; a finished one has its
    `reply`. `event` is the id of its `accepted` event, where it was taken in by this very call.
    """

    message: Json
    position: int
    outcome: Literal["waiting", "running", "withdrawn", "finished"]
    event: Position | None = None
    reply: Json | None = None


@dataclass(frozen=True)
class Batch:
    """Events after a position, oldest first, and whether more are to be read before one may go live."""

    events: list[Event]
    newest: Position
    more: bool


@dataclass(frozen=True)
class Page:
    """A stretch of history: messages, oldest first, the index of the first, and how many there are in all."""

    messages: list[Json]
    first: int
    total: int


@dataclass(frozen=True)
class Conversation:
    """A conversation in the eyes of a viewer: an account's name in plain form, or "" for a guest.

    `session` is the login with which the viewer has come: streams end when it does. Limits go by `address`. Nothing is
    read when it is made. Every method raises ConversationGone when it has expired, was deleted or belongs to another
    account, and StoreUnavailable when Redis is away.
    """

    store: Store
    id: str
    viewer: str = ""
    session: Login | None = None
    address: str = ""

    @classmethod
    def create(cls, store: Store, name: str = "", conversation_id: str = "", owner: str = "") -> "Conversation":
        """Make a conversation, if there is none of this id. An account's stays, a guest's for CHAT_TTL_S unused."""
        conversation = cls(store, conversation_id or str(uuid4()), owner)
        ttl_s = 0 if owner else store.config.chat_ttl_s
        store.run("create", conversation.id, conversation.id, name, owner, ttl_s)
        return conversation

    def snapshot(self) -> Json:
        """The conversation of one moment: the newest 50 messages, what waits, what runs, and the newest event id."""
        found: Json = orjson.loads(self._run("snapshot")[1])
        return found

    def rename(self, title: str) -> Json:
        """Set the title and return the snapshot."""
        found: Json = orjson.loads(self._run("rename", title)[1])
        self.note(used=False)
        return found

    def adopt(self) -> None:
        """Make a guest's conversation the viewer's. Guests who watch it are told that it is open to them no more."""
        self._run("adopt")

    def delete(self) -> None:
        """Delete it with all that belongs to it, and tell its watchers."""
        self._run("delete")

    def page(self, before: int | None, limit: int) -> Page:
        """At most `limit` messages that end before an index, or at the end."""
        _, messages, first, total = self._run("page", "" if before is None else before, limit)
        return Page(orjson.loads(messages), first, total)

    def history(self) -> Iterator[Json]:
        """All messages, oldest first, read in pages so that no long conversation holds Redis up."""
        first, size = 0, 500
        while True:
            page = self.page(first + size, size)
            yield from page.messages[first - page.first :]
            first = page.first + len(page.messages)
            if first >= page.total:
                return

    def accept(self, text: str, message_id: str | None = None, known: bool = False) -> Accepted:
        """Take in a message; a known id with the same text answers what became of the first.

        Raises MessageConflict when the id was used with another text, QueueFull, which a new id gets also if `known`.
        """
        message_id = message_id or str(uuid4())
        answer = self._run("accept", message_id, text, 0 if known else self.store.config.pending_max, title_of(text))
        trace.note(answer[0], self.id, message_id)
        self.note()
        message = orjson.loads(answer[1])
        if answer[0] == "accepted":
            return Accepted(message, answer[2], "waiting", Position.parse(answer[3]))
        _, _, outcome, position, reply = answer
        if reply:
            return Accepted(message, position, "finished", None, orjson.loads(reply))
        return Accepted(message, position, outcome)

    def retry(self, message_id: str, reply_id: str) -> Literal["accepted", "duplicate"]:
        """Answer the last message again, in place of that reply. Raises NotLastTurn, Busy."""
        answer: Literal["accepted", "duplicate"] = self._run("retry", message_id, reply_id)[0]
        trace.note(f"retry {answer}", self.id, message_id)
        self.note()
        return answer

    def stop(self, message_id: str) -> Literal["stopping", "stopped", "finished"]:
        """Stop the turn of this message, or withdraw the message while it waits. Raises MessageUnknown."""
        answer: Literal["stopping", "stopped", "finished"] = self._run("stop", message_id)[0]
        trace.note(answer, self.id, message_id)
        return answer

    def read(self, after: Position, limit: int = 256) -> Batch:
        """The events after a position, or one `reset` where the position proves nothing."""
        answer = self._run("read", after.epoch, after.n, limit)
        if answer[0] == "reset":
            newest = Position.parse(answer[2])
            return Batch([Event(newest, "reset", answer[1])], newest, more=False)
        _, epoch, newest, milestones, deltas = answer
        numbered = sorted((int(entry[2:]), fields) for entry, fields in milestones + deltas)[:limit]
        events = [Event(Position(epoch, n), fields[1], fields[3]) for n, fields in numbered]
        return Batch(events, Position(epoch, newest), more=len(events) == limit)

    def exists(self) -> bool:
        """Whether it is there for this viewer; counts as a use."""
        try:
            self._run("look")
        except ConversationGone:
            return False
        return True

    def note(self, used: bool = True, new: bool = False) -> bool:
        """Tell the viewer's list of conversations, unless it is a guest, that this one has changed or is new.

        False when the account has been deleted, or this conversation by it. The list is in another cluster slot than
        the conversation, so this is no part of the scripts.
        """
        if not self.viewer:
            return True
        account = keys.account(self.viewer)
        on = [account.document, account.chats, account.changed]
        return bool(self.store.run_on("note", on, self.id, int(used), int(new)))

    def _run(self, script: str, *args: str | int) -> list[Any]:
        return self.store.run(script, self.id, self.viewer, *args)


def title_of(text: str) -> str:
    """What a conversation is called after its first message: its first words."""
    words = " ".join(text.split())
    if len(words) <= TITLE_CHARS:
        return words
    head, space, _ = words[: TITLE_CHARS + 1].rpartition(" ")
    return f"{head if space else words[:TITLE_CHARS]}…"
