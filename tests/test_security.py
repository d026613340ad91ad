"""What docs/security.md promises: each point has a test that fails without it. (Accounts and limits have their own.)"""

import re
from dataclasses import replace
from typing import Any

import pytest
import requests
from conftest import SITE
from flask import Flask
from flask.testing import FlaskClient
from model_stub import ModelStub
from services import ROOT
from websockets.exceptions import ConnectionClosed as Closed
from websockets.sync.client import connect
from werkzeug.routing import Rule

from app import create_app
from chat.config import Config
from chat.conversation import Conversation
from chat.errors import ModelRefused
from chat.store import Store
from gptj.client import Model

NOBODYS = "00000000-0000-4000-8000-000000000000"
PASSWORD = "correct horse"
# What each request needs to be understood, so that it is refused for whose conversation it asks, and for nothing else.
BODIES = {
    "conversations.send": {"text": "Hi", "id": "m1"},
    "conversations.retry": {"reply_id": "r1"},
    "conversations.change": {"title": "mine"},
}
HOSTILE_IDS = [
    "x", "*", "{b00}", "..%2F..%2Fetc", "%00", "%0d%0a", "ä", "x" * 2000, f"{{{NOBODYS}}}", NOBODYS.replace("-", ""),
    NOBODYS.upper()[:-1] + "A", f"{NOBODYS}:run", "$.messages", "%ff",
]  # fmt: skip


def rules(config: Config) -> list[Rule]:
    """Every route there is, so that a new one is held to the same without being named here."""
    app = create_app(config, Store(config))
    return [rule for rule in app.url_map.iter_rules() if rule.endpoint != "static"]


ALL = rules(Config())
OF_A_CONVERSATION = [rule for rule in ALL if "conversation_id" in rule.arguments and rule.rule.startswith("/api/")]
SOCKETS = [rule for rule in ALL if rule.websocket]
UNSAFE = [(rule, method) for rule in ALL for method in sorted((rule.methods or set()) - {"GET", "HEAD", "OPTIONS"})]
named: Any = {"ids": lambda value: value.rule if isinstance(value, Rule) else None}


def address(server: str) -> str:
    """Where the server's sockets are."""
    return server.replace("http", "ws", 1)


def address_of(rule: Rule, conversation_id: str) -> str:
    """The rule's address for this conversation, and for some other things where it names those."""
    there = rule.rule.replace("<conversation_id>", conversation_id).replace("<message_id>", "m1")
    return re.sub(r"<[^>]*>", "x", there)


def test_the_tests_that_the_page_names_exist() -> None:
    there = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    named = re.findall(r"`(test_\w+)(\.py)?`", (ROOT / "docs" / "security.md").read_text())
    for name, file in named:
        assert (ROOT / "tests" / f"{name}.py").exists() if file else f"def {name}(" in there, name
    assert len(named) > 20


# --- whose a conversation is ---


def answers(client: FlaskClient, rule: Rule, conversation_id: str) -> list[Any]:
    """What a client is told of a conversation by one route: with each of its methods, and of each kind."""
    told = []
    for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
        for accept in ("application/json", "text/event-stream"):
            answer = client.open(
                address_of(rule, conversation_id), method=method, json=BODIES.get(rule.endpoint),
                headers={"Accept": accept},
            )  # fmt: skip
            # Each request has an id of its own.
            headers = [header for header in answer.headers.to_wsgi_list() if header[0] != "X-Request-ID"]
            told.append((answer.status_code, headers, answer.data))
    return told


@pytest.mark.parametrize("rule", [rule for rule in OF_A_CONVERSATION if not rule.websocket], **named)
@pytest.mark.parametrize("stranger", ["an account", "a guest"])
def test_anothers_conversation_is_as_one_that_never_was(app: Flask, rule: Rule, stranger: str) -> None:
    ada, other = app.test_client(), app.test_client()
    ada.post("/api/accounts", json={"name": "ada", "password": PASSWORD})
    if stranger == "an account":
        other.post("/api/accounts", json={"name": "eve", "password": PASSWORD})
    hers = ada.post("/api/conversations").json["id"]  # type: ignore[index]
    ada.post(f"/api/conversations/{hers}/messages", json={"text": "Hi", "id": "m1"})
    before = ada.get(f"/api/conversations/{hers}").json
    told = answers(other, rule, hers)
    assert {status for status, _, _ in told} == {404} and told == answers(other, rule, NOBODYS)
    assert other.get(f"/refresh_token?token={hers}").data == other.get(f"/refresh_token?token={NOBODYS}").data
    assert ada.get(f"/api/conversations/{hers}").json == before


