"""The handbook's flow, as its own browser client does it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from model_stub import ModelStub
from services import Process, wait_for
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from chat.conversation import Conversation
from chat.keys import conversation as keys_of
from chat.store import Store
from chat.turns import Turn

Json = dict[str, Any]


@pytest.fixture
def token(server: str, store: Store) -> str:
    found: str = requests.post(f"{server}/token", {"name": "Ada"}, timeout=10).json()["token"]
    return found


def refresh(server: str, token: str) -> Any:
    return requests.get(f"{server}/refresh_token", {"token": token}, timeout=10)


def chat_socket(server: str, token: str, **options: Any) -> ClientConnection:
    return connect(f"{server.replace('http', 'ws', 1)}/chat?token={token}", **options)


def heard(ws: ClientConnection) -> Json:
    reply: Json = json.loads(ws.recv(timeout=10))
    assert set(reply) == {"id", "msg", "timestamp"}
    return reply


def begin(store: Store, token: str) -> Turn:
    return wait_for(lambda: Turn.begin(store, token))


def test_the_whole_flow(server: str, store: Store, model_stub: ModelStub, start_worker: Callable[..., Process]) -> None:
    start_worker(MODEL_URL=model_stub.url)
    assert requests.get(f"{server}/test", timeout=10).json() == {"msg": "API is Online"}
    session = requests.post(f"{server}/token?name=Ada", timeout=10).json()
    assert session | {"name": "Ada", "messages": []} == session
    with chat_socket(server, session["token"]) as ws:
        replies = []
        for text in ("Hi there", "And you?"):
            ws.send(text)
            replies.append(heard(ws))
    assert [reply["msg"] for reply in replies] == ["You said: Hi there", "You said: And you?"]

    again = refresh(server, session["token"]).json()
    assert again | {"messages": []} == session
    assert [message["msg"] for message in again["messages"]] == [
        "Human: Hi there", "Bot: You said: Hi there", "Human: And you?", "Bot: You said: And you?",
    ]  # fmt: skip
    assert [message["id"] for message in again["messages"][1::2]] == [reply["id"] for reply in replies]
    assert len({message["id"] for message in again["messages"]}) == 4
    times = [datetime.fromisoformat(message["timestamp"]) for message in again["messages"]]
    assert times == sorted(times)
    assert timedelta() < datetime.now(UTC) - times[0] < timedelta(minutes=1)


@pytest.mark.parametrize("way", [{"params": {"name": "Ada"}}, {"data": {"name": "Ada"}}, {"json": {"name": "Ada"}}])
def test_a_name_comes_in_the_address_a_form_or_json(server: str, store: Store, way: Json) -> None:
    assert requests.post(f"{server}/token", **way, timeout=10).json()["name"] == "Ada"


def test_what_waits_is_part_of_the_history(server: str, store: Store, token: str) -> None:
    with chat_socket(server, token) as ws:
        ws.send("one")
        ws.send("two")
        begin(store, token)
        messages = wait_for(lambda: len(found := refresh(server, token).json()["messages"]) == 2 and found)
    assert [message["msg"] for message in messages] == ["Human: one", "Human: two"]


def test_replies_come_in_order_whatever_became_of_them(server: str, store: Store, token: str) -> None:
    with chat_socket(server, token) as ws:
        for text in ("one", "two", "three"):
            ws.send(text)
        begin(store, token).finish("completed", "first")
        begin(store, token).finish("failed", "half a wo", code="model_broke", detail="It broke.", retryable=True)
        begin(store, token).finish("stopped", "third, in pa")
        told = [heard(ws) for _ in range(3)]
    stored = Conversation(store, token).snapshot()["messages"]
    assert [(t["id"], t["timestamp"]) for t in told] == [(m["id"], m["at"]) for m in stored if m["role"] == "bot"]
    assert told[0]["msg"] == "first"
    assert told[1]["msg"].startswith("Sorry")
    assert told[2]["msg"] == "third, in pa"


def test_a_socket_gets_only_what_is_new_also_after_a_restart_of_the_store(
    server: str, store: Store, token: str
) -> None:
    chat = Conversation(store, token)
    chat.accept("before")
    begin(store, token).finish("completed", "old")
    with chat_socket(server, token) as ws:
        ws.send("Hi")
        turn = begin(store, token)
        store.client.hset(keys_of(token)[1], "server", "0" * 40)
        turn.finish("completed", "new")
        assert heard(ws)["msg"] == "new"
        ws.send("And?")
        begin(store, token).finish("completed", "newer")
        assert heard(ws)["msg"] == "newer"


def test_a_bad_token_closes_with_a_reason(server: str, store: Store) -> None:
    for token in ("", "nonsense", "00000000-0000-4000-8000-000000000000", "../../etc", "%00"):
        with chat_socket(server, token) as ws, pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=10)
        assert closed.value.rcvd and closed.value.rcvd.code == 1008
        assert closed.value.rcvd.reason == "This conversation does not exist, or it has expired."
        assert refresh(server, token).status_code == 400


def test_an_expired_session_is_told(server: str, store: Store, token: str) -> None:
    with chat_socket(server, token) as ws:
        Conversation(store, token).delete()
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=10)
    assert closed.value.rcvd and closed.value.rcvd.code == 1008
    expired = refresh(server, token)
    assert (expired.status_code, expired.json()) == (400, {"detail": "Session expired or does not exist"})


def test_the_pages_of_configured_origins_may_use_it(befriended: str, store: Store) -> None:
    site = "http://localhost:3000"
    made = requests.post(f"{befriended}/token?name=Ada", headers={"Origin": site}, timeout=10)
    assert made.headers["Access-Control-Allow-Origin"] == site
    with chat_socket(befriended, made.json()["token"], additional_headers={"Origin": site}) as ws:
        ws.send("Hi")
        begin(store, made.json()["token"]).finish("completed", "Hello")
        assert heard(ws)["msg"] == "Hello"
    stranger = {"Origin": "http://evil.example"}
    with chat_socket(befriended, made.json()["token"], additional_headers=stranger) as ws:
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=10)
        assert closed.value.rcvd and closed.value.rcvd.code == 1008
