"""The HTTP API, route by route, on a real store. Turns are written by the tests themselves."""

import json
import re
import time
from base64 import b64decode
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
import requests
from conftest import SITE
from flask.testing import FlaskClient
from services import ROOT, Process, free_port, python, wait_for
from transports import Json, as_event, lines_to_events
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from app import create_app, leave
from app.hub import Hub
from app.stream import event_stream
from app.turn_stream import turn_events
from chat.config import Config
from chat.conversation import Conversation
from chat.errors import ConversationGone
from chat.events import Event
from chat.keys import conversation as keys_of
from chat.store import Store
from chat.turns import Turn

STREAM = {"Accept": "text/event-stream"}
POLL = {"Accept": "application/json"}


@pytest.fixture
def client(config: Config, store: Store) -> Iterator[FlaskClient]:
    app = create_app(replace(config, cors_origins=(SITE,)), store)
    yield app.test_client()
    leave(app)
    app.extensions["parley"].hub.join()


@pytest.fixture
def chat(store: Store) -> Conversation:
    return Conversation.create(store, "Ada")


@pytest.fixture
def hub(store: Store) -> Iterator[Hub]:
    hub = Hub(store)
    yield hub
    hub.leave()
    hub.join()


def path(chat: Conversation, rest: str = "") -> str:
    return f"/api/conversations/{chat.id}{rest}"


def begin(store: Store, chat: Conversation) -> Turn:
    turn = Turn.begin(store, chat.id)
    assert turn
    return turn


def answer(store: Store, chat: Conversation, text: str, reply: str) -> Json:
    """One whole turn; the reply as it was stored."""
    chat.accept(text)
    begin(store, chat).finish("completed", reply)
    stored: Json = chat.snapshot()["messages"][-1]
    return stored


def socket(server: str, chat: Conversation, query: str = "", **options: Any) -> ClientConnection:
    return connect(f"{server.replace('http', 'ws', 1)}{path(chat, '/socket')}{query}", **options)


def ask(ws: ClientConnection, frame: str | bytes | Json) -> Json:
    """Send a frame and return the answer to it, past the events that come in between."""
    ws.send(json.dumps(frame) if isinstance(frame, dict) else frame)
    while True:
        heard: Json = json.loads(ws.recv(timeout=10))
        if "id" not in heard:
            return heard


