"""How much one address, account or conversation may ask for: each limit, over each way in, and who is never limited."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from services import Process, wait_for
from transports import lines_to_events
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from app import create_app, leave, rates
from chat.config import Config
from chat.conversation import Conversation
from chat.store import Store
from chat.turns import Turn

STREAM, POLL = {"Accept": "text/event-stream"}, {"Accept": "application/json"}
Make = Callable[..., FlaskClient]


@pytest.fixture
def make(config: Config, store: Store) -> Iterator[Make]:
    """A client at an address of an application with these settings."""
    made: list[Flask] = []

    def client(address: str = "192.0.2.1", **settings: Any) -> FlaskClient:
        made.append(create_app(replace(config, secret_key="for tests", proxies=1, **settings), store))
        found = made[-1].test_client()
        found.environ_base["HTTP_X_FORWARDED_FOR"] = address
        return found

    yield client
    for app in made:
        leave(app)
        app.extensions["parley"].hub.join()


def send(client: FlaskClient, chat: str, message_id: str, text: str = "Hi", **headers: str) -> Any:
    """The status of a message that is sent."""
    body = {"text": text, "id": message_id}
    with client.post(f"/api/conversations/{chat}/messages", json=body, headers=headers) as answer:
        return answer.status_code


def limited(answer: Any) -> bool:
    """Whether it is refused, and told when to come back: within the minute."""
    if answer.status_code != 429:
        return False
    assert answer.json["code"] == "rate_limited" and 1 <= int(answer.headers["Retry-After"]) <= 60
    return True


def test_messages_are_limited_by_conversation_and_a_repeat_never_is(make: Make, store: Store) -> None:
    client, chat, other = make(rate_messages=2), Conversation.create(store).id, Conversation.create(store).id
    assert [send(client, chat, name) for name in ("m1", "m2", "m3")] == [202, 202, 429]
    refused = client.post(f"/api/conversations/{chat}/messages", json={"text": "Hi"})
    assert limited(refused)
    assert [send(client, chat, name) for name in ("m1", "m2")] == [202, 202]
    assert send(client, chat, "m1", "something else") == 409
    assert send(client, other, "m1") == 202
    pending = client.get(f"/api/conversations/{chat}").json["pending"]  # type: ignore[index]
    assert [message["id"] for message in pending] == ["m1", "m2"]


def test_a_stranger_uses_up_nothing_of_the_owners(make: Make) -> None:
    ada, stranger = make(rate_messages=2), make("192.0.2.2", rate_messages=2)
    ada.post("/api/accounts", json={"name": "ada", "password": "correct horse"})
    chat = ada.post("/api/conversations").json["id"]  # type: ignore[index]
    assert [send(stranger, chat, f"s{n}") for n in range(3)] == [404] * 3
    assert [send(ada, chat, name) for name in ("m1", "m2", "m3")] == [202, 202, 429]


def test_repeats_use_nothing_up(make: Make, store: Store) -> None:
    client, chat = make(rate_messages=2), Conversation.create(store).id
    assert [send(client, chat, "m1") for _ in range(6)] == [202] * 6
    assert [send(client, chat, name) for name in ("m2", "m3")] == [202, 429]


def test_a_retry_counts_as_a_message(make: Make, store: Store) -> None:
    client, chat = make(rate_messages=1), Conversation.create(store).id
    assert send(client, chat, "m1") == 202
    assert limited(client.post(f"/api/conversations/{chat}/messages/m1/retry", json={"reply_id": "r1"}))


def test_messages_are_limited_by_address_over_all_conversations(make: Make, store: Store) -> None:
    client = make(rate_messages=1)
    sent = [send(client, Conversation.create(store).id, "m1") for _ in range(rates.WIDER + 1)]
    assert sent == [202] * rates.WIDER + [429]
    assert send(make("192.0.2.2", rate_messages=1), Conversation.create(store).id, "m1") == 202


def test_messages_are_limited_by_account_over_all_addresses(make: Make, store: Store) -> None:
    client = make(rate_messages=1)
    client.post("/api/accounts", json={"name": "ada", "password": "correct horse"})
    chats = [client.post("/api/conversations").json["id"] for _ in range(rates.WIDER + 1)]  # type: ignore[index]
    sent = []
    for n, chat in enumerate(chats):
        client.environ_base["HTTP_X_FORWARDED_FOR"] = f"192.0.2.{n}"
        sent.append(send(client, chat, "m1"))
    assert sent == [202] * rates.WIDER + [429]


def test_conversations_are_limited_whichever_way_they_are_made(make: Make) -> None:
    client = make(rate_conversations=2)
    assert client.post("/api/conversations").status_code == 201
    assert client.post("/token?name=Ada").status_code == 200
    assert limited(client.post("/api/conversations"))
    handbooks = client.post("/token?name=Ada")
    assert handbooks.status_code == 429 and "Retry-After" in handbooks.headers


def test_searches_are_limited_and_the_list_is_not(make: Make) -> None:
    client = make(rate_searches=2)
    client.post("/api/accounts", json={"name": "ada", "password": "correct horse"})
    answers = [client.get("/api/conversations?q=cats") for _ in range(3)]
    assert [limited(answer) for answer in answers] == [False, False, True]
    assert client.get("/api/conversations").status_code == 200


def test_the_minute_passes(make: Make, store: Store) -> None:
    client, chat = make(rate_messages=1), Conversation.create(store).id
    assert [send(client, chat, name) for name in ("m1", "m2")] == [202, 429]
    for key in store.client.keys("rate:*"):
        assert 0 < store.client.ttl(key) <= 60
        store.client.pexpire(key, 1)
    wait_for(lambda: not store.client.keys("rate:*"))
    assert send(client, chat, "m2") == 202


def test_0_is_no_limit(make: Make, store: Store) -> None:
    off = {f"rate_{what}": 0 for what in ("messages", "conversations", "searches")}
    client, chat = make(**off), Conversation.create(store).id
    assert {send(client, chat, f"m{n}") for n in range(3)} == {202}
    assert store.client.keys("rate:*") == []


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"), ("fe80::1%eth0", "fe80::/64"), ("nonsense", "unknown"),
        ("203.0.113.9, 192.0.2.1", "192.0.2.1"),  # what stands before was written by the client
    ],
)  # fmt: skip
def test_an_address_is_what_the_last_proxy_saw_and_of_ipv6_the_64(make: Make, forwarded: str, address: str) -> None:
    app = make().application
    assert isinstance(app, Flask)

    @app.get("/who")
    def who() -> str:
        return rates.address()

    assert app.test_client().get("/who", headers={"X-Forwarded-For": forwarded}).text == address


def test_without_proxies_nobody_can_write_an_address(config: Config, store: Store) -> None:
    client = create_app(replace(config, rate_conversations=1), store).test_client()
    made = [client.post("/api/conversations", headers={"X-Forwarded-For": f"192.0.2.{n}"}) for n in range(2)]
    assert [answer.status_code for answer in made] == [201, 429]


# --- sockets and streams, in a real web process ---


def socket(server: str, path: str, **options: Any) -> ClientConnection:
    return connect(f"{server.replace('http', 'ws', 1)}{path}", **options)


def test_sockets_are_limited_as_posts_are(start_web: Callable[..., tuple[str, Process]], store: Store) -> None:
    server, _ = start_web(RATE_MESSAGES="1", RATE_CONVERSATIONS="3")
    ada, chats = requests.Session(), [Conversation.create(store).id for _ in range(2)]
    ada.post(f"{server}/api/accounts", json={"name": "ada", "password": "correct horse"}, timeout=10)
    with socket(server, f"/api/conversations/{chats[0]}/socket") as ws:
        ws.recv(timeout=10)
        told = []
        for name in ("m1", "m2", "m1"):
            ws.send(json.dumps({"type": "send", "id": name, "text": "Hi"}))
            answers = (json.loads(ws.recv(timeout=10)) for _ in range(9))
            told.append(next(answer for answer in answers if answer["type"] in ("ack", "refused")))
        assert [(answer["type"], answer["ref"]) for answer in told] == [("ack", "m1"), ("refused", "m2"), ("ack", "m1")]
        assert told[1]["code"] == "rate_limited"
    with socket(server, f"/chat?token={chats[1]}") as ws:
        ws.send("Hi")
        ws.send("Hi again")
        assert "Too many" in json.loads(ws.recv(timeout=10))["msg"]
    cookie = {"Cookie": f"parley_session={ada.cookies['parley_session']}"}
    message = json.dumps({"history": [{"role": "user", "content": "Hi"}]})
    with socket(server, "/ws/chat/llm/work/", additional_headers=cookie) as ws:
        ws.send(message)
        ws.send(message)
        assert "Too many" in json.loads(ws.recv(timeout=10))["message"]
    for count, name in enumerate(("a", "b"), 2):
        with socket(server, f"/ws/chat/llm/{name}/", additional_headers=cookie) as ws:
            ws.send(message)
            wait_for(lambda made=count: len(listed(ada, server)) == made)
    with socket(server, "/ws/chat/llm/c/", additional_headers=cookie) as ws:
        ws.send(message)
        assert "Too many" in json.loads(ws.recv(timeout=10))["message"]
    assert len(listed(ada, server)) == 3


def listed(session: requests.Session, server: str) -> list[object]:
    found: list[object] = session.get(f"{server}/api/conversations", timeout=10).json()["conversations"]
    return found


def closing_code(ws: ClientConnection, within_s: float) -> int | None:
    """The code with which a socket is closed, past all events; None when it stays open."""
    end = time.monotonic() + within_s
    try:
        while True:
            ws.recv(timeout=end - time.monotonic())
    except TimeoutError:
        return None
    except ConnectionClosed as closed:
        assert closed.rcvd
        return closed.rcvd.code


@pytest.mark.parametrize("limit", ["STREAMS_PER_CONVERSATION", "STREAMS_PER_ADDRESS"])
def test_streams_are_limited_and_a_place_that_is_given_up_is_free_again(
    start_web: Callable[..., tuple[str, Process]], store: Store, limit: str
) -> None:
    server, _ = start_web(**{limit: "2", "PROXIES": "1"})
    chats = [Conversation.create(store) for _ in range(2 if limit.endswith("ADDRESS") else 1)]
    where, sent = f"/api/conversations/{chats[0].id}", chats[0].accept("Hi", "m1")
    assert sent.event
    with ExitStack() as opened:
        streams = [_stream(f"{server}/api/conversations/{chat.id}/events") for chat in (chats[0], chats[-1])]
        for stream in streams:
            assert opened.enter_context(stream).status_code == 200
            assert next(lines_to_events(stream))["type"] == "reset"
        refused = [
            _stream(f"{server}{where}/events"),
            requests.get(f"{server}{where}/events?wait=5&after={sent.event}", headers=POLL, timeout=10),
            requests.post(f"{server}{where}/messages", json={"text": "Hi", "id": "m2"}, headers=STREAM, timeout=10),
        ]
        for answer in refused:
            assert (answer.status_code, answer.json()["code"]) == (429, "too_many_streams")
            assert int(answer.headers["Retry-After"]) > 0
        for path in (f"{where}/socket", f"/chat?token={chats[0].id}"):
            with socket(server, path) as ws:
                assert closing_code(ws, within_s=10) == 1013
        if limit.endswith("ADDRESS"):
            with _stream(f"{server}{where}/events", {"X-Forwarded-For": "192.0.2.2"}) as elsewhere:
                assert elsewhere.status_code == 200
        # Messages are taken in all the same.
        assert requests.post(f"{server}{where}/messages", json={"text": "Hi"}, timeout=10).status_code == 202
    assert [message["id"] for message in chats[0].snapshot()["pending"]].count("m2") == 0
    # A stream whose client has gone is noticed when something is written to it.
    turns = [turn for chat in {chat.id: chat for chat in chats}.values() if (turn := begin(chat))]
    wait_for(lambda: all(turn.emit("x") for turn in turns) and _opens(f"{server}{where}/events"), every_s=0.1)


def begin(chat: Conversation) -> Turn | None:
    chat.accept("Hi")
    return Turn.begin(chat.store, chat.id)


def _stream(address: str, headers: dict[str, str] | None = None) -> requests.Response:
    return requests.get(address, headers=STREAM | (headers or {}), stream=True, timeout=20)


def _opens(address: str) -> bool:
    with _stream(address) as answer:
        return answer.status_code == 200
