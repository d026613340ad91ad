"""The turn protocol on a real store: what every script promises, whatever is repeated, late or dead."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from services import wait_for

from chat import keys
from chat.conversation import Conversation
from chat.errors import Busy, ConversationGone, FencedOff, MessageConflict, MessageUnknown, NotLastTurn, QueueFull
from chat.events import ENDS, Event, Position
from chat.store import Store
from chat.turns import Turn, renew, sweep


@pytest.fixture
def chat(store: Store) -> Conversation:
    return Conversation.create(store, "Ada")


@pytest.fixture
def hasty(store: Store) -> Iterator[Store]:
    """The same store with leases so short that a test can see them lapse."""
    hasty = Store(replace(store.config, lease_s=0.2))
    yield hasty
    hasty.close()


def events(chat: Conversation, after: str | None = None) -> list[Event]:
    start = Position.parse(after) if after else Position(chat.snapshot()["position"].split("-")[0], 0)
    return chat.read(start).events


def kinds(chat: Conversation) -> list[str]:
    return [event.type for event in events(chat)]


def begin(store: Store, chat: Conversation) -> Turn:
    turn = Turn.begin(store, chat.id)
    assert turn
    return turn


def answer(store: Store, chat: Conversation, text: str, reply: str) -> Any:
    """One whole turn; the reply as it was stored."""
    chat.accept(text)
    turn = begin(store, chat)
    turn.emit(reply)
    turn.finish("completed")
    return chat.snapshot()["messages"][-1]


def test_a_turn_is_told_in_order_and_its_texts_agree(store: Store, chat: Conversation) -> None:
    chat.accept("Hi", "m1")
    turn = begin(store, chat)
    assert turn.emit("Hel") and turn.emit("lo 🌍")
    assert chat.snapshot()["turn"]["text"] == "Hello 🌍"
    running = events(chat)
    assert turn.finish("completed", "!") == 0

    assert [event.type for event in running] == ["accepted", "started", "delta", "delta"]
    assert [event.content["offset"] for event in running[2:]] == [0, 3]
    end = events(chat)[-1]
    reply = chat.snapshot()["messages"][-1]
    assert end.content["message"] == reply
    assert (reply["text"], reply["status"], reply["reply_to"]) == ("Hello 🌍!", "completed", "m1")
    assert turn.length == 8  # the globe is two UTF-16 units
    assert end.position.n == running[-1].position.n + 2  # the last piece was a delta of its own
    assert 0 <= reply["timing"]["waited_ms"] <= reply["timing"]["first_text_ms"] <= reply["timing"]["total_ms"]


def test_an_empty_list_stays_a_list(store: Store, chat: Conversation) -> None:
    answer(store, chat, "Hi", "Hello")
    snapshot = chat.snapshot()
    assert snapshot["pending"] == [] and len(snapshot["messages"]) == 2
    assert store.client.execute_command("JSON.GET", f"{_base(chat)}", ".replaced") == "[]"


def test_only_the_last_four_messages_make_the_window(store: Store, chat: Conversation) -> None:
    for n in range(3):
        answer(store, chat, f"question {n}", f"answer {n}")
    chat.accept("question 3")
    window = begin(store, chat).window
    assert [message["text"] for message in window] == ["answer 1", "question 2", "answer 2", "question 3"]


def test_turns_of_a_conversation_run_one_at_a_time_in_order(store: Store, chat: Conversation) -> None:
    positions = [chat.accept(f"m{n}").position for n in range(3)]
    assert positions == [0, 1, 2]
    for waiting in (2, 1, 0):
        turn = begin(store, chat)
        assert Turn.begin(store, chat.id) is None
        assert turn.finish("completed") == waiting
    assert Turn.begin(store, chat.id) is None
    texts = [message["text"] for message in chat.snapshot()["messages"] if message["role"] == "human"]
    assert texts == ["m0", "m1", "m2"]


def test_a_known_id_answers_its_first_outcome_also_when_the_queue_is_full(store: Store, chat: Conversation) -> None:
    first = chat.accept("Hi", "m1")
    for n in range(store.config.pending_max - 1):
        chat.accept(f"filler {n}")
    with pytest.raises(QueueFull):
        chat.accept("one more", "late")
    again = chat.accept("Hi", "m1")
    assert (again.message, again.position, again.outcome, again.event) == (first.message, 0, "waiting", None)
    with pytest.raises(MessageConflict):
        chat.accept("Bye", "m1")
    begin(store, chat).finish("completed", "Hello")
    done = chat.accept("Hi", "m1")
    assert done.outcome == "finished" and done.reply and done.reply["text"] == "Hello"
    assert kinds(chat).count("accepted") == store.config.pending_max


def test_only_the_newest_thousand_ids_are_remembered(store: Store, chat: Conversation) -> None:
    hasty = replace(store.config, pending_max=2000)
    roomy = Conversation(Store(hasty), chat.id)
    for n in range(1002):
        roomy.accept("Hi", f"m{n}")
    ids = store.client.hkeys(f"{_base(chat)}:ids")
    assert len(ids) == 2 * 1000 + 1
    assert "m1" not in ids and "m2" in ids


def test_a_repeated_step_changes_nothing(store: Store, chat: Conversation) -> None:
    chat.accept("Hi", "m1")
    turn = begin(store, chat)
    turn.emit("Hello")
    turn.length = 0
    turn.emit("Hello")
    assert chat.snapshot()["turn"]["text"] == "Hello"
    again = store.run("begin", chat.id, "*", turn.fence[:32], 5000, 3, "")
    assert again[0] == "turn" and turn.reply_id in again[1] and again[3] == turn.fence
    before = kinds(chat)
    chat.accept("And you?")
    assert turn.finish("completed") == 1
    assert turn.finish("completed") == 1
    assert len(kinds(chat)) == len(before) - 1 + 2  # the delta went with its turn; accepted and completed came
    assert len(chat.snapshot()["messages"]) == 2


def test_a_worker_that_lost_its_fence_can_change_nothing(hasty: Store, chat: Conversation) -> None:
    chat.accept("Hi", "m1")
    zombie = begin(hasty, chat)
    zombie.emit("from the grave")
    heir = wait_for(lambda: Turn.begin(hasty, chat.id))
    assert (heir.attempt, heir.reply_id) == (2, zombie.reply_id)
    for step in (lambda: zombie.emit("x"), lambda: zombie.finish("completed"), lambda: zombie.release(strike=True)):
        with pytest.raises(FencedOff):
            step()
    assert renew(hasty, [zombie, heir]) == {"stop": [], "fenced": [zombie]}
    assert chat.snapshot()["turn"]["text"] == ""
    # A script that fails says nothing of the turn.
    run = keys.conversation(chat.id)[1]
    hasty.client.hset(run, "schema", "none")
    assert renew(hasty, [heir]) == {"stop": [], "fenced": []}
    hasty.client.hset(run, "schema", 1)
    heir.finish("completed", "alive")
    with pytest.raises(FencedOff):
        zombie.finish("completed")
    assert [message["text"] for message in chat.snapshot()["messages"]] == ["Hi", "alive"]


def test_a_begin_that_arrives_twice_does_not_hand_the_next_turn_to_who_holds_the_last(
    hasty: Store, chat: Conversation
) -> None:
    chat.accept("one", "m1")
    chat.accept("two", "m2")
    begin_again = ("begin", chat.id, "*", "0" * 32, 200, 3, "{}")
    first = hasty.run(*begin_again)
    assert chat.stop("m1") == "stopping"
    wait_for(lambda: not _living(hasty, chat))
    late = hasty.run(*begin_again)
    first_turn, next_turn = orjson.loads(first[1]), orjson.loads(late[1])
    assert (first_turn["message_id"], next_turn["message_id"]) == ("m1", "m2")
    assert first_turn["reply_id"] != next_turn["reply_id"]
    with pytest.raises(FencedOff):
        hasty.run("finish", chat.id, "*", first[3], "completed", "", 0, 3, "one", "{}")
    assert chat.snapshot()["turn"]["text"] == ""


def test_a_late_worker_whose_fence_still_stands_goes_on(hasty: Store, chat: Conversation) -> None:
    chat.accept("Hi")
    turn = begin(hasty, chat)
    wait_for(lambda: sweep(hasty))
    turn.emit("still here")
    assert Turn.begin(hasty, chat.id) is None
    turn.finish("completed")
    assert chat.snapshot()["messages"][-1]["text"] == "still here"


def test_a_delta_beyond_the_end_is_fenced_off(store: Store, chat: Conversation) -> None:
    chat.accept("Hi")
    turn = begin(store, chat)
    turn.length = 10
    with pytest.raises(FencedOff):
        turn.emit("after a hole")


def test_three_lapsed_leases_end_a_turn_with_its_partial_text(hasty: Store, chat: Conversation) -> None:
    chat.accept("Hi")
    chat.accept("Next")
    for attempt in (1, 2, 3):
        turn = wait_for(lambda: Turn.begin(hasty, chat.id))
        assert turn.attempt == attempt
        turn.emit(f"attempt {attempt}")
    after = wait_for(lambda: Turn.begin(hasty, chat.id))
    end = next(event for event in events(chat) if event.type == "failed")
    assert end.content["code"] == "attempts_exhausted" and end.content["retryable"] is True
    assert end.content["message"]["text"] == "attempt 3"
    assert end.content["message"]["failure"]["code"] == "attempts_exhausted"  # kept for who comes later
    assert after.window[-1]["text"] == "Next"


def test_clean_releases_are_no_strikes(store: Store, chat: Conversation) -> None:
    chat.accept("Hi")
    for _ in range(5):
        begin(store, chat).release(strike=False)
    turn = begin(store, chat)
    assert turn.attempt == 6
    turn.release(strike=True)
    begin(store, chat).release(strike=True)
    begin(store, chat).release(strike=True)
    assert Turn.begin(store, chat.id) is None
    assert kinds(chat)[-1] == "failed"


def test_a_stalled_worker_that_gives_its_turn_back_has_not_died_as_well(hasty: Store, chat: Conversation) -> None:
    chat.accept("Hi")
    for strike in (False, True, True):
        turn = begin(hasty, chat)
        wait_for(lambda: sweep(hasty))
        turn.release(strike)
    begin(hasty, chat).release(strike=True)
    assert Turn.begin(hasty, chat.id) is None


@pytest.mark.slow
def test_stalls_of_a_living_worker_are_no_strikes(hasty: Store, chat: Conversation) -> None:
    chat.accept("Hi")
    turn = begin(hasty, chat)
    for _ in range(4):
        wait_for(lambda: sweep(hasty))
        turn.emit("x")
    turn.release(strike=False)
    assert begin(hasty, chat).attempt == 2


def test_the_sweep_names_what_nobody_works_on(hasty: Store, chat: Conversation) -> None:
    assert sweep(hasty) == []
    chat.accept("Hi")
    assert wait_for(lambda: sweep(hasty)) == [chat.id]
    assert sweep(hasty) == []  # put ahead
    turn = begin(hasty, chat)
    assert wait_for(lambda: sweep(hasty)) == [chat.id]  # its lease has lapsed
    assert wait_for(lambda: sweep(hasty, again_ms=0)) == [chat.id]
    turn.finish("completed")
    assert _indexes(hasty) == []


def test_finish_leaves_the_waiting_ones_to_be_rung_for(store: Store, chat: Conversation) -> None:
    chat.accept("one")
    chat.accept("two")
    begin(store, chat).finish("completed")
    assert sweep(store) == [chat.id]


def test_stop_of_a_running_turn_marks_it_and_never_hits_the_next(store: Store, chat: Conversation) -> None:
    chat.accept("one", "m1")
    chat.accept("two", "m2")
    turn = begin(store, chat)
    assert turn.emit("so far")
    assert chat.stop("m1") == "stopping"
    assert chat.stop("m1") == "stopping"
    assert renew(store, [turn])["stop"] == [turn]
    assert turn.emit(" and on") is False
    turn.finish("stopped")
    following = begin(store, chat)
    assert chat.stop("m1") == "stopped"
    assert following.emit("untouched") is True
    assert chat.snapshot()["messages"][1]["status"] == "stopped"


def test_stop_without_a_living_worker_ends_the_turn(hasty: Store, chat: Conversation) -> None:
    chat.accept("one", "m1")
    turn = begin(hasty, chat)
    turn.emit("half a")
    wait_for(lambda: not _living(hasty, chat))
    assert chat.stop("m1") == "stopped"
    with pytest.raises(FencedOff):
        turn.emit("word")
    assert chat.snapshot()["messages"][-1]["text"] == "half a"
    assert _indexes(hasty) == []


@pytest.mark.parametrize("visit", ["begin", "read", "look", "accept", "sweep and begin"])
def test_a_stop_whose_worker_died_is_carried_out_by_whoever_comes_next(
    hasty: Store, chat: Conversation, visit: str
) -> None:
    chat.accept("one", "m1")
    turn = begin(hasty, chat)
    turn.emit("half")
    assert chat.stop("m1") == "stopping"
    wait_for(lambda: not _living(hasty, chat))
    if visit == "sweep and begin":
        sweep(hasty)
    visits: dict[str, Callable[[], object]] = {
        "read": chat.snapshot, "look": chat.exists, "accept": lambda: chat.accept("two"),
    }  # fmt: skip
    visits.get(visit, lambda: Turn.begin(hasty, chat.id))()
    reply = chat.snapshot()["messages"][-1]
    assert (reply["text"], reply["status"]) == ("half", "stopped")
    with pytest.raises(FencedOff):
        turn.emit("more")


def test_a_turn_that_is_given_back_with_a_stop_mark_ends(store: Store, chat: Conversation) -> None:
    chat.accept("one", "m1")
    turn = begin(store, chat)
    turn.emit("half")
    chat.stop("m1")
    turn.release(strike=False)
    assert chat.snapshot()["messages"][-1]["status"] == "stopped"
    assert _indexes(store) == []


def test_stop_of_a_finished_turn_says_so(store: Store, chat: Conversation) -> None:
    reply = answer(store, chat, "Hi", "Hello")
    assert chat.stop(reply["reply_to"]) == "finished"


def test_stop_of_a_waiting_message_withdraws_it(store: Store, chat: Conversation) -> None:
    for name in ("m1", "m2", "m3"):
        chat.accept(name, name)
    assert chat.stop("m2") == "stopped"
    assert chat.stop("m2") == "stopped"
    assert events(chat)[-1].content == {"message_id": "m2", "withdrawn": True}
    assert chat.accept("m2", "m2").outcome == "withdrawn"
    begin(store, chat).finish("completed")
    assert begin(store, chat).message_id == "m3"
    with pytest.raises(MessageUnknown):
        chat.stop("never sent")


def test_retry_puts_the_reply_aside_once(store: Store, chat: Conversation) -> None:
    old = answer(store, chat, "Hi", "Hmpf")
    assert chat.retry(old["reply_to"], old["id"]) == "accepted"
    assert chat.retry(old["reply_to"], old["id"]) == "duplicate"
    told = events(chat)[-1].content
    assert told["retry"] is True and told["message"]["text"] == "Hi"
    turn = begin(store, chat)
    assert turn.window[-1]["text"] == "Hi"
    assert turn.reply_id != old["id"]
    turn.finish("completed", "Hello!")
    assert chat.retry(old["reply_to"], old["id"]) == "duplicate"
    assert [message["text"] for message in chat.snapshot()["messages"]] == ["Hi", "Hello!"]


def test_retry_is_refused_while_something_waits_and_for_older_replies(store: Store, chat: Conversation) -> None:
    old = answer(store, chat, "Hi", "Hello")
    chat.accept("more")
    with pytest.raises(Busy):
        chat.retry(old["reply_to"], old["id"])
    begin(store, chat).finish("completed")
    with pytest.raises(NotLastTurn):
        chat.retry(old["reply_to"], old["id"])


def test_a_withdrawn_retry_puts_message_and_reply_back(store: Store, chat: Conversation) -> None:
    old = answer(store, chat, "Hi", "Hello")
    before = chat.snapshot()["messages"]
    chat.retry(old["reply_to"], old["id"])
    assert chat.stop(old["reply_to"]) == "stopped"
    assert chat.snapshot()["messages"] == before
    assert events(chat)[-1].content == {"message_id": old["reply_to"], "withdrawn": True, "restored": old}
    assert chat.accept("Hi", old["reply_to"]).outcome == "finished"
    assert _indexes(store) == []


def test_every_accepted_message_gets_exactly_one_end(store: Store, chat: Conversation) -> None:
    for n in range(6):
        chat.accept(f"m{n}", f"m{n}")
    chat.stop("m4")
    for status in ("completed", "failed", "stopped", "completed", "completed"):
        begin(store, chat).finish(status, "x")  # type: ignore[arg-type]
    ends = [e.content for e in events(chat) if e.type in ENDS]
    ended = sorted(end["message"]["reply_to"] if "message" in end else end["message_id"] for end in ends)
    assert ended == ["m0", "m1", "m2", "m3", "m4", "m5"]


def test_a_position_that_proves_nothing_gets_a_reset(store: Store, chat: Conversation) -> None:
    answer(store, chat, "Hi", "Hello")
    epoch = chat.snapshot()["position"].split("-")[0]
    for position in ("", "nonsense", "00000000-1", f"{epoch}-99", f"{epoch}-01", f"{epoch}--1"):
        (reset,) = events(chat, position or "-")
        assert reset.type == "reset"
        assert str(reset.position) == reset.content["position"] == chat.snapshot()["position"]


def test_trimmed_milestones_get_a_reset_and_deltas_do_not_count(store: Store, chat: Conversation) -> None:
    for _ in range(90):
        answer(store, chat, "Hi", "Hello")  # three milestones and a delta each
    epoch = chat.snapshot()["position"].split("-")[0]
    trimmed = int(store.client.hget(f"{_base(chat)}:run", "trimmed") or 0)
    assert store.client.xlen(f"{_base(chat)}:log") == 256
    assert events(chat, f"{epoch}-{trimmed}")[0].position.n > trimmed
    assert events(chat, f"{epoch}-{trimmed - 1}")[0].type == "reset"


def test_a_restarted_server_means_a_new_epoch(store: Store, chat: Conversation) -> None:
    answer(store, chat, "Hi", "Hello")
    old = chat.snapshot()["position"]
    store.client.hset(f"{_base(chat)}:run", "server", "0" * 40)
    (reset,) = events(chat, old)
    assert reset.type == "reset" and str(reset.position) != old
    assert events(chat, str(reset.position)) == []


def test_reading_in_small_steps_finds_everything_once(store: Store, chat: Conversation) -> None:
    answer(store, chat, "Hi", "Hello")
    chat.accept("more")
    turn = begin(store, chat)
    for piece in "abcdef":
        turn.emit(piece)
    chat.accept("and more")
    position, seen = Position(chat.snapshot()["position"].split("-")[0], 0), []
    while True:
        batch = chat.read(position, limit=2)
        seen += batch.events
        position = seen[-1].position
        if not batch.more:
            break
    assert [event.position for event in seen] == [event.position for event in events(chat)]
    assert seen[-1].position == batch.newest


def kept(store: Store) -> list[str]:
    """All that is kept, but for what is counted for /metrics."""
    return [key for key in store.client.keys("*") if not key.endswith(":counts")]


def test_a_guests_conversation_expires_unless_work_waits(store: Store) -> None:
    brief = Store(replace(store.config, chat_ttl_s=1))
    idle, busy = Conversation.create(brief), Conversation.create(brief)
    busy.accept("Hi")
    keys = store.client.keys("*")
    assert wait_for(lambda: not idle.exists())
    turn = begin(brief, busy)
    turn.finish("completed", "Hello")
    assert {store.client.pttl(key) > 0 for key in store.client.keys(f"{_base(busy)}*")} == {True}
    assert wait_for(lambda: kept(store) == [])
    assert len(keys) > 4
    with pytest.raises(ConversationGone):
        busy.accept("Hi")


def test_a_use_renews_a_guests_time(store: Store, chat: Conversation) -> None:
    for key in store.client.keys("*"):
        store.client.expire(key, 100)
    chat.snapshot()
    assert store.client.ttl(_base(chat)) > 3500


def test_deletion_clears_everything(store: Store, chat: Conversation) -> None:
    chat.accept("Hi")
    turn = begin(store, chat)
    turn.emit("Hel")
    chat.delete()
    assert kept(store) == []
    with pytest.raises(FencedOff):
        turn.emit("lo")
    with pytest.raises(ConversationGone):
        chat.snapshot()


def test_an_accounts_conversation_stays_and_is_its_owners_alone(store: Store) -> None:
    mine = Conversation.create(store, owner="ada")
    mine.accept("Hi", "m1")
    begin(store, mine).finish("completed", "Hello")
    assert store.client.ttl(_base(mine)) == -1
    for viewer in ("", "eve"):
        with pytest.raises(ConversationGone):
            Conversation(store, mine.id, viewer).snapshot()
        with pytest.raises(ConversationGone):
            Conversation(store, mine.id, viewer).accept("Hi", "m1")


def test_pages_of_history_go_by_index(store: Store, chat: Conversation) -> None:
    for n in range(5):
        answer(store, chat, f"q{n}", f"a{n}")
    page = chat.page(None, 3)
    assert ([m["text"] for m in page.messages], page.first, page.total) == (["a3", "q4", "a4"], 7, 10)
    assert [m["text"] for m in chat.page(2, 5).messages] == ["q0", "a0"]
    assert chat.page(0, 5).messages == []
    assert [m["text"] for m in chat.history()] == [f"{role}{n}" for n in range(5) for role in "qa"]


def test_titles_and_names_survive_quotes_and_nul(store: Store) -> None:
    odd = 'a "quoted" \\ \x00 😀 name'
    chat = Conversation.create(store, odd)
    assert chat.rename(odd)["title"] == odd
    chat.accept(odd, "m1")
    turn = begin(store, chat)
    assert turn.window[-1]["text"] == odd
    turn.emit(odd)
    turn.finish("completed")
    snapshot = chat.snapshot()
    assert snapshot["name"] == odd and [m["text"] for m in snapshot["messages"]] == [odd, odd]


def _base(chat: Conversation) -> str:
    from chat.keys import conversation

    return conversation(chat.id)[0]


def _living(store: Store, chat: Conversation) -> bool:
    now = float(store.client.time()[0] * 1000) + store.client.time()[1] / 1000
    return any(score > now for key in store.client.keys("*:leased") for _, score in store.client.zrange(
        key, 0, -1, withscores=True))  # fmt: skip


def _indexes(store: Store) -> list[str]:
    return store.client.keys("*:ready") + store.client.keys("*:leased")