def closing_of(ws: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            ws.recv(timeout=10)
    assert closed.value.rcvd
    return closed.value.rcvd.code, closed.value.rcvd.reason


# --- conversations ---


def test_a_conversation_is_made_and_found_again(client: FlaskClient) -> None:
    made = client.post("/api/conversations", json={"name": "Ada"})
    assert made.status_code == 201 and made.json
    assert made.json | {"name": "Ada", "title": None, "messages": [], "pending": [], "turn": None} == made.json
    assert client.get(made.headers["Location"]).json == made.json


def test_a_conversation_needs_no_body(client: FlaskClient) -> None:
    made = client.post("/api/conversations")
    assert made.status_code == 201 and made.json and made.json["name"] == ""


def test_the_title_is_set(client: FlaskClient, chat: Conversation) -> None:
    assert client.patch(path(chat), json={"title": "Über Katzen"}).json == chat.snapshot()
    assert chat.snapshot()["title"] == "Über Katzen"


def test_a_deleted_conversation_is_gone_on_every_route(client: FlaskClient, chat: Conversation) -> None:
    assert client.delete(path(chat)).status_code == 204
    gone = [
        client.get(path(chat)),
        client.patch(path(chat), json={"title": "x"}),
        client.delete(path(chat)),
        client.get(path(chat, "/messages")),
        client.post(path(chat, "/messages"), json={"text": "Hi"}),
        client.post(path(chat, "/messages"), json={"text": "Hi"}, headers=STREAM),
        client.post(path(chat, "/messages/m1/stop")),
        client.post(path(chat, "/messages/m1/retry"), json={"reply_id": "r1"}),
        client.get(path(chat, "/events")),
        client.get(path(chat, "/events?wait=1"), headers=POLL),
        client.get(path(chat, "/export")),
    ]
    assert [(r.status_code, r.json and r.json["code"]) for r in gone] == [(404, "conversation_gone")] * len(gone)


def test_history_comes_in_pages(client: FlaskClient, store: Store, chat: Conversation) -> None:
    for n in range(3):
        answer(store, chat, f"q{n}", f"a{n}")
    page: Any = client.get(path(chat, "/messages?limit=2")).json
    assert ([m["text"] for m in page["messages"]], page["first"], page["total"]) == (["q2", "a2"], 4, 6)
    page = client.get(path(chat, f"/messages?limit=3&before={page['first']}")).json
    assert ([m["text"] for m in page["messages"]], page["first"]) == (["a0", "q1", "a1"], 1)


@pytest.mark.parametrize("title", ["Über Katzen", None])
def test_a_transcript_is_a_file(client: FlaskClient, store: Store, chat: Conversation, title: str | None) -> None:
    answer(store, chat, "Hi", "Hello 🌍")
    chat.accept("And?")
    begin(store, chat).finish("failed", "Hm", code="model_broke", detail="It broke.", retryable=True)
    if title:
        chat.rename(title)
    exported = client.get(path(chat, "/export"))
    assert exported.headers["Content-Disposition"] == f'attachment; filename="conversation-{chat.id[:8]}.json"'
    assert json.loads(exported.text)["messages"] == chat.snapshot()["messages"]
    markdown = client.get(path(chat, "/export?format=markdown"))
    assert markdown.content_type == "text/markdown; charset=utf-8"
    assert markdown.text.startswith(f"# {title or 'Hi'}\n")
    assert re.findall(r"\*\*(\w+)\*\*, \S+( \(\w+\))?\n\n(.*)\n", markdown.text) == [
        ("Ada", "", "Hi"), ("Bot", "", "Hello 🌍"), ("Ada", "", "And?"), ("Bot", " (failed)", "Hm"),
    ]  # fmt: skip


# --- messages ---


def test_a_message_is_taken_in_once(client: FlaskClient, store: Store, chat: Conversation) -> None:
    post: Callable[[str], Any] = lambda text: client.post(path(chat, "/messages"), json={"text": text, "id": "m1"})  # noqa: E731
    first = post("Hi")
    assert first.status_code == 202
    assert (first.json["message"]["text"], first.json["position"], first.json["outcome"]) == ("Hi", 0, "waiting")
    assert post("Hi").json == first.json
    assert (post("Bye").status_code, post("Bye").json["code"]) == (409, "message_conflict")
    turn = begin(store, chat)
    assert post("Hi").json["outcome"] == "running"
    turn.finish("completed", "Hello")
    done = post("Hi")
    assert (done.status_code, done.json["outcome"], done.json["reply"]["text"]) == (202, "finished", "Hello")


def test_a_full_queue_says_when_to_come_back(client: FlaskClient, store: Store, chat: Conversation) -> None:
    for n in range(store.config.pending_max):
        client.post(path(chat, "/messages"), json={"text": "Hi", "id": f"m{n}"})
    full = client.post(path(chat, "/messages"), json={"text": "Hi", "id": "late"})
    assert full.status_code == 429 and full.json and full.json["code"] == "queue_full"
    assert int(full.headers["Retry-After"]) >= 1
    assert client.post(path(chat, "/messages"), json={"text": "Hi", "id": "m3"}).status_code == 202


def test_stop_says_what_became_of_it(client: FlaskClient, store: Store, chat: Conversation) -> None:
    stop: Callable[[str], Any] = lambda name: client.post(path(chat, f"/messages/{name}/stop"))  # noqa: E731
    chat.accept("one", "m1")
    chat.accept("two", "m2")
    turn = begin(store, chat)
    assert stop("m1").json == {"outcome": "stopping"}
    assert stop("m2").json == {"outcome": "stopped"}
    turn.finish("stopped")
    assert stop("m1").json == {"outcome": "stopped"}
    assert (stop("never").status_code, stop("never").json["code"]) == (404, "message_unknown")


def test_a_repeated_retry_is_one_retry(client: FlaskClient, store: Store, chat: Conversation) -> None:
    old = answer(store, chat, "Hi", "Hm")

    def retry(reply: Json) -> Any:
        return client.post(path(chat, f"/messages/{reply['reply_to']}/retry"), json={"reply_id": reply["id"]})

    assert [retry(old).json, retry(old).status_code, retry(old).json] == [
        {"outcome": "accepted"}, 202, {"outcome": "duplicate"},
    ]  # fmt: skip
    begin(store, chat).finish("completed", "Hello")
    older = chat.snapshot()["messages"][-1]
    chat.accept("more")
    assert (retry(older).status_code, retry(older).json["code"]) == (409, "busy")
    begin(store, chat).finish("completed")
    assert (retry(older).status_code, retry(older).json["code"]) == (409, "not_last_turn")


def test_the_bell_rings_for_each_message_also_for_a_repeat(server: str, store: Store, chat: Conversation) -> None:
    bells = Store(replace(store.config, redis_url=f"{store.config.redis_url}?db=1"))
    bells.client.delete("parley")

    def rung() -> int:
        bodies = [json.loads(ring)["body"] for ring in bells.client.lrange("parley", 0, -1)]  # type: ignore[union-attr]
        return sum(chat.id.encode() in b64decode(body) for body in bodies)

    post = f"{server}{path(chat, '/messages')}"
    for count in (1, 2):
        requests.post(post, json={"text": "Hi", "id": "m1"}, timeout=10)
        wait_for(lambda count=count: rung() == count)  # type: ignore[misc]
    with closing(requests.post(post, json={"text": "Hi", "id": "m1"}, headers=STREAM, stream=True, timeout=10)):
        wait_for(lambda: rung() == 3)
    with socket(server, chat) as ws:
        ask(ws, {"type": "send", "id": "m1", "text": "Hi"})
        assert wait_for(lambda: rung() == 4)
    bells.close()


# --- a POST that streams ---


def test_a_repeat_that_waits_is_told_so_and_goes_on(hub: Hub, store: Store, chat: Conversation) -> None:
    chat.accept("first")
    chat.accept("second", "m2")
    with closing(turn_events(hub, chat, chat.accept("second", "m2"), 5)) as events:
        accepted = next(events)
        assert accepted and accepted.type == "accepted"
        assert accepted.content["position"] == 1 and str(accepted.position) == chat.snapshot()["position"]
        begin(store, chat).finish("completed", "not for us")
        begin(store, chat).finish("completed", "for us")
        rest = [event for event in events if event]
    assert [event.type for event in rest] == ["started", "delta", "completed"]
    assert rest[-1].content["message"]["text"] == "for us"


@pytest.mark.parametrize("status", ["completed", "stopped", "failed"])
def test_a_repeat_of_a_finished_turn_gets_its_end(hub: Hub, store: Store, chat: Conversation, status: Any) -> None:
    chat.accept("Hi", "m1")
    failure = {"code": "model_broke", "detail": "It broke.", "retryable": True} if status == "failed" else {}
    begin(store, chat).finish(status, "Hel", **failure)
    (event,) = turn_events(hub, chat, chat.accept("Hi", "m1"), 5)
    assert event and event.type == status
    assert event.content == {"message": chat.snapshot()["messages"][-1], **failure}


def test_a_repeat_of_a_withdrawn_message_is_told_so(hub: Hub, chat: Conversation) -> None:
    chat.accept("Hi", "m1")
    chat.stop("m1")
    (event,) = turn_events(hub, chat, chat.accept("Hi", "m1"), 5)
    assert event and (event.type, event.content) == ("stopped", {"message_id": "m1", "withdrawn": True})


def restart(store: Store, chat: Conversation) -> None:
    """Let the next script find another server, as after a restart that may have lost something."""
    store.client.hset(keys_of(chat.id)[1], "server", "0" * 40)


def test_a_restart_of_the_store_in_mid_turn_is_bridged(hub: Hub, store: Store, chat: Conversation) -> None:
    stream = turn_events(hub, chat, chat.accept("Hi", "m1"), 5)
    assert kind(next(stream)) == "accepted"
    restart(store, chat)
    turn = begin(store, chat)
    assert [kind(next(stream))] == ["started"]
    turn.emit("Hel")
    assert kind(next(stream)) == "delta"
    restart(store, chat)
    turn.emit("lo")
    again = [next(stream), next(stream)]
    assert [kind(event) for event in again] == ["started", "delta"]
    assert again[1] and again[1].content | {"text": "Hello", "offset": 0} == again[1].content
    restart(store, chat)
    turn.finish("completed")
    assert [kind(event) for event in stream] == ["completed"]


def test_a_message_that_the_store_has_lost_ends_the_stream(hub: Hub, store: Store, chat: Conversation) -> None:
    stream = turn_events(hub, chat, chat.accept("Hi", "m1"), 5)
    assert kind(next(stream)) == "accepted"
    store.execute("JSON.SET", keys_of(chat.id)[0], "$.pending", "[]")
    restart(store, chat)
    chat.accept("another")
    assert list(stream) == []


def test_a_deletion_ends_a_turns_stream(hub: Hub, chat: Conversation) -> None:
    stream = turn_events(hub, chat, chat.accept("Hi", "m1"), 5)
    assert kind(next(stream)) == "accepted"
    chat.delete()
    with pytest.raises(ConversationGone):
        next(stream)


def kind(event: Event | None) -> str:
    return event.type if event else "ping"


# --- events ---


def test_a_stream_begins_before_its_first_event(server: str, store: Store, chat: Conversation) -> None:
    after = chat.snapshot()["position"]
    stream = requests.get(f"{server}{path(chat, f'/events?after={after}')}", stream=True, timeout=20)
    with closing(stream):
        assert stream.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert stream.headers["Cache-Control"] == "no-store, no-transform"
        assert stream.headers["X-Accel-Buffering"] == "no"
        chunks = stream.iter_content(None)
        assert next(chunks) == b"retry: 1000\n\n"
        chat.accept("Hi")
        assert b"\nevent: accepted\ndata: {" in next(chunks)


def test_a_silent_stream_says_that_it_lives(chat: Conversation) -> None:
    """By an event, which a page hears of, and without an id, which would be taken for a position."""

    def silence() -> Generator[None]:
        yield None

    assert event_stream(silence()).get_data(as_text=True) == "retry: 1000\n\nevent: ping\ndata: {}\n\n"


def test_the_last_event_id_beats_the_address(server: str, chat: Conversation) -> None:
    for n in range(3):
        chat.accept(f"m{n}")
    epoch = chat.snapshot()["position"].split("-")[0]
    for beaten_by, first in ((None, 2), ("", 2), (f"{epoch}-2", 3)):
        headers = {"Last-Event-ID": beaten_by}
        address = f"{server}{path(chat, f'/events?after={epoch}-1')}"
        with closing(requests.get(address, headers=headers, stream=True, timeout=20)) as stream:
            assert next(lines_to_events(stream))["id"] == f"{epoch}-{first}"


def test_a_poll_waits_for_the_first_event_and_no_longer(server: str, chat: Conversation) -> None:
    def poll(after: str, wait: float) -> Json:
        query = {"after": after, "wait": str(wait)}
        found: Json = requests.get(f"{server}{path(chat, '/events')}", query, headers=POLL, timeout=10).json()
        return found

    position = chat.snapshot()["position"]
    assert poll(position, 0.05) == {"events": [], "position": position}
    chat.accept("Hi")
    before = time.monotonic()
    polled = poll(position, 20)
    assert time.monotonic() - before < 10
    assert [event["type"] for event in polled["events"]] == ["accepted"]
    assert polled["position"] == polled["events"][-1]["id"] == chat.snapshot()["position"]


# --- WebSocket ---


def test_a_socket_sends_stops_and_resumes(server: str, store: Store, chat: Conversation) -> None:
    with socket(server, chat) as ws:
        assert json.loads(ws.recv())["type"] == "reset"
        send = {"type": "send", "id": "m1", "text": "Hi"}
        assert ask(ws, send) == {"type": "ack", "ref": "m1", "outcome": "waiting", "position": 0}
        assert ask(ws, send) == {"type": "ack", "ref": "m1", "outcome": "waiting", "position": 0}
        refused = ask(ws, send | {"text": "Bye"})
        assert (refused["type"], refused["ref"], refused["code"]) == ("refused", "m1", "message_conflict")
        seen = chat.snapshot()["position"]
        turn = begin(store, chat)
        assert ask(ws, {"type": "stop", "message_id": "m1"}) == {"type": "ack", "ref": "m1", "outcome": "stopping"}
        turn.finish("stopped", "Hel")
    with socket(server, chat, f"?after={seen}") as ws:
        events = [as_event(json.loads(ws.recv())) for _ in range(2)]
    assert [event["type"] for event in events] == ["started", "stopped"]
    assert events[1]["data"]["message"]["text"] == "Hel"


def test_a_socket_is_closed_with_code_and_reason(server: str, chat: Conversation) -> None:
    unknown = Conversation(chat.store, "00000000-0000-4000-8000-000000000000")
    for nobody in (unknown, Conversation(chat.store, "nonsense")):
        with socket(server, nobody) as ws:
            assert closing_of(ws) == (1008, "This conversation does not exist, or it has expired.")
    with socket(server, chat) as ws:
        ws.recv()
        chat.delete()
        assert closing_of(ws)[0] == 1008


@pytest.mark.parametrize(
    ("origin", "welcome"),
    [(None, True), ("{server}", True), (SITE, True), ("https://evil.example", False), ("null", False),
     ("{server}.evil.example", False), (f"{SITE}.evil.example", False), ("", False)],
)  # fmt: skip
def test_a_page_of_a_strange_origin_gets_no_socket(
    befriended: str, chat: Conversation, origin: str | None, welcome: bool
) -> None:
    headers = None if origin is None else {"Origin": origin.format(server=befriended)}
    with socket(befriended, chat, additional_headers=headers) as ws:
        if welcome:
            assert json.loads(ws.recv())["type"] == "reset"
        else:
            assert closing_of(ws) == (1008, "Pages of this origin may not connect.")


def test_no_compression_is_agreed_upon(server: str, chat: Conversation) -> None:
    with socket(server, chat, compression="deflate") as ws:
        assert ws.protocol.extensions == []


# --- the server itself ---


def test_the_server_describes_itself(client: FlaskClient, config: Config) -> None:
    about: Any = client.get("/api/config").json
    assert about["demo"] is True and about["registration"] == "open" and about["model"]
    assert about["limits"] == {"message_max_chars": 4000, "pending_max": 16, "chat_ttl_s": 3600}
    assert client.get("/healthz").json == {"status": "ok", "version": about["version"]}
    hosted = create_app(replace(config, model_url="https://models.example/v1/completions", model_name="gpt-j-6B"))
    about = hosted.test_client().get("/api/config").json
    assert (about["demo"], about["model"]) == (False, "gpt-j-6B")
    about = create_app(replace(config, gptj_path="models/gpt-j-6b")).test_client().get("/api/config").json
    assert (about["demo"], about["model"]) == (False, "GPT-J")


def test_without_redis_it_starts_and_says_so(start_web: Callable[..., tuple[str, Process]], tmp_path: Path) -> None:
    server, _ = start_web(REDIS_URL=f"unix://{tmp_path}/nobody")
    assert requests.get(f"{server}/healthz", timeout=10).ok
    anything = "/api/conversations/00000000-0000-4000-8000-000000000000"
    away = [
        requests.post(f"{server}/api/conversations", timeout=10),
        requests.get(f"{server}{anything}/events", timeout=10),
        requests.post(f"{server}{anything}/messages", json={"text": "Hi"}, headers=STREAM, timeout=10),
    ]
    assert [(a.status_code, a.json()["code"]) for a in away] == [(503, "store_unavailable")] * 3
    assert all(int(a.headers["Retry-After"]) >= 1 for a in away)
    with connect(f"{server.replace('http', 'ws', 1)}{anything}/socket") as ws:
        assert closing_of(ws) == (1013, "The store does not answer; try again in a moment.")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY"),
        ({"PENDING_MAX": "many"}, "PENDING_MAX"),
        ({"REDIS_URL": "http://x"}, "REDIS_URL"),
    ],
)
def test_a_wrong_setting_ends_the_start_with_one_line(redis_url: str, settings: dict[str, str], told: str) -> None:
    environ = {"REDIS_URL": redis_url, "SECRET_KEY": "x", "PYTHONPATH": str(ROOT)} | settings
    ended = run(python("-c", "import wsgi"), env=environ, capture_output=True, text=True)
    assert ended.returncode == 4
    assert ended.stderr.startswith("Parley cannot start: ") and told in ended.stderr
    assert ended.stderr.count("\n") == 1 and ended.stdout == ""


