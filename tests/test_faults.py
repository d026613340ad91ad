"""The fault matrix's checker: it finds each kind of broken promise, and none where all were kept."""

from collections.abc import Callable
from typing import Any

import pytest

from faults.checker import check
from faults.replies import Order, is_beginning, is_reply, reply
from faults.story import Entry, Log, Sent, Story

MESSAGE = Order(pieces=6).message("m-1")
TEXT = reply(MESSAGE, "take-1")
HUMAN = {"id": "m-1", "role": "human", "text": MESSAGE}
BOT = {"id": "r-1", "role": "bot", "text": TEXT, "reply_to": "m-1", "status": "completed"}


def log(name: str) -> Log:
    """What a client logs that sees one turn from its beginning to its end."""
    head = TEXT[:9]
    events: list[tuple[str, dict[str, Any]]] = [
        ("reset", {"turn": None, "total": 0, "messages": []}),
        ("accepted", {"message": HUMAN, "position": 0}),
        ("started", {"message_id": "m-1", "reply_id": "r-1", "attempt": 1}),
        ("delta", {"reply_id": "r-1", "text": head, "offset": 0}),
        ("delta", {"reply_id": "r-1", "text": TEXT[9:], "offset": len(head)}),
        ("completed", {"message": BOT}),
    ]
    entries = [Entry(10.0 + n, kind, f"aaaa-{n}", data) for n, (kind, data) in enumerate(events)]
    return Log(name, entries=[Entry(9.9, "connected"), *entries])


@pytest.fixture
def story() -> Story:
    messages = [dict(HUMAN), dict(BOT)]
    final = {
        "snapshot": {"messages": messages, "pending": [], "turn": None},
        "export": {"messages": messages},
        "pages": messages,
    }
    return Story("a0", [Sent("m-1", MESSAGE, 9.0, True)], [log("one"), log("two")], final=final)


def test_a_story_in_which_all_went_well_has_no_findings(story: Story) -> None:
    assert check(story) == []


def stored(story: Story) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = story.final["export"]["messages"]
    return found


def later(story: Story, n: int, by_s: float) -> None:
    entries = story.logs[1].entries
    entries[n] = entries[n]._replace(at=entries[n].at + by_s)


def told(story: Story, **message: str) -> None:
    entries = story.logs[1].entries
    entries[6] = entries[6]._replace(data={"message": BOT | message})


BROKEN: dict[str, tuple[str, Callable[[Story], object]]] = {
    "a delta that one client did not get": ("lost", lambda story: story.logs[1].entries.pop(4)),
    "an end that one client did not get": ("lost", lambda story: story.logs[1].entries.pop(6)),
    "a message that is not stored": ("lost", lambda story: stored(story).clear()),
    "a reply that is not stored": ("lost", lambda story: stored(story).pop()),
    "a client that was told that all is gone": ("lost", lambda s: s.logs[1].entries.append(Entry(20, "gone"))),
    "an event that came twice": ("doubled", lambda s: s.logs[1].entries.insert(5, s.logs[1].entries[4])),
    "a message that is stored twice": ("doubled", lambda story: stored(story).extend([HUMAN, BOT])),
    "events that changed places": ("reordered", lambda s: s.logs[1].entries.insert(5, s.logs[1].entries.pop(4))),
    "an end with another text": ("differing", lambda story: told(story, text=TEXT + " more")),
    "a stored text that is not the model's": (
        "differing",
        lambda story: stored(story)[1].update(text="else"),
    ),
    "a stop that nobody asked for": ("differing", lambda story: stored(story)[1].update(status="stopped")),
    "a turn that does not end": (
        "stuck",
        lambda story: story.final["snapshot"].update(turn={"message_id": "m-1"}),
    ),
    "an event that came late": ("late", lambda story: later(story, 6, 5)),
    "an answer in the 500s": ("error", lambda story: story.complaints.append(Entry(10, "answer 500 to POST"))),
}


@pytest.mark.parametrize("what", BROKEN)
def test_the_checker_finds(what: str, story: Story) -> None:
    kind, break_it = BROKEN[what]
    break_it(story)
    assert kind in {finding.kind for finding in check(story)}


def test_a_client_that_was_away_may_miss_the_deltas_of_a_turn_that_ended(story: Story) -> None:
    del story.logs[1].entries[4:6]
    assert check(story) == []


def test_an_event_that_came_late_to_a_client_that_was_away_is_none(story: Story) -> None:
    later(story, 6, 5)
    story.logs[1].entries[6:6] = [Entry(14.9, "lost"), Entry(19.9, "connected")]
    assert check(story) == []


def test_two_takes_of_a_reply_are_told_apart() -> None:
    other = reply(MESSAGE, "take-2")
    assert is_reply(MESSAGE, TEXT) and is_reply(MESSAGE, other)
    assert is_beginning(MESSAGE, TEXT[:-3]) and is_beginning(MESSAGE, "take")
    assert not is_reply(MESSAGE, TEXT[:-3]) and not is_beginning(MESSAGE, TEXT[:15] + other[15:])
