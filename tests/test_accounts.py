"""Accounts and sessions: each property of their safety has a test that fails without it."""

import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
import requests
from conftest import SITE
from flask import Flask
from flask.testing import FlaskClient
from services import ROOT, python, wait_for
from transports import lines_to_events
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from app import create_app
from chat import keys, passwords
from chat.accounts import AT_NAME_MAX, ATTEMPTS_MAX, ATTEMPTS_S, Accounts
from chat.config import Config
from chat.conversation import Conversation
from chat.errors import StoreUnavailable
from chat.rates import count
from chat.sessions import Login, Sessions
from chat.store import Store
from chat.turns import Turn

COOKIE = "parley_session"
PASSWORD = "correct horse"
Make = Callable[..., FlaskClient]


@pytest.fixture
def make(app: Flask) -> Make:
    """Another browser, with a cookie jar of its own; with a name it signs up."""

    def made(name: str = "") -> FlaskClient:
        client = app.test_client()
        if name:
            assert client.post("/api/accounts", json={"name": name, "password": PASSWORD}).status_code == 201
        return client

    return made


def log_in(client: FlaskClient, name: str, password: str = PASSWORD, **more: Any) -> Any:
    return client.post("/api/login", json={"name": name, "password": password}, **more)


def logged_in(client: FlaskClient) -> bool:
    answer = client.get("/api/me")
    assert answer.status_code == 200 or (answer.json and answer.json["code"] == "login_required")
    return answer.status_code == 200


def copy_of(make: Make, client: FlaskClient) -> FlaskClient:
    """A browser into which somebody has copied the cookie of another."""
    thief = make()
    thief.set_cookie(COOKIE, cookie(client))
    return thief


def cookie(client: FlaskClient) -> str:
    found = client.get_cookie(COOKIE)
    assert found
    return found.value


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json["code"]


# --- sign up, log in, log out ---


def test_whoever_signs_up_is_logged_in(make: Make) -> None:
    ada = make()
    made = ada.post("/api/accounts", json={"name": "Ada", "password": PASSWORD})
    assert made.status_code == 201 and made.json and made.json["name"] == "Ada"
    assert ada.get("/api/me").json == made.json
    assert ada.post("/api/logout").status_code == 204 and not logged_in(ada)
    again = log_in(ada, "aDA")
    assert again.status_code == 200 and again.json == made.json == ada.get("/api/me").json


def test_nothing_of_an_account_becomes_a_guests_when_its_session_has_ended_unnoticed(make: Make) -> None:
    ada, guest = make("Ada"), make()
    mine = ada.post("/api/conversations", json={"account": "ada"})
    assert mine.status_code == 201
    assert [listed["id"] for listed in ada.get("/api/conversations").json["conversations"]] == [mine.json["id"]]
    for client, named in ((guest, "Ada"), (ada, "Eve")):
        refused = client.post("/api/conversations", json={"account": named})
        assert refused.status_code == 401 and refused.json["code"] == "login_required"


def test_a_conversation_that_is_asked_for_twice_is_one(make: Make) -> None:
    ada, guest, id = make("Ada"), make(), str(uuid4())
    for client in (ada, ada):
        made = client.post("/api/conversations", json={"id": id})
        assert (made.status_code, made.json["id"]) == (201, id)
    assert [listed["id"] for listed in ada.get("/api/conversations").json["conversations"]] == [id]
    # It opens nothing to anybody else, and what could be no id is refused.
    assert code(guest.post("/api/conversations", json={"id": id})) == (404, "conversation_gone")
    assert code(guest.post("/api/conversations", json={"id": "../1"})) == (422, "invalid")
    # A guest's stays a guest's.
    own = guest.post("/api/conversations", json={"id": str(uuid4())}).json["id"]
    ada.post("/api/conversations", json={"id": own})
    assert [listed["id"] for listed in ada.get("/api/conversations").json["conversations"]] == [id]
    assert guest.get(f"/api/conversations/{own}").status_code == 200


def test_the_server_tells_its_own_pages_who_is_here(make: Make) -> None:
    ada = make("Ada")
    for client, headers, name in ((make(), {}, None), (ada, {}, "Ada"), (ada, {"Origin": SITE}, None)):
        answer: Any = client.get("/api/config", headers=headers)
        assert answer.json["account"] == name and answer.headers["Cache-Control"] == "no-store"