def test_a_redis_that_refuses_json_ends_the_start(store: Store, redis_url: str, tmp_path: Path) -> None:
    store.client.execute_command("ACL", "SETUSER", "plain", "on", ">plain", "~*", "&*", "+@all", "-json.get")
    log, port = tmp_path / "web.log", str(free_port())
    url = f"{redis_url.replace('unix://', 'unix://plain:plain@')}"
    process = Process(python("-m", "gunicorn", "wsgi:app"), log, REDIS_URL=url, SECRET_KEY="x", PORT=port)
    try:
        assert process.popen.wait(60) == 4
        assert "Parley cannot start: This user of Redis may not do what is needed" in log.read_text()
        assert "Traceback" not in log.read_text()
    finally:
        process.end()
        store.client.execute_command("ACL", "DELUSER", "plain")


def test_told_to_end_it_waits_neither_for_streams_nor_for_idle_connections(
    start_web: Callable[..., tuple[str, Process]], chat: Conversation
) -> None:
    server, process = start_web()
    with requests.Session() as session, socket(server, chat) as ws:
        assert session.get(f"{server}/healthz", timeout=5).ok  # and keeps the connection
        stream = session.get(f"{server}{path(chat, '/events')}", stream=True, timeout=10)
        events = lines_to_events(stream)
        assert next(events)["type"] == "reset"
        begun = time.monotonic()
        assert process.end() == 0
        assert time.monotonic() - begun < 12  # of the 20 that it gives to requests
        assert list(events) == []
        assert closing_of(ws) == (1013, "The server is restarting.")