# Sockets that name no conversation are left out: such a name is the account's own (test_channels.py).
@pytest.mark.parametrize("rule", [rule for rule in SOCKETS if "name" not in rule.arguments], **named)
def test_anothers_conversation_gets_no_socket(server: str, store: Store, rule: Rule) -> None:
    hers = Conversation.create(store, owner="ada")
    hers.accept("Hi", "m1")
    closings = []
    for conversation_id in (hers.id, NOBODYS):
        there = address_of(rule, conversation_id)
        with connect(f"{address(server)}{there}?token={conversation_id}") as ws, pytest.raises(Closed) as closed:
            ws.recv(timeout=10)
        assert closed.value.rcvd
        closings.append((closed.value.rcvd.code, closed.value.rcvd.reason))
    assert closings[0] == closings[1] and closings[0][0] == 1008


@pytest.mark.parametrize("hostile", HOSTILE_IDS)
def test_no_id_reaches_a_key_before_it_is_parsed(config: Config, tmp_path: Any, hostile: str) -> None:
    # Redis is away: whatever asks it gets 503.
    client = create_app(replace(config, redis_url=f"unix://{tmp_path}/nobody")).test_client()
    for rule in OF_A_CONVERSATION:
        assert rule.websocket or {status for status, _, _ in answers(client, rule, hostile)} == {404}
    assert client.get(f"/refresh_token?token={hostile}").status_code == 400
    assert client.get(f"/api/conversations/{NOBODYS}").status_code == 503


# --- pages of other sites ---


FOREIGN = [
    "https://evil.example", "null", "", f"{SITE}.evil.example", f"{SITE}:444", "http://friend.example", f"{SITE}/",
    "https://FRIEND.example", "https://sub.friend.example", "https://evilfriend.example", "http://localhost:3000",
    "http://localhost.evil.example", "https://friend.example@evil.example", "*",
]  # fmt: skip


@pytest.mark.parametrize(("rule", "method"), UNSAFE, **named)
def test_no_route_changes_anything_for_a_page_of_another_origin(app: Flask, rule: Rule, method: str) -> None:
    for origin in FOREIGN:
        answer = app.test_client().open(address_of(rule, NOBODYS), method=method, headers={"Origin": origin})
        assert answer.status_code == 403, origin
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("rule", SOCKETS, **named)
def test_no_socket_serves_a_page_of_another_origin(server: str, store: Store, rule: Rule) -> None:
    chat = Conversation.create(store)
    there = f"{address(server)}{address_of(rule, chat.id)}?token={chat.id}"
    for origin in ("https://evil.example", "null", f"{server}.evil.example", f"{server}0"):
        with connect(there, additional_headers={"Origin": origin}) as ws, pytest.raises(Closed) as closed:
            ws.recv(timeout=10)
        assert closed.value.rcvd and (closed.value.rcvd.code, "origin" in closed.value.rcvd.reason) == (1008, True)


@pytest.mark.parametrize("origins", [("*",), ("null",), (SITE,), ()])
def test_no_answer_is_for_everybody_and_none_goes_with_cookies(
    config: Config, store: Store, origins: tuple[str, ...]
) -> None:
    client = create_app(replace(config, cors_origins=origins), store).test_client()
    for origin in (SITE, "https://evil.example"):
        for rule in ALL:
            for method in ("OPTIONS", "GET"):
                asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
                with client.open(address_of(rule, NOBODYS), method=method, headers=asked) as answer:
                    assert answer.headers.get("Access-Control-Allow-Origin") in (None, SITE)
                    assert "Access-Control-Allow-Credentials" not in answer.headers
                    assert "Access-Control-Allow-Origin" not in answer.headers or origins == (SITE,)


