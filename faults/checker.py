"""Judges what clients logged against the final documents. Knows the API's promises and nothing of what is behind it."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from faults.replies import is_beginning, is_reply
from faults.story import ENDS, Entry, Json, Log, Sent, Story

# An event that reaches one client and, over a good connection, another one so much later was missed and found again.
LATE_S = 2.0
KINDS = ("reset", "accepted", "started", "delta", *ENDS)
BROKEN = ("lost", "doubled", "reordered", "differing", "stuck", "late", "error")


class Finding(NamedTuple):
    """A broken promise: when, which kind, of which client or message, and what was seen.

    Two kinds more break none, as Redis may do so by its own rules: resent, undone.
    """

    at: float
    kind: str
    where: str
    what: str


def check(story: Story) -> list[Finding]:
    """Everything that is wrong with a conversation that has come to rest."""
    events = first_seen(story)
    return [
        *(finding for log in story.logs for finding in _texts(log)),
        *(Finding(entry.at, "error", story.name, entry.kind) for entry in story.complaints),
        *(finding for log in story.watched for look in (_positions, _told_alike) for finding in look(log, events)),
        *(_documents(story, events) if story.final else ()),
    ]


def first_seen(story: Story) -> dict[str, Entry]:
    """Each event by its id, as the first of the clients that watch everything saw it."""
    seen = [entry for log in story.watched for entry in log.entries if entry.id]
    return {entry.id: entry for entry in sorted(seen, key=lambda entry: -entry.at) if entry.kind != "reset"}


def units(text: str) -> int:
    """The length of a text in UTF-16 code units."""
    return len(text.encode("utf-16-le")) // 2


def _found(log: Log, entry: Entry, kind: str, what: str) -> Finding:
    return Finding(entry.at, kind, log.name, f"{what} at {entry.kind} {entry.id}")


def _positions(log: Log, events: dict[str, Entry]) -> Iterator[Finding]:
    """Each event moves a client on, by one. Deltas may be left out: those of a turn that ended while it was away."""
    last, seen = Entry(0, ""), set[str]()
    for entry in (entry for entry in log.entries if entry.kind in KINDS):
        if entry.kind == "reset":
            seen = set()
        elif entry.id in seen:
            yield _found(log, entry, "doubled", "seen before")
        elif entry.epoch != last.epoch:
            yield _found(log, entry, "reordered", "another epoch without a reset")
        elif entry.n <= last.n:
            yield _found(log, entry, "reordered", f"it came after {last.id}")
        else:
            between = [events.get(f"{entry.epoch}-{n}") for n in range(last.n + 1, entry.n)]
            for missed in (event for event in between if event and event.kind != "delta"):
                yield _found(log, entry, "lost", f"{missed.kind} {missed.id} did not come before it")
        last = entry
        seen.add(entry.id)


def _texts(log: Log) -> Iterator[Finding]:
    """A client that follows the rules shows the texts that it is told."""
    texts, attempts, last = dict[str, str](), dict[tuple[str, str], int](), Entry(0, "")
    # Whether nothing is missing since the running turn began: who comes late to its end gets no deltas any more.
    unbroken = False
    for entry in (entry for entry in log.entries if entry.kind in KINDS):
        data, reply_id = entry.data, entry.data.get("reply_id", "")
        last, unbroken = entry, unbroken and entry.n == last.n + 1
        if entry.kind == "reset":
            turn, unbroken = data["turn"], log.whole
            texts = {turn["reply_id"]: turn["text"]} if turn else {}
            attempts = {(entry.epoch, turn["reply_id"]): turn["attempt"]} if turn else {}
        elif entry.kind == "started":
            # In another epoch the stream of one turn brings its client up to date anew.
            if data["attempt"] <= attempts.get((entry.epoch, reply_id), 0):
                yield _found(log, entry, "doubled", f"attempt {data['attempt']} again")
            texts[reply_id], attempts[entry.epoch, reply_id], unbroken = "", data["attempt"], log.whole
        elif entry.kind == "delta":
            at = units(texts[reply_id]) if reply_id in texts else None
            if data["offset"] != at:
                wrong = "doubled" if at and data["offset"] < at else "lost"
                yield _found(log, entry, wrong, f"offset {data['offset']}, have {at}")
            texts[reply_id] = texts.get(reply_id, "") + data["text"]
        elif "message" in data and entry.kind in ENDS:
            text, have = data["message"]["text"], texts.pop(data["message"]["id"], "")
            if not text.startswith(have) or (unbroken and have != text):
                yield _found(log, entry, "differing", f"shown {have[-40:]!r}, told {text[-40:]!r}")


def _told_alike(log: Log, events: dict[str, Entry]) -> Iterator[Finding]:
    """An event is the same for all who see it, and over a good connection it comes to all at the same time."""
    marks = [entry.at for entry in log.entries if entry.kind in ("connected", "lost", "left")]
    for entry, first in ((entry, events[entry.id]) for entry in log.entries if entry.id in events):
        if entry.kind != "reset" and (entry.kind, entry.data) != (first.kind, first.data):
            yield Finding(entry.at, "differing", log.name, f"{entry.id} is {entry.kind} and {first.kind}")
        since = marks[: bisect_right(marks, entry.at)][-1:]
        if not log.slow_s and entry.at - first.at > LATE_S and since and since[0] < first.at:
            yield Finding(entry.at, "late", log.name, f"{entry.kind} {entry.id} by {entry.at - first.at:.1f} s")


def _documents(story: Story, events: dict[str, Entry]) -> Iterator[Finding]:
    snapshot, stored = story.final["snapshot"], story.final["export"]["messages"]
    last = story.sent[-1].at if story.sent else 0
    if story.final["pages"] != stored or snapshot["messages"] != stored[-50:]:
        yield Finding(last, "differing", story.name, "snapshot, pages and export")
    unended = [message["id"] for message in snapshot["pending"]]
    unended += [snapshot["turn"]["message_id"]] if snapshot["turn"] else []
    newest = max((entry.at for entry in events.values()), default=last)
    yield from (Finding(newest, "stuck", message_id, "its turn has not ended") for message_id in unended)
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
    own = [entry for entry in events.values() if sent.id in _concerned(entry.data)]
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
