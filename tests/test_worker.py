"""The worker: a real Celery process between a real store and a model that does as it is told."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from model_stub import ModelStub
from services import Process, free_port, valkey, wait_for

from chat import keys
from chat.config import Config
from chat.conversation import Conversation
from chat.events import ENDS, Event, Position
from chat.store import Store

Start = Callable[..., Process]
# One lease is over soon, so that a test need not wait for long until another worker takes over.
BRIEF = {"LEASE_S": "1", "RENEW_S": "0.1", "SWEEP_S": "0.2"}


@pytest.fixture
def chat(store: Store) -> Conversation:
    return Conversation.create(store)


def events(chat: Conversation) -> list[Event]:
    return chat.read(Position(chat.snapshot()["position"].split("-")[0], 0), limit=5000).events


def kinds(chat: Conversation) -> list[str]:
    return [event.type for event in events(chat)]


def ended(chat: Conversation, turns: int = 1) -> list[Any]:
    """Wait for so many ends and return the bot's messages."""
    wait_for(lambda: sum(kind in ENDS for kind in kinds(chat)) == turns, within_s=30)
    return [message for message in chat.snapshot()["messages"] if message["role"] == "bot"]


def partial(chat: Conversation) -> str:
    turn = chat.snapshot()["turn"]
    return turn["text"] if turn else ""


def test_a_message_is_answered_though_nobody_rang(
    chat: Conversation, model_stub: ModelStub, start_worker: Start
) -> None:
    start_worker(MODEL_URL=model_stub.url)
    chat.accept("Hi there")
    (reply,) = ended(chat)
    assert (reply["text"], reply["status"]) == ("You said: Hi there", "completed")
    assert model_stub.prompts == ["Human: Hi there\nBot:"]


def test_five_at_once_are_answered_in_order_beside_fifty_others(
    store: Store, chat: Conversation, model_stub: ModelStub, start_worker: Start
) -> None:
    others = [Conversation.create(store) for _ in range(50)]
    for n in range(5):
        chat.accept(f"q{n}")
    for other in others:
        other.accept("Hi")
    start_worker(MODEL_URL=model_stub.url)
    replies = ended(chat, 5)
    assert [reply["text"] for reply in replies] == [f"You said: q{n}" for n in range(5)]
    mine = [prompt for prompt in model_stub.prompts if "q" in prompt]
    assert mine[3] == "Bot: You said: q1\nHuman: q2\nBot: You said: q2\nHuman: q3\nBot:"
    assert mine[4] == "Bot: You said: q2\nHuman: q3\nBot: You said: q3\nHuman: q4\nBot:"
    assert len(mine) == 5
    for other in others:
        assert [reply["text"] for reply in ended(other)] == ["You said: Hi"]


@pytest.mark.slow
def test_a_killed_worker_is_followed_by_another_and_the_reply_is_whole(
    chat: Conversation, model_stub: ModelStub, start_worker: Start
) -> None:
    """With the leases of the product: the promise is 7 seconds."""
    model_stub.say("A long and winding reply.")
    model_stub.hold_after(3)
    first = start_worker(MODEL_URL=model_stub.url)
    chat.accept("Hi")
    wait_for(lambda: partial(chat) == "A long and w")
    start_worker(MODEL_URL=model_stub.url)
    first.send(signal.SIGKILL)
    wait_for(lambda: len(model_stub.prompts) == 2, within_s=14)
    model_stub.release()
    (reply,) = ended(chat)
    assert reply["text"] == "A long and winding reply."
    assert [e.content["attempt"] for e in events(chat) if e.type == "started"] == [1, 2]


@pytest.mark.slow
def test_a_frozen_worker_that_wakes_up_changes_nothing(
    chat: Conversation, model_stub: ModelStub, start_worker: Start
) -> None:
    model_stub.say("The one and only reply")
    model_stub.hold_after(2)
    zombie = start_worker(MODEL_URL=model_stub.url, **BRIEF)
    chat.accept("Hi")
    wait_for(lambda: partial(chat) == "The one")
    zombie.send(signal.SIGSTOP)
    start_worker(MODEL_URL=model_stub.url, **BRIEF)
    wait_for(lambda: len(model_stub.prompts) == 2)
    model_stub.release()
    (reply,) = ended(chat)
    zombie.send(signal.SIGCONT)
    wait_for(lambda: "fenced off" in zombie.log.read_text())
    assert ended(chat) == [reply] and reply["text"] == "The one and only reply"
    assert kinds(chat).count("completed") == 1


@pytest.mark.slow
def test_rings_that_are_lost_do_not_matter(
    server: str, chat: Conversation, model_stub: ModelStub, start_worker: Start, redis_url: str
) -> None:
    messages = f"{server}/api/conversations/{chat.id}/messages"
    for n in range(3):
        assert requests.post(messages, json={"text": f"m{n}"}, timeout=5).status_code == 202
    broker = Store(Config(redis_url=f"{redis_url}?db=1"))
    wait_for(lambda: broker.client.llen("parley") == 3)
    broker.client.delete("parley")
    broker.close()
    start_worker(MODEL_URL=model_stub.url)
    assert [reply["text"] for reply in ended(chat, 3)] == ["You said: m0", "You said: m1", "You said: m2"]