# --- pages of other sites ---


def test_only_configured_origins_may_read(client: FlaskClient, chat: Conversation) -> None:
    for route in ("/api/config", path(chat), "/test", f"/refresh_token?token={chat.id}", path(chat, "/nowhere")):
        friend = client.get(route, headers={"Origin": SITE})
        assert friend.headers["Access-Control-Allow-Origin"] == SITE and "Origin" in friend.headers["Vary"]
        assert "X-Request-ID" in friend.headers["Access-Control-Expose-Headers"]
        for origin in ("https://evil.example", "null", f"{SITE}:444"):
            stranger = client.get(route, headers={"Origin": origin})
            assert "Access-Control-Allow-Origin" not in stranger.headers and "Origin" in stranger.headers["Vary"]
    with client.get("/", headers={"Origin": SITE}) as page:
        assert "Access-Control-Allow-Origin" not in page.headers


def test_preflights_are_answered(client: FlaskClient, chat: Conversation) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    friend = client.options(path(chat, "/messages"), headers={"Origin": SITE, **asked})
    assert friend.status_code == 204 and friend.headers["Access-Control-Allow-Origin"] == SITE
    assert "POST" in friend.headers["Access-Control-Allow-Methods"]
    assert "Content-Type" in friend.headers["Access-Control-Allow-Headers"]
    stranger = client.options(path(chat, "/messages"), headers={"Origin": "https://evil.example", **asked})
    assert not any(name.startswith("Access-Control") for name in stranger.headers.keys())  # noqa: SIM118


# --- documentation ---


def test_every_route_is_explained(client: FlaskClient) -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    for rule in client.application.url_map.iter_rules():
        name = re.sub(r"/<\w+>", "", rule.rule).rpartition("/")[2]
        if rule.endpoint != "static" and not rule.rule.startswith(("/docs/", "/assets/")):
            assert f"/{name}" in text, f"docs/api.md does not tell of {rule.rule}"


def test_the_documentation_loads_nothing_from_elsewhere(client: FlaskClient) -> None:
    page = client.get("/docs")
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(sources) == 4 and all(source.startswith("/") for source in sources)
    for source in sources:
        with client.get(source) as asset:
            assert asset.status_code == 200
    assert "<script>" not in page.text
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