def test_a_name_is_taken_however_it_is_spelt(make: Make) -> None:
    make("Ada")
    for name in ("Ada", "ADA", "\uff21da"):
        taken = make().post("/api/accounts", json={"name": name, "password": PASSWORD})
        assert code(taken) == (409, "name_taken")
    assert log_in(make(), "Ada").status_code == 200


@pytest.mark.parametrize("name", ["", "a b", "x" * 41, "a/b", "a\n", "a}b", "*", "a:b", "ada@example.org", 5, None])
def test_names_are_plain(make: Make, name: Any) -> None:
    for route in ("/api/accounts", "/api/login"):
        assert code(make().post(route, json={"name": name, "password": PASSWORD})) == (422, "invalid")


@pytest.mark.parametrize("password", ["short", "x" * 201, 12345678, None])
def test_passwords_have_8_to_200_characters(make: Make, password: Any) -> None:
    refused = make().post("/api/accounts", json={"name": "ada", "password": password})
    assert code(refused) == (422, "invalid") and list(refused.json["fields"]) == ["password"]  # type: ignore[index]


def test_closed_registration_makes_no_account_but_lets_in(config: Config, store: Store) -> None:
    closed = create_app(replace(config, registration="closed"), store).test_client()
    assert code(closed.post("/api/accounts", json={"name": "ada", "password": PASSWORD})) == (
        403,
        "registration_closed",
    )
    assert closed.get("/api/config").json["registration"] == "closed"  # type: ignore[index]
    Accounts(store).create("ada", PASSWORD)
    assert log_in(closed, "ada").status_code == 200


# --- passwords ---


def test_a_password_is_kept_as_argon2id_alone(store: Store) -> None:
    account = Accounts(store).create("ada", PASSWORD)
    assert account.password.startswith("$argon2id$") and PASSWORD not in account.password
    assert passwords.matches(account.password, PASSWORD) and not passwords.matches(account.password, PASSWORD + "x")
    assert PASSWORD not in repr(account) and "argon2" not in repr(account)


def test_a_password_is_the_same_however_it_is_composed(store: Store) -> None:
    account = Accounts(store).create("ada", "caf\u00e9 au lait")
    assert passwords.matches(account.password, "cafe\u0301 au lait")


def test_an_unknown_name_gets_the_answer_and_takes_the_time_of_a_wrong_password(make: Make, store: Store) -> None:
    make("ada")
    client, times, answers = make(), {"ada": [], "nobody": []}, {}
    for n in range(5):
        for name, taken in times.items():
            begun = time.perf_counter()
            wrong = log_in(client, name, "wrong password", environ_base={"REMOTE_ADDR": f"192.0.2.{n}"})
            taken.append(time.perf_counter() - begun)
            assert code(wrong) == (401, "login_failed")
            answers[name] = (wrong.data, sorted(wrong.headers.keys()))
    assert answers["ada"] == answers["nobody"]
    known, unknown = (statistics.median(taken) for taken in times.values())
    # A machine that is busy stops either now and then; without its hash it would take a hundredth.
    assert 0.2 < unknown / known < 5