def test_a_stop_in_mid_reply_keeps_the_partial_text_and_hangs_up(
    chat: Conversation, model_stub: ModelStub, start_worker: Start
) -> None:
    model_stub.say("Never to be finished")
    model_stub.hold_after(3)
    start_worker(MODEL_URL=model_stub.url)
    chat.accept("Hi", "m1")
    chat.accept("Next", "m2")
    wait_for(lambda: partial(chat) == "Never to be")
    assert chat.stop("m1") == "stopping"
    model_stub.wait_for(lambda: model_stub.hangups == 1, limit_s=2)
    model_stub.release()
    stopped, following = ended(chat, 2)
    assert (stopped["text"], stopped["status"]) == ("Never to be", "stopped")
    assert following["status"] == "completed"


def test_a_stop_reaches_a_model_that_says_nothing(
    chat: Conversation, model_stub: ModelStub, start_worker: Start
) -> None:
    model_stub.behave("silent", times=1)
    start_worker(MODEL_URL=model_stub.url)
    chat.accept("Hi", "m1")
    wait_for(lambda: model_stub.prompts)
    chat.stop("m1")
    model_stub.wait_for(lambda: model_stub.hangups == 1, limit_s=1)
    (reply,) = ended(chat)
    assert (reply["text"], reply["status"]) == ("", "stopped")


@pytest.mark.slow
def test_clean_shutdowns_do_not_fail_a_long_reply(
    chat: Conversation, model_stub: ModelStub, start_worker: Start
) -> None:
    model_stub.say("Patience is rewarded")
    model_stub.hold_after(2)
    chat.accept("Hi")
    for shutdowns in (1, 2, 3):
        worker = start_worker(MODEL_URL=model_stub.url)
        wait_for(lambda: len(model_stub.prompts) == shutdowns)  # noqa: B023 -- called before the loop goes on
        assert worker.end(signal.SIGTERM, within_s=25) == 0
    model_stub.release()
    start_worker(MODEL_URL=model_stub.url)
    (reply,) = ended(chat)
    assert (reply["text"], reply["status"]) == ("Patience is rewarded", "completed")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        ("down", "model_unavailable"),
        ("loading", "model_unavailable"),
        ("too_many", "model_unavailable"),
        ("error_500", "attempts_exhausted"),
        ("silent", "model_timeout"),
        ("garbage", "model_garbage"),
        ("refuse", "model_refused"),
        ("unauthorized", "model_refused"),
        ("break_off", "attempts_exhausted"),
        ("reset", "attempts_exhausted"),
    ],
)
def test_a_failing_model_ends_the_turn_with_a_code_and_the_next_one_works(
    chat: Conversation, model_stub: ModelStub, start_worker: Start, behaviour: str, code: str
) -> None:
    model_stub.behave(behaviour)
    start_worker(MODEL_URL=model_stub.url, TURN_LIMIT_S="2", MODEL_READ_S="1", **BRIEF)
    chat.accept("Hi")
    (reply,) = ended(chat)
    (failed,) = [event.content for event in events(chat) if event.type == "failed"]
    assert failed["code"] == code and failed["message"] == reply
    assert "http" not in failed["detail"]
    model_stub.behave("answer")
    chat.accept("Again")
    assert ended(chat, 2)[1]["text"] == "You said: Again"


def test_an_endless_reply_ends(chat: Conversation, model_stub: ModelStub, start_worker: Start) -> None:
    model_stub.behave("endless")
    start_worker(MODEL_URL=model_stub.url, TURN_LIMIT_S="1.5")
    chat.accept("Hi")
    (reply,) = ended(chat)
    assert reply["text"] and reply["status"] == "completed"
    assert kinds(chat).count("completed") == 1
    assert reply["timing"]["total_ms"] < 3000 + reply["timing"]["waited_ms"]
    model_stub.behave("answer")
    chat.accept("Again")
    assert ended(chat, 2)[1]["text"] == "You said: Again"


@pytest.mark.slow
def test_a_broken_off_reply_is_written_again_from_its_beginning(
    chat: Conversation, model_stub: ModelStub, start_worker: Start
) -> None:
    model_stub.behave("break_off", times=2)
    start_worker(MODEL_URL=model_stub.url, **BRIEF)
    chat.accept("one two three four")
    (reply,) = ended(chat)
    assert reply["text"] == "You said: one two three four"
    assert kinds(chat).count("started") == 3


