"""Whatever comes in: a clear error, never a 500, and the conversation is as it was. (No log may hold a traceback.)"""

import json
import socket as sockets
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from services import wait_for
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from chat.conversation import Conversation
from chat.store import Store

JSON = {"Content-Type": "application/json"}
LONG = "x" * 4001
BROKEN_TEXTS = ["", "  \n\t ", LONG, "a\x00b", "\x1b[31m", "a\ud800", 5, None, ["Hi"], {"a": 1}, True]
BROKEN_BODIES = [
    b"{", b'{"text": "Hi"', b"\xff\xfe", b'"Hi"', b"[]", b"5", b"null", b'{"text": NaN}', b'{"text": "\\ud800"}',
    b"[" * 30_000, b'{"a":' * 10_000, b'{"text": "Hi", "text": 5}', b"9" * 5_000, b"text=Hi",
]  # fmt: skip
BROKEN_IDS = ["", "x" * 65, "a b", "ä", "a\n", "../x", "a:b", 5, ["m1"]]
NOWHERE = [
    "x", "*", "{b00}", "..%2F..%2Fetc", "%00", "%0d%0a", "ä", "x" * 2000, "00000000-0000-4000-8000-000000000000",
    "00000000000040008000000000000000", "{00000000-0000-4000-8000-000000000000}", "$.messages", "%F0%9F%8C%8D", "%ff",
]  # fmt: skip


@pytest.fixture
def chat(server: str, store: Store) -> Iterator[Conversation]:
    """A conversation that is the same afterwards."""
    chat = Conversation.create(store, "Ada")
    chat.accept("Hi", "m1")
    before = chat.snapshot()
    yield chat
    assert chat.snapshot() == before


def address(server: str, chat: Conversation, rest: str = "") -> str:
    return f"{server}/api/conversations/{chat.id}{rest}"


