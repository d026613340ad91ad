"""Judges what clients logged against the final documents. Knows the API's promises and nothing of what is behind it."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from faults.clients import ENDS, Entry, Json, Log, Sent, Story
from faults.replies import is_beginning, is_reply

# An event that reaches one client and, over a good connection, another one so much later was missed and found again.
LATE_S = 2.0


class Finding(NamedTuple):
    """A broken promise: when, which kind, of which client or message, and what was seen.

    Kinds: lost, doubled, reordered, differing, stuck, late, error.
    """

    at: float
    kind: str
    where: str
    what: str


def check(story: Story) -> list[Finding]:
    """Everything that is wrong with a conversation that has come to rest."""
    events = first_seen(story)
    return [
        *(finding for log in story.logs for finding in Replay(log, events).findings),
        *(Finding(entry.at, "error", story.name, entry.kind) for entry in story.complaints),
        *_told_alike(story, events),
        *_late(story, events),
        *(_documents(story, events) if story.final else ()),
    ]


def first_seen(story: Story) -> dict[str, Entry]:
    """Each event by its id, as the first of the clients that watch everything saw it."""
    seen = [entry for log in story.logs if log.whole for entry in log.entries if entry.id]
    return {entry.id: entry for entry in sorted(seen, key=lambda entry: -entry.at) if entry.kind != "reset"}


def units(text: str) -> int:
    """The length of a text in UTF-16 code units."""
    return len(text.encode("utf-16-le")) // 2


def _number(event_id: str) -> int:
    return int(event_id.partition("-")[2])


class Replay:
    """A client that follows the rules and shows what its log says, event by event."""

    def __init__(self, log: Log, events: dict[str, Entry]) -> None:
        self.log, self.findings = log, list[Finding]()
        self.texts: dict[str, str] = {}
        self.attempts: dict[tuple[str, str], int] = {}
        self._events, self._last, self._ids = events, "", set[str]()
        # Whether nothing is missing since the running turn began: who comes late to its end gets no deltas any more.
        self._unbroken = False
        for entry in log.entries:
            if entry.kind == "reset":
                self._reset(entry)
            elif entry.kind in ("accepted", "started", "delta", *ENDS):
                if log.whole:
                    self._move(entry)
                self._show(entry)

    def _find(self, entry: Entry, kind: str, what: str) -> None:
        self.findings.append(Finding(entry.at, kind, self.log.name, f"{what} at {entry.kind} {entry.id}"))

    def _reset(self, entry: Entry) -> None:
        turn = entry.data["turn"]
        self.texts = {turn["reply_id"]: turn["text"]} if turn else {}
        self.attempts = {(entry.id.partition("-")[0], turn["reply_id"]): turn["attempt"]} if turn else {}
        self._last, self._ids, self._unbroken = entry.id, set(), self.log.whole

    def _move(self, entry: Entry) -> None:
        """Check the position that an event moves the client to."""
        last, self._last = self._last, entry.id
        if entry.id in self._ids:
            self._find(entry, "doubled", "seen before")
        elif last.partition("-")[0] != entry.id.partition("-")[0]:
            self._find(entry, "reordered", "another epoch without a reset")
        elif _number(entry.id) <= _number(last):
            self._find(entry, "reordered", f"it came after {last}")
        else:
            epoch = entry.id.partition("-")[0]
            for n in range(_number(last) + 1, _number(entry.id)):
                missed = self._events.get(f"{epoch}-{n}")
                if missed and missed.kind != "delta":
                    self._find(entry, "lost", f"{missed.kind} {missed.id} did not come before it")
        self._ids.add(entry.id)
        self._unbroken &= _number(entry.id) == _number(last) + 1

    def _show(self, entry: Entry) -> None:
        data, reply_id = entry.data, entry.data.get("reply_id", "")
        if entry.kind == "started":
            # In another epoch the stream of one turn brings its client up to date anew.
            attempt = (entry.id.partition("-")[0], reply_id)
            if data["attempt"] <= self.attempts.get(attempt, 0):
                self._find(entry, "doubled", f"attempt {data['attempt']} again")
            self.texts[reply_id], self.attempts[attempt] = "", data["attempt"]
            self._unbroken = self.log.whole
        elif entry.kind == "delta":
            have = self.texts.get(reply_id)
            if have is None or data["offset"] != units(have):
                wrong = "doubled" if have and data["offset"] < units(have) else "lost"
                self._find(entry, wrong, f"offset {data['offset']}, have {None if have is None else units(have)}")
            self.texts[reply_id] = (have or "") + data["text"]
        elif "message" in data and entry.kind in ENDS:
            text, have = data["message"]["text"], self.texts.pop(data["message"]["id"], "")
            if not text.startswith(have) or (self._unbroken and have != text):
                self._find(entry, "differing", f"shown {have[-40:]!r}, told {text[-40:]!r}")


def _told_alike(story: Story, events: dict[str, Entry]) -> Iterator[Finding]:
    """An event is the same for all who see it."""
    for log in story.logs:
        for entry in log.entries if log.whole else ():
            if entry.id and entry.kind != "reset":
                first = events[entry.id]
                if (entry.kind, entry.data) != (first.kind, first.data):
                    yield Finding(entry.at, "differing", log.name, f"{entry.id} is {entry.kind} and {first.kind}")


def _late(story: Story, events: dict[str, Entry]) -> Iterator[Finding]:
    """Events that a client with a good connection got long after another one."""
    for log in story.logs:
        if not log.whole or log.slow:
            continue
        marks = [entry.at for entry in log.entries if entry.kind in ("connected", "lost", "left")]
        for entry in log.entries:
            first = events.get(entry.id)
            if first and entry.at - first.at > LATE_S:
                since = bisect_right(marks, entry.at)
                if since and marks[since - 1] < first.at:
                    yield Finding(entry.at, "late", log.name, f"{entry.kind} {entry.id} by {entry.at - first.at:.1f} s")


def _documents(story: Story, events: dict[str, Entry]) -> Iterator[Finding]:
    snapshot, stored = story.final["snapshot"], story.final["export"]["messages"]
    last = story.sent[-1].at if story.sent else 0
    if story.final["pages"] != stored or snapshot["messages"] != stored[-50:]:
        yield Finding(last, "differing", story.name, "snapshot, pages and export")
    unended = [message["id"] for message in snapshot["pending"]]
    unended += [snapshot["turn"]["message_id"]] if snapshot["turn"] else []
    newest = max((entry.at for entry in events.values()), default=last)
    for message_id in unended:
        yield Finding(newest, "stuck", message_id, "its turn has not ended")
    humans = [message["id"] for message in stored if message["role"] == "human"]
    if sorted(humans, key=[sent.id for sent in story.sent].index) != humans:
        yield Finding(last, "reordered", story.name, "the stored messages")
    for sent in story.sent:
        if sent.id not in unended:
            yield from _turn(sent, stored, events)
    for log in story.logs:
        yield from _knows_all(log, stored)


def _turn(sent: Sent, stored: list[Json], events: dict[str, Entry]) -> Iterator[Finding]:
    """A message has one reply in the store, with the text that was told, once for each time that it was asked for."""
    own = [e for e in events.values() if sent.id in _concerned(e.data)]
    ends = [entry for entry in own if entry.kind in ENDS]
    accepted = [entry for entry in own if entry.kind == "accepted" and "retry" not in entry.data]
    last = max((entry.at for entry in own), default=sent.at)
    if len(ends) > sent.asked or len(accepted) > 1:
        yield Finding(last, "doubled", sent.id, f"{len(accepted)} times accepted, {len(ends)} ends")
    at = [n for n, message in enumerate(stored) if message["id"] == sent.id]
    replies = [message for message in stored if message.get("reply_to") == sent.id]
    if not at and sent.outcome == "stopped":
        return
    if len(at) != 1 or len(replies) != 1:
        wrong = "doubled" if len(at) > 1 or len(replies) > 1 else "lost"
        yield Finding(last, wrong, sent.id, f"stored {len(at)} times with {len(replies)} replies")
    elif stored[at[0] + 1] != replies[0]:
        yield Finding(last, "reordered", sent.id, "its reply does not follow it")
    else:
        yield from _text(sent, replies[0], ends)


def _concerned(data: Json) -> tuple[str | None, ...]:
    """The ids of the messages that an event may be about: its own, and that of what its reply answers."""
    message = data.get("message", {})
    return data.get("message_id"), message.get("id"), message.get("reply_to")


def _text(sent: Sent, reply: Json, ends: list[Entry]) -> Iterator[Finding]:
    right = is_reply if reply["status"] == "completed" else is_beginning
    last = max((end.at for end in ends), default=sent.at)
    if not right(sent.text, reply["text"]):
        yield Finding(last, "differing", sent.id, f"the {reply['status']} reply is not the model's: {reply['text']!r}")
    if reply["status"] == "stopped" and not sent.stop_at:
        yield Finding(last, "differing", sent.id, "stopped, and nobody asked")
    for end in ends:
        if end.data.get("message", {}).get("id") == reply["id"] and end.data["message"] != reply:
            yield Finding(end.at, "differing", sent.id, "what was told is not what is stored")


def _knows_all(log: Log, stored: list[Json]) -> Iterator[Finding]:
    """Nobody was told that the conversation is gone, and whoever stayed has seen all ends since its last reset."""
    for entry in (entry for entry in log.entries if entry.kind == "gone"):
        yield Finding(entry.at, "lost", log.name, "the conversation, it was told")
    if log.left or not log.whole:
        return
    resets = [entry for entry in log.entries if entry.kind == "reset"]
    told = {entry.data["message"]["id"] for entry in log.entries if entry.kind in ENDS and "message" in entry.data}
    for n, message in enumerate(stored):
        if message["role"] == "bot" and message["id"] not in told and (not resets or n >= resets[-1].data["total"]):
            last = log.entries[-1].at if log.entries else 0
            yield Finding(last, "lost", log.name, f"the end of {message['reply_to']}")
