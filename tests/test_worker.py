"""The worker's own life: how it starts and ends, and what becomes of turns when it dies or is cut off."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from conftest import worker
from model_stub import ModelStub
from replies import BRIEF, ended, events, kinds, partial
from services import ROOT, Process, free_port, python, valkey, wait_for

from chat import keys
from chat.config import Config
from chat.conversation import Conversation
from chat.store import Store
from tasks.keeper import Keeper

Start = Callable[..., Process]


@pytest.fixture
def chat(store: Store) -> Conversation:
    return Conversation.create(store)


@pytest.fixture(scope="module", autouse=True)
def end_without_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[float]]:
    """How many seconds a worker takes to end while its Redis hangs: so many that the other tests run meanwhile."""
    folder = tmp_path_factory.mktemp("hanging")
    with valkey(folder) as url, ModelStub() as stub, ThreadPoolExecutor(1) as waiting:
        stub.hold_after(1)
        store = Store(Config(redis_url=url))
        Conversation.create(store).accept("Hi")
        leaving = worker(url, folder / "worker.log", MODEL_URL=stub.url, BROKER_URL="")
        stub.wait_held()
        pid = store.client.info("server")["process_id"]
        os.kill(pid, signal.SIGSTOP)
        try:
            leaving.send(signal.SIGTERM)
            yield waiting.submit(seconds_until_end, leaving)
        finally:
            os.kill(pid, signal.SIGCONT)
            leaving.end(signal.SIGKILL)
            store.close()


def seconds_until_end(process: Process) -> float:
    begun = time.monotonic()
    process.popen.wait()
    return time.monotonic() - begun


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
    wait_for(lambda: len(model_stub.prompts) >= 2)
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
    broker = Store(Config(redis_url=f"{redis_url}?db=1"))
    broker.client.delete("parley")  # the rings of tests in which no worker ran
    for n in range(3):
        assert requests.post(messages, json={"text": f"m{n}"}, timeout=20).status_code == 202
    wait_for(lambda: broker.client.llen("parley") >= 3)
    broker.client.delete("parley")
    broker.close()
    start_worker(MODEL_URL=model_stub.url)
    assert [reply["text"] for reply in ended(chat, 3)] == ["You said: m0", "You said: m1", "You said: m2"]


@pytest.mark.slow
def test_clean_shutdowns_do_not_fail_a_long_reply(
    chat: Conversation, model_stub: ModelStub, start_worker: Start
) -> None:
    model_stub.say("Patience is rewarded")
    model_stub.hold_after(2)
    chat.accept("Hi")
    leaving = []
    for attempts in (1, 2, 3):
        leaving.append(start_worker(MODEL_URL=model_stub.url))
        wait_for(lambda: len(model_stub.prompts) == attempts)  # noqa: B023 -- called before the loop goes on
        leaving[-1].send(signal.SIGTERM)
    start_worker(MODEL_URL=model_stub.url)
    wait_for(lambda: len(model_stub.prompts) == 4)
    model_stub.release()
    (reply,) = ended(chat)
    assert (reply["text"], reply["status"]) == ("Patience is rewarded", "completed")
    assert [worker.popen.wait(50) for worker in leaving] == [0, 0, 0]


def test_a_broker_that_is_away_does_not_keep_a_message_waiting(
    chat: Conversation, model_stub: ModelStub, start_worker: Start
) -> None:
    """And the worker, which then answers what it finds, takes up no more at once than it may."""
    at_once, most = 0, 0

    def answer(_: str) -> Iterator[str]:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        yield " Hello"
        time.sleep(0.5)
        at_once -= 1

    model_stub.answer = answer
    chats = [chat, *(Conversation.create(chat.store) for _ in range(3))]
    for waiting in chats:
        waiting.accept("Hi")
    nowhere = f"redis://127.0.0.1:{free_port()}"
    start_worker(MODEL_URL=model_stub.url, BROKER_URL=nowhere, WORKER_CONCURRENCY="2", **BRIEF)
    assert [ended(waiting)[0]["text"] for waiting in chats] == ["Hello"] * 4
    assert most == 2


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
def test_a_worker_ends_in_time_also_when_redis_hangs(end_without_redis: Future[float]) -> None:
    """The promise is 25 seconds."""
    assert end_without_redis.result() < 50


def test_what_one_worker_has_rung_for_in_vain_another_answers(chat: Conversation, config: Config) -> None:
    """Else each of them would ring once, three seconds after the other."""
    chat.accept("Hi")
    rung, answered = list[str](), list[str]()
    for _ in range(2):
        chat.store.client.zadd(keys.conversation(chat.id)[6], {chat.id: 0})
        Keeper(config, rung.append, answered.append)._sweep()
    wait_for(lambda: answered)
    assert rung == answered == [chat.id]


def test_a_mistake_in_what_renews_and_sweeps_ends_the_worker(chat: Conversation, config: Config) -> None:
    chat.accept("Hi")
    keeper = f"Keeper(Config(redis_url={config.redis_url!r}, sweep_s=0.1), lambda _: 1 / 0, print)"
    names = "from time import sleep; from chat.config import Config; from tasks.keeper import Keeper"
    ended = subprocess.run(python("-c", f"{names}; {keeper}.start(); sleep(60)"), cwd=ROOT, capture_output=True)
    assert ended.returncode == -signal.SIGTERM


def test_a_wrong_setting_ends_the_start_with_one_line(start_worker: Start) -> None:
    worker = start_worker(LEASE_S="soon")
    assert worker.popen.wait(60) != 0
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