def test_guessing_is_slowed_down_by_name_and_address(make: Make) -> None:
    make("ada")
    guesser = make()
    for _ in range(ATTEMPTS_MAX):
        assert code(log_in(guesser, "ada", "wrong password")) == (401, "login_failed")
    limited = log_in(guesser, "ADA")
    assert code(limited) == (429, "rate_limited") and 1 <= int(limited.headers["Retry-After"]) <= 300
    # Somebody else, elsewhere, is let in.
    assert log_in(make(), "ada", environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code == 200


def test_guessing_from_many_addresses_is_slowed_down_too(store: Store) -> None:
    for n in range(AT_NAME_MAX):
        count(store, {f"ada|192.0.2.{n}": ATTEMPTS_MAX, "ada|": AT_NAME_MAX}, ATTEMPTS_S)
    client = create_app(store.config, store).test_client()
    assert code(log_in(client, "ada", "wrong password")) == (429, "rate_limited")


def test_an_ipv6_network_counts_as_one_address(make: Make) -> None:
    def guess(address: str) -> int:
        return int(log_in(make(), "ada", "wrong password", environ_base={"REMOTE_ADDR": address}).status_code)

    for n in range(ATTEMPTS_MAX):
        assert guess(f"2001:db8:1:2::{n:x}") == 401
    assert guess("2001:db8:1:2:ffff::1") == 429
    assert guess("2001:db8:1:3::1") == 401
    # Where a socket takes both kinds, the addresses of IPv4 look like these.
    assert [guess("::ffff:192.0.2.1") for _ in range(ATTEMPTS_MAX + 1)][-1] == 429
    assert guess("::ffff:192.0.2.2") == 401


def test_who_knows_the_password_is_never_slowed_down(make: Make) -> None:
    make("ada")
    client = make()
    for _ in range(ATTEMPTS_MAX + 2):
        assert log_in(client, "ada").status_code == 200


def test_the_address_is_the_clients_where_proxies_are_named(config: Config, store: Store) -> None:
    app = create_app(replace(config, proxies=1), store)
    for n in range(ATTEMPTS_MAX + 1):
        headers = {"X-Forwarded-For": f"203.0.113.{n}, 192.0.2.7"}  # the client may write what it likes before the last
        last = log_in(app.test_client(), "ada", "wrong password", headers=headers)
    assert code(last) == (429, "rate_limited")
    other = log_in(app.test_client(), "ada", "wrong password", headers={"X-Forwarded-For": "192.0.2.8"})
    assert code(other) == (401, "login_failed")


# --- sessions ---


def test_the_cookie_is_for_the_server_alone(make: Make, app: Flask) -> None:
    make("ada")
    told = log_in(make(), "ada").headers["Set-Cookie"]
    assert "HttpOnly" in told and "SameSite=Lax" in told and "Path=/" in told and "Secure" not in told
    told = (
        app.test_client()
        .post("/api/login", json={"name": "ada", "password": PASSWORD}, base_url="https://localhost")
        .headers["Set-Cookie"]
    )
    assert "Secure" in told


def test_redis_holds_nothing_that_opens_a_session(make: Make, store: Store) -> None:
    assert cookie(make("ada")) not in dump(store)


def test_a_login_gets_a_new_id_whatever_the_client_brings(make: Make) -> None:
    ada, eve = make("ada"), make("eve")
    planted = cookie(eve)
    for brought in (planted, "chosen-by-eve"):
        victim = make()
        victim.set_cookie(COOKIE, brought)
        assert log_in(victim, "ada").status_code == 200
        assert cookie(victim) != brought
        eve = make()
        eve.set_cookie(COOKIE, brought)
        assert not logged_in(eve)
    assert logged_in(ada)


@pytest.mark.parametrize("how", ["log out", "change the password", "sign out everywhere", "delete"])
def test_a_copied_cookie_is_dead_after(make: Make, how: str) -> None:
    ada = make("ada")
    other = make()
    log_in(other, "ada")
    thief, elsewhere = copy_of(make, ada), copy_of(make, other)
    assert logged_in(thief) and logged_in(elsewhere)
    answer = {
        "log out": lambda: ada.post("/api/logout"),
        "change the password": lambda: ada.post(
            "/api/me/password", json={"password": PASSWORD, "new_password": "a new one"}
        ),
        "sign out everywhere": lambda: ada.delete("/api/me/sessions"),
        "delete": lambda: ada.delete("/api/me", json={"password": PASSWORD}),
    }[how]()
    assert answer.status_code == 204
    assert not logged_in(thief)
    assert logged_in(ada) is (how == "change the password")
    assert logged_in(elsewhere) is logged_in(other) is (how == "log out")


def test_a_changed_password_lets_in_and_the_old_one_no_more(make: Make) -> None:
    ada = make("ada")
    change = {"password": "wrong password", "new_password": "a new one"}
    assert code(ada.post("/api/me/password", json=change)) == (401, "login_failed")
    assert ada.post("/api/me/password", json=change | {"password": PASSWORD}).status_code == 204
    assert log_in(make(), "ada").status_code == 401
    assert log_in(make(), "ada", "a new one").status_code == 200


def test_a_login_under_way_while_the_password_changes_comes_to_nothing(store: Store) -> None:
    accounts, sessions = Accounts(store), Sessions(store)
    before = accounts.create("ada", PASSWORD)
    accounts.set_password("ada", "a new one")
    late = Login("ada", before.generation, "session:late")
    sessions.write(late, "{}")
    assert sessions.read(late.key) is None and not sessions.alive([late])[0]


def test_sessions_that_have_expired_leave_the_index(store: Store) -> None:
    generation, sessions = Accounts(store).create("ada", PASSWORD).generation, Sessions(store)
    for key in ("session:1", "session:2"):
        sessions.write(Login("ada", generation, key), "{}")
    sessions.delete("session:1")
    sessions.write(Login("ada", generation, "session:3"), "{}")
    assert store.client.smembers(keys.account("ada").sessions) == {"session:2", "session:3"}


def test_a_session_ends_some_time_after_its_last_use(make: Make, store: Store) -> None:
    ada = make("ada")
    (key,) = store.client.keys("session:*")
    store.client.expire(key, 60)
    assert logged_in(ada)
    assert 60 < store.client.ttl(key) <= store.config.session_ttl_s
    store.client.pexpire(key, 1)
    wait_for(lambda: not store.client.exists(key))
    assert not logged_in(ada)


def test_a_request_under_way_brings_no_ended_session_back(make: Make, app: Flask, store: Store) -> None:
    ada = make("ada")
    before = cookie(ada)
    begun, cookies = {"parley.begun": time.monotonic()}, {"Cookie": f"{COOKIE}={before}"}
    with ada.application.test_request_context("/api/me", headers=cookies, environ_overrides=begun) as under_way:
        ada.post("/api/logout")
        under_way.app.process_response(app.response_class())
    assert not logged_in(copy_of_value(make, before))


def copy_of_value(make: Make, value: str) -> FlaskClient:
    client = make()
    client.set_cookie(COOKIE, value)
    return client


def test_without_the_store_nobody_is_taken_for_a_guest(config: Config, tmp_path: Any) -> None:
    away = create_app(replace(config, redis_url=f"unix://{tmp_path}/nobody")).test_client()
    away.set_cookie(COOKIE, "x")
    assert code(away.get("/api/me")) == code(away.post("/api/conversations")) == (503, "store_unavailable")
    assert away.get("/healthz").status_code == 200


def test_whoever_has_no_session_is_logged_out_also_without_the_store(config: Config, tmp_path: Any) -> None:
    away = create_app(replace(config, redis_url=f"unix://{tmp_path}/nobody")).test_client()
    assert away.post("/api/logout").status_code == 204


def test_what_is_wrong_in_a_list_is_told_with_its_place(make: Make) -> None:
    new = {"name": "ada", "password": "long enough", "keep": ["x", "x" * 65]}
    refused = make().post("/api/accounts", json=new)
    assert refused.json and refused.json["fields"] == {"keep": {"1": ["Longer than maximum length 64."]}}


class Leaving(Store):
    """A store that goes away before the session is written, which is after the route has answered."""

    def execute_all(self, *commands: tuple[str | int, ...]) -> list[Any]:
        if commands[0][0] == "SADD":
            raise StoreUnavailable()
        return super().execute_all(*commands)


def test_a_login_that_cannot_be_kept_is_none(make: Make, config: Config) -> None:
    make("ada")
    client = create_app(config, Leaving(config)).test_client()
    answer = log_in(client, "ada")
    assert code(answer) == (503, "store_unavailable")
    assert answer.headers["Retry-After"] == "1" and "Set-Cookie" not in answer.headers
    assert not logged_in(client)


# --- pages of other sites ---


FOREIGN = [
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost:3000"},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
]  # fmt: skip


@pytest.mark.parametrize("headers", FOREIGN)
def test_pages_of_other_sites_change_nothing(make: Make, headers: dict[str, str]) -> None:
    ada = make("ada")
    chat = ada.post("/api/conversations").json["id"]  # type: ignore[index]
    send = [
        ada.post("/api/conversations", headers=headers),
        ada.post(f"/api/conversations/{chat}/messages", json={"text": "Hi"}, headers=headers),
        ada.delete(f"/api/conversations/{chat}", headers=headers),
        ada.post("/api/logout", headers=headers),
        ada.delete("/api/me/sessions", headers=headers),
        ada.delete("/api/me", json={"password": PASSWORD}, headers=headers),
        make().post("/api/login", json={"name": "ada", "password": PASSWORD}, headers=headers),
        make().post("/api/accounts", json={"name": "eve", "password": PASSWORD}, headers=headers),
    ]
    assert [code(answer) for answer in send] == [(403, "cross_site")] * len(send)
    assert ada.get(f"/api/conversations/{chat}").status_code == 200


def test_a_friendly_site_uses_it_as_a_guest_whatever_cookie_comes_along(make: Make) -> None:
    ada, friend = make("ada"), {"Origin": SITE, "Sec-Fetch-Site": "cross-site"}
    mine = ada.post("/api/conversations").json["id"]  # type: ignore[index]
    made = ada.post("/api/conversations", headers=friend)
    assert made.status_code == 201 and "Access-Control-Allow-Credentials" not in made.headers
    assert make().get(made.headers["Location"]).status_code == 200
    assert ada.get(f"/api/conversations/{mine}", headers=friend).status_code == 404
    assert ada.get("/api/me", headers=friend).status_code == 401
    assert code(log_in(ada, "ada", headers=friend)) == (403, "cross_site")


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://localhost"}, {"Sec-Fetch-Site": "same-origin"}])
def test_its_own_pages_and_other_programs_may(make: Make, headers: dict[str, str]) -> None:
    assert make("ada").post("/api/logout", headers=headers).status_code == 204


# --- whose a conversation is (test_security.py has more) ---


@pytest.mark.parametrize("way", ["/api/accounts", "/api/login"])
def test_a_guest_keeps_the_conversation_that_it_names(make: Make, store: Store, way: str) -> None:
    guest, eve = make(), make("eve")
    mine = [guest.post("/api/conversations").json["id"] for _ in range(2)]  # type: ignore[index]
    guest.post(f"/api/conversations/{mine[0]}/messages", json={"text": "Remember me"})
    hers = eve.post("/api/conversations").json["id"]  # type: ignore[index]
    if way == "/api/login":
        make("ada")
    keep = [*mine, hers, "nonsense", "00000000-0000-4000-8000-000000000000"]
    assert guest.post(way, json={"name": "ada", "password": PASSWORD, "keep": keep}).status_code in (200, 201)
    listed = guest.get("/api/conversations").json["conversations"]  # type: ignore[index]
    assert [(entry["id"], entry["title"]) for entry in listed] == [(mine[0], "Remember me"), (mine[1], None)]
    assert all(store.client.ttl(key) == -1 for of in mine for key in store.client.keys(f"*:{of}*"))
    assert guest.get(f"/api/conversations/{mine[0]}").status_code == 200
    assert make().get(f"/api/conversations/{mine[0]}").status_code == 404
    assert eve.get(f"/api/conversations/{hers}").status_code == 200


def test_a_turn_that_runs_is_kept_too(make: Make, store: Store) -> None:
    guest = make()
    chat = Conversation(store, guest.post("/api/conversations").json["id"])  # type: ignore[index]
    chat.accept("Hi")
    turn = Turn.begin(store, chat.id)
    assert turn and turn.emit("Hel")
    guest.post("/api/accounts", json={"name": "ada", "password": PASSWORD, "keep": [chat.id]})
    turn.finish("completed", "lo")
    assert guest.get(f"/api/conversations/{chat.id}").json["messages"][-1]["text"] == "Hello"  # type: ignore[index]
    assert all(store.client.ttl(key) == -1 for key in store.client.keys(f"*:{chat.id}*"))


def dump(store: Store) -> str:
    """Every key and every value of the store."""
    found = []
    for key in store.client.scan_iter("*"):
        read = {
            "string": lambda k: store.client.get(k), "hash": lambda k: store.client.hgetall(k),
            "set": lambda k: store.client.smembers(k), "zset": lambda k: store.client.zrange(k, 0, -1),
            "list": lambda k: store.client.lrange(k, 0, -1), "stream": lambda k: store.client.xrange(k),
        }.get(store.client.type(key), lambda k: store.execute("JSON.GET", k))  # fmt: skip
        found.append((key, read(key)))
    return repr(found)


def test_after_its_deletion_nothing_of_an_account_is_left(make: Make, store: Store) -> None:
    canary = "tweety.canary"
    ada, others = make(canary), make("eve")
    kept = make()
    kept_id = kept.post("/api/conversations", json={"name": canary}).json["id"]  # type: ignore[index]
    log_in(ada, canary)
    log_in(make(), canary)
    log_in(make(), canary, "wrong password")
    kept.post("/api/login", json={"name": canary, "password": PASSWORD, "keep": [kept_id]})
    for n in range(25):
        chat = ada.post("/api/conversations", json={"name": canary}).json["id"]  # type: ignore[index]
        ada.post(f"/api/conversations/{chat}/messages", json={"text": f"{canary} {n}", "id": f"canary-{n}"})
    turn = Turn.begin(store, chat)
    assert turn and turn.emit(f"Hello {canary}")
    ada.patch(f"/api/conversations/{chat}", json={"title": canary})
    assert ada.get(f"/api/conversations?q={canary}").json["conversations"]  # type: ignore[index]
    assert canary in dump(store)
    assert code(ada.delete("/api/me", json={"password": "wrong password"})) == (401, "login_failed")
    assert ada.delete("/api/me", json={"password": PASSWORD}).status_code == 204
    left = dump(store)
    assert "canary" not in left and chat not in left and kept_id not in left
    assert logged_in(others)
    make(canary)


def test_a_deletion_that_broke_off_lets_nobody_in_and_can_be_repeated(make: Make, store: Store) -> None:
    ada = make("ada")
    Accounts(store).close("ada")
    assert not logged_in(ada) and log_in(ada, "ada").status_code == 401
    assert make().post("/api/accounts", json={"name": "ada", "password": PASSWORD}).status_code == 409


# --- streams end with their session ---


@pytest.fixture
def browser(server: str, store: Store) -> Iterator[requests.Session]:
    with requests.Session() as session:
        made = session.post(f"{server}/api/accounts", json={"name": "Ada", "password": PASSWORD}, timeout=10)
        assert made.status_code == 201
        yield session


def test_a_stream_ends_with_its_session(server: str, browser: requests.Session) -> None:
    where = f"{server}/api/conversations/{browser.post(f'{server}/api/conversations', timeout=10).json()['id']}"
    stream = browser.get(f"{where}/events", stream=True, timeout=20)
    events = lines_to_events(stream)
    assert next(events)["type"] == "reset"
    cookies = {"Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
    with connect(f"{where.replace('http', 'ws', 1)}/socket", additional_headers=cookies) as ws:
        ws.recv(timeout=20)
        browser.post(f"{server}/api/logout", timeout=10)
        ws.send('{"type": "send", "id": "m1", "text": "Hi"}')
        assert '"login_required"' in str(ws.recv(timeout=20))
        assert [event["type"] for event in events] == ["login"]
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=10)
    assert closed.value.rcvd and (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "Please log in.")


def test_a_guests_stream_ends_when_an_account_takes_the_conversation(server: str, browser: requests.Session) -> None:
    chat = requests.post(f"{server}/api/conversations", timeout=10).json()["id"]
    stream = requests.get(f"{server}/api/conversations/{chat}/events", stream=True, timeout=20)
    events = lines_to_events(stream)
    assert next(events)["type"] == "reset"
    login = {"name": "ada", "password": PASSWORD, "keep": [chat]}
    assert browser.post(f"{server}/api/login", json=login, timeout=10).ok
    assert [event["type"] for event in events] == ["login"]
    assert browser.get(f"{server}/api/conversations/{chat}", timeout=10).ok


def test_hashing_holds_nobody_up() -> None:
    """A hash takes the processor for some 50 ms, in which nothing else would go on in the process's one thread."""
    code = """
from gevent import monkey
monkey.patch_all()
import gevent
from chat import passwords
hashing, ticks = gevent.spawn(lambda: [passwords.hashed("correct horse") for _ in range(5)]), 0
while not hashing.dead:
    gevent.sleep(0.001)
    ticks += 1
print(ticks)
"""
    done = subprocess.run(python("-c", code), cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) > 25
