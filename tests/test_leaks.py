"""What nobody may find elsewhere than where it belongs, and what the queue may not bring: a real web process, worker,
broker and monitor, every error that can be provoked, and then a look at all that was written down."""

import json
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from celery import Celery
from celery.worker.control import Panel
from conftest import WEB, WORKER, answers, broker
from conftest import worker as worker_process
from kombu import Connection
from model_stub import ModelStub
from services import Process, free_port, wait_for
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from chat import keys
from chat.conversation import Conversation
from chat.events import ENDS
from chat.store import Store

pytestmark = pytest.mark.slow
BRIEF = {"LEASE_S": "1", "RENEW_S": "0.1", "SWEEP_S": "0.2"}
# It stands in every text, name, password and token of these tests.
CANARY = "tweety"
Start = Callable[..., Process]


@pytest.fixture
def web(redis_url: str, tmp_path: Path) -> Iterator[Process]:
    """A web process that logs all it can, and may log tracebacks."""
    settings = {
        "REDIS_URL": redis_url, "BROKER_URL": broker(redis_url), "SECRET_KEY": f"{CANARY} key", "LOG_LEVEL": "debug",
        "PORT": str(free_port()),
    }  # fmt: skip
    process = Process(WEB, tmp_path / "web.log", **settings)
    process.address = f"http://127.0.0.1:{settings['PORT']}"
    wait_for(lambda: answers(process.address))
    yield process
    process.end()


@pytest.fixture
def worker(redis_url: str, model_stub: ModelStub, tmp_path: Path) -> Iterator[Process]:
    """A worker that logs all it can, may log tracebacks, and tells monitors of its tasks (`-E`)."""
    settings = {
        "REDIS_URL": redis_url, "BROKER_URL": broker(redis_url), "MODEL_URL": model_stub.url,
        "MODEL_TOKEN": f"{CANARY}-token", "LOG_LEVEL": "debug",
    }  # fmt: skip
    process = Process([*WORKER, "-E", "-l", "debug"], tmp_path / "worker.log", **settings, **BRIEF)
    yield process
    process.end(signal.SIGKILL)


@contextmanager
def monitored(redis_url: str) -> Iterator[tuple[Celery, list[Any]]]:
    """Celery as those who watch the workers see it, with the events that come while they do."""
    celery, seen, over = Celery(broker=broker(redis_url)), [], threading.Event()

    def watch() -> None:
        with celery.connection_for_read() as connection:
            receiver = celery.events.Receiver(connection, handlers={"*": seen.append})
            while not over.is_set():
                with suppress(TimeoutError):
                    receiver.capture(timeout=0.5, wakeup=False)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield celery, seen
    finally:
        over.set()
        thread.join()


def ended(chat: Conversation) -> Any:
    """The reply, once there is one."""
    return wait_for(lambda: [m for m in chat.snapshot()["messages"] if m.get("status") in ENDS])[-1]


def corrupt(chat: Conversation) -> None:
    """Make the conversation one with which nobody can do anything."""
    chat.store.execute("JSON.SET", keys.conversation(chat.id)[0], "$.messages", json.dumps(f"{CANARY} in a broken one"))