def test_a_deleted_conversation_ends_the_writing(
    chat: Conversation, model_stub: ModelStub, start_worker: Start
) -> None:
    model_stub.hold_after(1)
    worker = start_worker(MODEL_URL=model_stub.url)
    chat.accept("Hi")
    model_stub.wait_held()
    chat.delete()
    model_stub.wait_for(lambda: model_stub.hangups == 1, limit_s=2)
    wait_for(lambda: "fenced off" in worker.log.read_text())


@pytest.mark.slow
def test_no_text_and_no_whole_id_is_logged(chat: Conversation, model_stub: ModelStub, start_worker: Start) -> None:
    model_stub.behave("break_off")
    worker = start_worker(MODEL_URL=model_stub.url, LOG_LEVEL="debug", MODEL_TOKEN="very-secret", **BRIEF)
    chat.accept("canary in a coal mine")
    ended(chat)
    log = worker.log.read_text()
    assert "the model failed" in log
    for secret in ("canary", chat.id, "very-secret"):
        assert secret not in log


def test_a_broker_that_is_away_does_not_keep_a_message_waiting(
    chat: Conversation, model_stub: ModelStub, start_worker: Start
) -> None:
    start_worker(MODEL_URL=model_stub.url, BROKER_URL=f"redis://127.0.0.1:{free_port()}", **BRIEF)
    chat.accept("Hi")
    assert ended(chat)[0]["text"] == "You said: Hi"


@pytest.mark.slow
def test_a_store_that_takes_no_writes_for_a_while_costs_no_turn(
    tmp_path: Path, model_stub: ModelStub, start_worker: Start
) -> None:
    """Such as a primary without its replicas: every script is refused, then all is well again."""
    with valkey(tmp_path) as url:
        store = Store(Config(redis_url=url))
        chat = Conversation.create(store)
        model_stub.say("Patience is rewarded")
        model_stub.hold_after(2)
        worker = start_worker(MODEL_URL=model_stub.url, REDIS_URL=url)
        chat.accept("Hi", "m1")
        wait_for(lambda: partial(chat) == "Patience")
        store.client.config_set("min-replicas-to-write", 1)
        wait_for(lambda: worker.log.read_text().count("Redis cannot be reached") >= 3)
        model_stub.release()
        wait_for(lambda: worker.log.read_text().count("Redis cannot be reached") >= 6)
        store.client.config_set("min-replicas-to-write", 0)
        (reply,) = ended(chat)
        assert reply["text"] == "Patience is rewarded"
        assert kinds(chat).count("started") == 1
        chat.accept("Again")
        ended(chat, 2)
        store.close()


@pytest.mark.slow
def test_a_conversation_that_cannot_be_answered_stands_in_nobodys_way(
    store: Store, chat: Conversation, model_stub: ModelStub, start_worker: Start
) -> None:
    newer, broken = Conversation.create(store), Conversation.create(store)
    for poisoned in (newer, broken):
        poisoned.accept("Hi")
    store.client.hset(f"{keys.conversation(newer.id)[0]}:run", "schema", 99)
    store.client.hdel(f"{keys.conversation(broken.id)[0]}:run", "schema")
    worker = start_worker(may_fail=True, MODEL_URL=model_stub.url, **BRIEF)
    wait_for(lambda: "newer version" in worker.log.read_text())
    chat.accept("Hi")
    assert ended(chat)[0]["text"] == "You said: Hi"
    assert worker.log.read_text().count("newer version") == 1


@pytest.mark.slow
def test_a_worker_ends_in_time_also_when_redis_hangs(
    tmp_path: Path, model_stub: ModelStub, start_worker: Start
) -> None:
    model_stub.hold_after(1)
    with valkey(tmp_path) as url:
        store = Store(Config(redis_url=url))
        chat = Conversation.create(store)
        worker = start_worker(may_fail=True, MODEL_URL=model_stub.url, REDIS_URL=url, BROKER_URL="")
        chat.accept("Hi")
        model_stub.wait_held()
        pid = store.client.info("server")["process_id"]
        os.kill(pid, signal.SIGSTOP)
        try:
            worker.end(signal.SIGTERM, within_s=25)
        finally:
            os.kill(pid, signal.SIGCONT)
            store.close()


def test_a_wrong_setting_ends_the_start_with_one_line(start_worker: Start) -> None:
    worker = start_worker(LEASE_S="soon")
    assert worker.popen.wait(20) != 0
    assert worker.log.read_text().strip() == "parley: LEASE_S takes a number, not 'soon'."


@pytest.mark.slow
def test_the_tiny_model_starts_beside_a_worker_without_model_url(chat: Conversation, start_worker: Start) -> None:
    worker = start_worker(MODEL_URL="")
    chat.accept("Hello!")
    (reply,) = ended(chat)
    assert reply["text"] and reply["status"] == "completed"
    assert "tiny" in worker.log.read_text()
    worker.popen.kill()  # the worker alone, not its group
    worker.popen.wait()
    wait_for(lambda: not _alive_in_group(worker.pid))


def _alive_in_group(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