def problem(response: requests.Response, status: int, code: str) -> dict[str, Any]:
    """The body of a refusal, which must be RFC 9457 with this status and code."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "code"} <= set(body)
    assert (body["status"], body["code"]) == (status, code)
    assert "Traceback" not in response.text and body["detail"]
    return body


@pytest.mark.parametrize("text", BROKEN_TEXTS)
@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_a_text_that_nobody_could_read_is_refused(server: str, chat: Conversation, text: Any, accept: str) -> None:
    response = requests.post(
        address(server, chat, "/messages"), json={"text": text}, headers={"Accept": accept}, timeout=10
    )
    told = problem(response, 422, "invalid")
    # A half of a character is no JSON for us, so it is the body that is wrong.
    assert list(told["fields"]) == (["body"] if text == "a\ud800" else ["text"])


def test_names_and_titles_are_held_to_the_same(server: str, chat: Conversation) -> None:
    for text in BROKEN_TEXTS:
        assert problem(requests.patch(address(server, chat), json={"title": text}, timeout=10), 422, "invalid")
        made = requests.post(f"{server}/api/conversations", json={"name": text}, timeout=10)
        assert problem(made, 422, "invalid")


@pytest.mark.parametrize("body", BROKEN_BODIES)
def test_a_body_that_is_not_what_it_should_be_is_refused(server: str, chat: Conversation, body: bytes) -> None:
    for route in ("/messages", "/messages/m1/retry"):
        response = requests.post(address(server, chat, route), data=body, headers=JSON, timeout=10)
        assert problem(response, 422, "invalid")
    assert problem(requests.patch(address(server, chat), data=body, headers=JSON, timeout=10), 422, "invalid")


def test_unknown_fields_are_refused(server: str, chat: Conversation) -> None:
    told = problem(
        requests.post(address(server, chat, "/messages"), json={"text": "Hi", "role": "bot"}, timeout=10),
        422,
        "invalid",
    )
    assert told["fields"] == {"role": ["Unknown field."]}


@pytest.mark.parametrize("message_id", BROKEN_IDS)
def test_message_ids_are_plain(server: str, chat: Conversation, message_id: Any) -> None:
    body = {"text": "Hi", "id": message_id}
    told = problem(requests.post(address(server, chat, "/messages"), json=body, timeout=10), 422, "invalid")
    assert list(told["fields"]) == ["id"]
    if isinstance(message_id, str) and message_id:
        for route in ("stop", "retry"):
            where = address(server, chat, f"/messages/{quote(message_id, safe='')}/{route}")
            assert requests.post(where, json={"reply_id": "r"} if route == "retry" else None).status_code == 404


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json", ""])
def test_other_content_types_are_refused(server: str, chat: Conversation, kind: str) -> None:
    body = b'{"text": "Hi"}'
    response = requests.post(address(server, chat, "/messages"), data=body, headers={"Content-Type": kind}, timeout=10)
    assert problem(response, 415, "unsupported_media_type")


@pytest.mark.parametrize("size", [65 * 1024, 10 * 1024 * 1024])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused(server: str, chat: Conversation, size: int, chunked: bool) -> None:
    body = json.dumps({"text": "x" * size}).encode()
    pieces = (body[i : i + 8192] for i in range(0, len(body), 8192))
    for route in (address(server, chat, "/messages"), f"{server}/token"):
        response = requests.post(route, data=pieces if chunked else body, headers=JSON, timeout=20)
        if route.endswith("/messages"):
            problem(response, 413, "too_large")
        else:
            assert response.status_code in (400, 413) and response.json()["detail"]


@pytest.mark.parametrize("where", NOWHERE)
def test_an_id_that_names_nothing_is_not_found(server: str, chat: Conversation, where: str) -> None:
    there = f"{server}/api/conversations/{where}"
    for response in (
        requests.get(there, timeout=10),
        requests.get(f"{there}/events", timeout=10),
        requests.get(f"{there}/export", timeout=10),
        requests.post(f"{there}/messages", json={"text": "Hi"}, timeout=10),
        requests.delete(there, timeout=10),
    ):
        assert response.status_code == 404, response.text
        assert response.json()["code"] in ("conversation_gone", "not_found")


@pytest.mark.parametrize(
    "query",
    ["/messages?limit=0", "/messages?limit=201", "/messages?limit=x", "/messages?before=-1", "/messages?before=1e9",
     "/messages?befor=1", "/events?wait=26", "/events?wait=nan", "/events?wait=-1", "/events?wait=", "/events?x=1",
     "/export?format=pdf", "/export?format="],
)  # fmt: skip
def test_questions_that_make_no_sense_are_refused(server: str, chat: Conversation, query: str) -> None:
    response = requests.get(address(server, chat, query), headers={"Accept": "application/json"}, timeout=10)
    assert problem(response, 422, "invalid")


@pytest.mark.parametrize("position", ["", "x", "00000000-0", "%00", "'; DROP", "ffffffff-" + "9" * 400, "é", "-1"])
def test_a_position_that_makes_no_sense_gets_a_reset(server: str, chat: Conversation, position: str) -> None:
    poll = {"Accept": "application/json"}
    for query, headers in (
        (f"/events?after={position}", poll),
        ("/events", poll | {"Last-Event-ID": position.encode("latin-1")}),
    ):
        answer = requests.get(address(server, chat, query), headers=headers, timeout=10).json()  # type: ignore[arg-type]
        assert [event["type"] for event in answer["events"]] == ["reset"]


def test_unknown_paths_and_wrong_methods_are_told(server: str, chat: Conversation) -> None:
    problem(requests.get(f"{server}/nowhere", timeout=10), 404, "not_found")
    wrong = requests.put(address(server, chat), json={}, timeout=10)
    problem(wrong, 405, "method_not_allowed")
    assert "PATCH" in wrong.headers["Allow"]
    problem(requests.get(address(server, chat, "/socket"), timeout=10), 400, "bad_request")


def test_a_handshake_that_is_none_is_told(server: str, chat: Conversation) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    version = {"Sec-WebSocket-Version": "1", "Sec-WebSocket-Key": "eA=="}
    for headers in (upgrade, upgrade | version, upgrade | {"Sec-WebSocket-Version": "13"}):
        assert problem(
            requests.get(address(server, chat, "/socket"), headers=headers, timeout=10), 400, "bad_handshake"
        )


def test_an_expired_conversation_is_not_found(server: str, store: Store) -> None:
    brief = Store(replace(store.config, chat_ttl_s=1))
    chat = Conversation.create(brief)
    wait_for(lambda: not store.client.keys("*"))
    problem(requests.get(address(server, chat), timeout=10), 404, "conversation_gone")
    response = requests.post(address(server, chat, "/messages"), json={"text": "Hi"}, timeout=10)
    problem(response, 404, "conversation_gone")
    with websocket(server, f"/api/conversations/{chat.id}/socket") as ws:
        assert closing_code(ws) == 1008
    brief.close()


# --- WebSockets ---


def websocket(server: str, where: str) -> ClientConnection:
    return connect(f"{server.replace('http', 'ws', 1)}{where}")


def closing_code(ws: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            ws.recv(timeout=10)
    assert closed.value.rcvd
    return closed.value.rcvd.code


@pytest.fixture
def ws(server: str, chat: Conversation) -> Iterator[ClientConnection]:
    with websocket(server, f"/api/conversations/{chat.id}/socket?after={chat.snapshot()['position']}") as ws:
        yield ws
        # It still works.
        ws.send(json.dumps({"type": "send", "id": "m1", "text": "Hi"}))
        assert json.loads(ws.recv(timeout=10))["outcome"] == "waiting"


FRAMES: list[str | bytes] = [
    "", "x", "{", "5", "null", "[]", "[" * 30_000, "{}", '{"type": 5}', '{"type": ["send"]}', '{"type": "close"}',
    b'{"type": "send", "id": "m9", "text": "Hi"}', '{"type": "send"}', '{"type": "send", "text": "Hi"}',
    '{"type": "send", "id": "m9"}', '{"type": "send", "id": "m9", "text": "Hi", "role": "bot"}', '{"type": "stop"}',
    '{"type": "stop", "message_id": "a b"}', '{"type": "stop", "message_id": {}}', '{"type": "send", "id": {"a": 1}}',
    *(json.dumps({"type": "send", "id": "m9", "text": text}) for text in BROKEN_TEXTS),
    *(json.dumps({"type": "send", "id": name, "text": "Hi"}) for name in BROKEN_IDS),
]  # fmt: skip


@pytest.mark.parametrize("frame", FRAMES)
def test_a_bad_frame_is_refused_and_the_socket_lives(ws: ClientConnection, frame: str | bytes) -> None:
    ws.send(frame)
    refused = json.loads(ws.recv(timeout=10))
    assert (refused["type"], refused["code"]) == ("refused", "invalid")
    assert refused["detail"] and (refused["ref"] is None or isinstance(refused["ref"], str))


def test_an_unknown_message_cannot_be_stopped(ws: ClientConnection) -> None:
    ws.send('{"type": "stop", "message_id": "never"}')
    refused = json.loads(ws.recv(timeout=10))
    assert (refused["ref"], refused["code"]) == ("never", "message_unknown")


def test_a_flood_of_frames_is_answered_one_by_one(ws: ClientConnection) -> None:
    for _ in range(3000):
        ws.send("x" * 500)
    answers = [json.loads(ws.recv(timeout=20)) for _ in range(3000)]
    assert {answer["code"] for answer in answers} == {"invalid"}


@pytest.mark.parametrize(("frame", "code"), [("x" * 70_000, 1009), (b"\xff\xfe", 1007)])
def test_a_frame_that_is_too_large_or_no_text_closes_with_the_code(
    server: str, chat: Conversation, frame: str | bytes, code: int
) -> None:
    with websocket(server, f"/api/conversations/{chat.id}/socket") as ws:
        ws.send(frame, text=True)
        assert closing_code(ws) == code


def test_a_client_that_vanishes_in_the_middle_of_a_frame_leaves_nothing(server: str, chat: Conversation) -> None:
    url = urlsplit(server)
    with sockets.create_connection((url.hostname, url.port)) as raw:
        raw.sendall(
            f"GET /api/conversations/{chat.id}/socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket"
            "\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 101")
        raw.sendall(b"\x81\xfe\x10")
    assert requests.get(f"{server}/healthz", timeout=10).ok


# --- the handbook's routes ---


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\x00b", "\x1b[0m"])
def test_the_handbook_takes_no_bad_name(server: str, store: Store, name: str) -> None:
    for way in ({"params": {"name": name}}, {"data": {"name": name}}, {"json": {"name": name}}):
        refused = requests.post(f"{server}/token", **way, timeout=10)  # type: ignore[arg-type]
        assert (refused.status_code, refused.json()) == (400, {"detail": "Enter a valid name"})


@pytest.mark.parametrize("body", [*BROKEN_BODIES, b'{"name": 5}', b'{"name": ["Ada"]}', b'{"name": "\\ud800"}'])
def test_the_handbook_takes_no_bad_body(server: str, store: Store, body: bytes) -> None:
    refused = requests.post(f"{server}/token", data=body, headers=JSON, timeout=10)
    assert refused.status_code == 400 and list(refused.json()) == ["detail"]


def test_the_handbook_answers_a_bad_message_with_an_apology(server: str, chat: Conversation) -> None:
    with websocket(server, f"/chat?token={chat.id}") as ws:
        for text in ("", "   ", LONG, "a\x00b", b"binary"):
            ws.send(text)
            assert json.loads(ws.recv(timeout=10))["msg"].startswith("Sorry, I cannot take that message.")