def mistakes(session: requests.Session, server: str, chat: str, broken: str) -> Iterator[requests.Response]:
    """Requests with secrets in them, none of which can be fulfilled."""
    there, other = f"{server}/api/conversations/{chat}", f"{server}/api/conversations/{broken}"
    text, timed = f"{CANARY} in a text", {"timeout": 10}
    yield session.post(f"{there}/messages", json={"text": [text]}, **timed)  # type: ignore[arg-type]
    yield session.post(f"{there}/messages", json={"text": text, "role": text}, **timed)  # type: ignore[arg-type]
    yield session.post(f"{there}/messages", json={"text": text * 1000}, **timed)  # type: ignore[arg-type]
    yield session.post(f"{there}/messages", json={"text": text, "id": f"{CANARY} id"}, **timed)  # type: ignore[arg-type]
    yield session.post(f"{there}/messages", data=f'{{"text": "{text}', headers={"Content-Type": "application/json"})
    yield session.post(f"{there}/messages", data=f"text={text}", **timed)  # type: ignore[arg-type]
    yield session.post(f"{there}/messages", json={"text": text * 10_000}, **timed)  # type: ignore[arg-type]
    yield session.post(f"{there}/messages/{CANARY}-m9/stop", **timed)  # type: ignore[arg-type]
    yield session.patch(there, json={"title": f"{CANARY}\x00"}, **timed)  # type: ignore[arg-type]
    yield session.get(f"{there}/messages?before={CANARY}", **timed)  # type: ignore[arg-type]
    yield session.get(f"{server}/api/conversations/{CANARY}", **timed)  # type: ignore[arg-type]
    yield session.get(f"{server}/{CANARY}/{chat}?q={CANARY}", **timed)  # type: ignore[arg-type]
    yield session.put(there, json={"text": text}, **timed)  # type: ignore[arg-type]
    yield session.post(f"{server}/api/login", json={"name": CANARY, "password": f"{CANARY} wrong"})
    yield session.post(f"{server}/api/accounts", json={"name": f"{CANARY} !", "password": f"{CANARY} password"})
    yield session.post(f"{server}/api/me/password", json={"password": f"{CANARY} wrong", "new_password": CANARY * 2})
    yield session.get(f"{server}/refresh_token?token={CANARY}", **timed)  # type: ignore[arg-type]
    yield session.post(f"{server}/token", json={"name": [CANARY]}, **timed)  # type: ignore[arg-type]
    yield session.get(f"{server}/api/me", headers={"Cookie": f"parley_session={CANARY}"}, **timed)  # type: ignore[arg-type]
    yield session.get(other, **timed)  # type: ignore[arg-type]
    yield session.get(f"{other}/messages", **timed)  # type: ignore[arg-type]


def socket_mistakes(server: str, chat: str) -> Iterator[str]:
    """The answers to frames with secrets in them that cannot be obeyed, and the reason of the closing."""
    with connect(f"{server.replace('http', 'ws', 1)}/api/conversations/{chat}/socket") as ws:
        ws.recv(timeout=10)
        for frame in (f"{CANARY} in a frame", {"type": CANARY}, {"type": "send", "id": "m9", "text": [CANARY]}):
            ws.send(frame if isinstance(frame, str) else json.dumps(frame))
            yield str(ws.recv(timeout=10))
    with connect(f"{server.replace('http', 'ws', 1)}/chat?token={CANARY}") as ws:
        try:
            ws.recv(timeout=10)
        except ConnectionClosed as closed:
            yield str(closed)


def test_nothing_secret_is_written_down_or_told(
    redis_url: str, store: Store, web: Process, worker: Process, model_stub: ModelStub
) -> None:
    ada = requests.Session()
    name = {"name": f"{CANARY}.name", "password": f"{CANARY} password"}
    assert ada.post(f"{web.address}/api/accounts", json=name, timeout=10).status_code == 201
    cookie = ada.cookies["parley_session"]
    chats = [Conversation.create(store, CANARY), Conversation(store, _made(ada, web.address), f"{CANARY}.name")]
    broken = Conversation.create(store, CANARY)
    with monitored(redis_url) as (celery, events):
        model_stub.say(f"{CANARY} replies at some length")
        model_stub.hold_after(2)
        for chat, session in zip(chats, (requests, ada), strict=True):
            address = f"{web.address}/api/conversations/{chat.id}/messages"
            body = {"text": f"{CANARY} asks", "id": f"{CANARY}-m1"}
            assert session.post(address, json=body, timeout=10).status_code == 202  # type: ignore[attr-defined]
        model_stub.wait_held(2)
        [running] = celery.control.inspect(timeout=10, limit=1).active().values()
        assert {task["name"] for task in running} == {"tasks.answer"}
        looking = celery.control.inspect(timeout=10, limit=1)
        looks = [look() for look in (looking.conf, looking.stats, looking.report)]
        # The worker's own errors: a reply that breaks off three times, and a conversation that cannot be read.
        model_stub.behave("error_in_stream")
        model_stub.release()
        chats[0].accept(f"{CANARY} asks again", f"{CANARY}-m2")
        broken.accept(f"{CANARY} asks in vain", f"{CANARY}-m3")
        corrupt(broken)
        wait_for(lambda: len(chats[0].snapshot()["messages"]) == 4)
        wait_for(lambda: any(event["type"] == "task-received" for event in events))
    model_stub.behave("quote", times=1)
    chats[0].accept(f"What would you say that the bird named {CANARY} asks", f"{CANARY}-m4")
    wait_for(lambda: len(chats[0].snapshot()["messages"]) == 6)
    assert ended(chats[1])["text"]
    wait_for(lambda: broken.id[:8] in worker.log.read_text())
    told = [answer.text for session in (requests.Session(), ada) for answer in _refused(session, web, chats, broken)]
    told += socket_mistakes(web.address, chats[0].id)
    sources = {"an answer": told, "monitoring": list(map(repr, [*events, *running, *looks]))}
    for process in (web, worker):
        process.end()
        sources[process.log.name] = process.log.read_text().splitlines()
    assert "Traceback" in web.log.read_text() and "model" in worker.log.read_text()
    for secret in (CANARY, cookie, *(chat.id for chat in (*chats, broken))):
        for source, lines in sources.items():
            assert not [line for line in lines if secret in line], f"{secret} in {source}"
    assert not [answer for answer in told if "Traceback" in answer or ".py" in answer]