# --- what a browser may do with our pages ---


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200), ("GET", "/c/x", 200), ("GET", "/docs", 200), ("GET", "/docs/assets/swagger-ui.css", 200),
        ("GET", "/openapi.json", 200), ("GET", "/healthz", 200), ("GET", "/api/config", 200), ("GET", "/test", 200),
        ("GET", "/nowhere", 404), ("GET", "/assets/../../etc/passwd", 404), ("PUT", "/api/me", 405),
        ("GET", "/api/me", 401), ("POST", "/token", 400), ("GET", f"/api/conversations/{NOBODYS}/socket", 400),
        ("POST", "/api/login", 422), ("OPTIONS", "/api/me", 200),
    ],
)  # fmt: skip
def test_every_answer_has_the_strict_headers(server: str, method: str, path: str, status: int) -> None:
    answer = requests.request(method, f"{server}{path}", timeout=10)
    assert answer.status_code == status
    check_headers(answer.headers, docs=path == "/docs")
    assert "Strict-Transport-Security" not in answer.headers
    # gunicorn believes a proxy on this machine.
    secure = requests.request(method, f"{server}{path}", headers={"X-Forwarded-Proto": "https"}, timeout=10)
    (seconds,) = re.findall(r"max-age=(\d+)", secure.headers["Strict-Transport-Security"])
    assert int(seconds) >= 180 * 24 * 3600


def check_headers(headers: Any, docs: bool = False) -> None:
    policy = dict(part.partition(" ")[::2] for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert policy["img-src"] == "'self' data:"
    assert ("'unsafe-inline'" in headers["Content-Security-Policy"]) is docs
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_an_error_of_ours_has_them_too_and_tells_nothing(app: Flask) -> None:
    @app.get("/api/broken")
    def broken() -> None:
        raise RuntimeError("tweety, of /srv/parley/secret.py")

    answer = app.test_client().get("/api/broken")
    assert (answer.status_code, answer.json["code"]) == (500, "internal")  # type: ignore[index]
    check_headers(answer.headers)
    assert not re.search("tweety|secret|RuntimeError|Traceback", answer.text)


def test_what_is_private_is_kept_by_no_cache(app: Flask, store: Store) -> None:
    chat, client = Conversation.create(store), app.test_client()
    for path in (f"/api/conversations/{chat.id}", "/api/me", f"/refresh_token?token={chat.id}"):
        assert client.get(path).headers["Cache-Control"] == "no-store"
    assert client.post("/token?name=Ada").headers["Cache-Control"] == "no-store"


# --- what comes in ---


def test_every_body_and_every_query_refuses_unknown_fields(app: Flask) -> None:
    spec, client = app.test_client().get("/openapi.json").json, app.test_client()
    assert spec
    for path, methods in spec["paths"].items():
        there = path.replace("{conversation_id}", NOBODYS).replace("{message_id}", "m1")
        for method, told in methods.items():
            if method == "parameters":
                continue
            if "requestBody" in told:
                answer = client.open(there, method=method, json={"tweety": 1})
                assert answer.status_code == 422 and answer.json["fields"]["tweety"] == ["Unknown field."], path  # type: ignore[index]
            if any(parameter["in"] == "query" for parameter in told.get("parameters", [])):
                answer = client.open(f"{there}?tweety=1", method=method)
                assert answer.status_code == 422 and answer.json["fields"]["tweety"] == ["Unknown field."], path  # type: ignore[index]


def test_nothing_that_comes_in_chooses_the_model_or_its_address(app: Flask) -> None:
    spec = app.test_client().get("/openapi.json").text
    asked = [rule.arguments for rule in ALL]
    names = set(re.findall(r'"name":\s*"(\w+)"', spec)).union(*asked)
    ins = [name for name in re.findall(r'"(\w+)":\s*{', spec) if re.search("url|prompt|temperature|token", name, re.I)]
    assert not [name for name in names if re.search("url|model|host|prompt|temperature|token", name, re.I)]
    assert ins == []


def test_the_model_is_asked_at_its_own_address_and_nowhere_else(config: Config, model_stub: ModelStub) -> None:
    # It is sent to another address, and would be answered there.
    model_stub.behave("redirect", times=1)
    with pytest.raises(ModelRefused):
        list(Model(replace(config, model_url=model_stub.url)).reply([{"role": "human", "text": "Hi"}], limit_s=10))
    assert len(model_stub.prompts) == 1