def _made(session: requests.Session, server: str) -> str:
    made = session.post(f"{server}/api/conversations", json={"name": CANARY}, timeout=10)
    return str(made.json()["id"])


def _refused(
    session: requests.Session, web: Process, chats: list[Conversation], broken: Conversation
) -> Iterator[requests.Response]:
    # The guest asks for a conversation of its own; the account, for its own too.
    chat = chats[1 if session.cookies else 0]
    for answer in mistakes(session, web.address, chat.id, broken.id):
        assert answer.status_code >= 400, (answer.request.url, answer.text)
        yield answer


class Touch:
    """What a pickle can do to whoever opens it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.fixture(scope="class")
def rung(redis_url: str, shared_stub: ModelStub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A worker that hears of messages by rings alone, and whose log may hold tracebacks."""
    log = tmp_path_factory.mktemp("worker") / "worker.log"
    process = worker_process(redis_url, log, MODEL_URL=shared_stub.url, SWEEP_S="60")
    yield process
    process.end(signal.SIGKILL)


class TestWhoCanWriteToTheBroker:
    def test_a_pickle_on_the_queue_is_refused_and_not_run(
        self, redis_url: str, store: Store, rung: Process, tmp_path: Path
    ) -> None:
        run = tmp_path / "it-ran"
        headers = {"lang": "py", "task": "tasks.answer", "id": "1", "root_id": "1", "argsrepr": "", "kwargsrepr": ""}
        with Connection(broker(redis_url)) as connection:
            connection.Producer().publish(
                pickle.dumps(((Touch(run),), {}, {})), routing_key="parley", headers=headers,
                content_type="application/x-python-serialize", content_encoding="binary",
            )  # fmt: skip
        wait_for(lambda: "ContentDisallowed" in rung.log.read_text())
        assert self._answers(redis_url, store) and not run.exists()
        # It would have run.
        pickle.loads(pickle.dumps(Touch(run)))
        assert run.exists()

    def test_a_worker_can_be_looked_at_and_not_commanded(self, redis_url: str, store: Store, rung: Process) -> None:
        control = Celery(broker=broker(redis_url)).control
        looking = control.inspect(timeout=5, limit=1)
        wait_for(looking.ping)
        for look in (looking.stats, looking.conf, looking.active_queues, looking.registered, looking.reserved):
            [found] = look().values()
            assert "error" not in found, look
        commands = {name for name, of in Panel.meta.items() if of.type == "control"}
        assert {"shutdown", "pool_shrink", "cancel_consumer", "revoke", "time_limit"} <= commands
        for command in {*commands, "hello", "objgraph"} - {"enable_events", "disable_events"}:
            [answer] = control.broadcast(command, reply=True, timeout=5, limit=1)
            assert "KeyError" in str(answer), (command, answer)
        assert self._answers(redis_url, store) and rung.popen.poll() is None

    def _answers(self, redis_url: str, store: Store) -> bool:
        chat = Conversation.create(store)
        chat.accept("Hi")
        Celery(broker=broker(redis_url)).send_task("tasks.answer", (chat.id,), queue="parley")
        return bool(ended(chat)["status"] == "completed")
