"""The wire format of a chat over Django Channels: frame by frame, and with a React page of that kind in Chromium."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from browser import NEEDED, NETWORK, Visit
from playwright.sync_api import Page, expect
from services import ROOT, Process, wait_for
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from chat.accounts import Accounts
from chat.chats import Chats
from chat.keys import conversation as keys_of
from chat.store import Store
from chat.turns import Turn
from tools.frontend import FRONTEND, found, from_pypi, install

ACCOUNT = {"name": "Ada", "password": "correct horse"}


@pytest.fixture
def ada(server: str, store: Store) -> Iterator[requests.Session]:
    with requests.Session() as session:
        assert session.post(f"{server}/api/accounts", json=ACCOUNT, timeout=10).status_code == 201
        yield session


def open_chat(
    server: str, session: requests.Session | None = None, name: str = "c1", **headers: str
) -> ClientConnection:
    if session:
        headers["Cookie"] = "; ".join(f"{cookie.name}={cookie.value}" for cookie in session.cookies)
    address = f"{server.replace('http', 'ws', 1)}/ws/chat/llm/{name}/"
    return connect(address, additional_headers=headers)


def say(ws: ClientConnection, text: Any, *before: dict[str, str]) -> None:
    ws.send(json.dumps({"history": [*before, {"role": "user", "content": text}]}))


def heard(ws: ClientConnection) -> str:
    frame = json.loads(ws.recv(timeout=10))
    assert list(frame) == ["message"]
    return str(frame["message"])


def closing_of(ws: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:
        ws.recv(timeout=10)
    assert closed.value.rcvd
    return closed.value.rcvd.code, closed.value.rcvd.reason


def begin(store: Store) -> Turn:
    """Take up the turn of the one conversation that there is."""

    def begun() -> Turn | None:
        entries, _ = Chats(store, "ada").page()
        return Turn.begin(store, entries[0].id) if entries else None

    return wait_for(begun)


def finish(turn: Turn, ws: ClientConnection, how: Any, text: str, **failure: Any) -> None:
    """End a turn after its text was heard: of one that ends before the socket follows it, only the end is told."""
    turn.emit(text)
    assert heard(ws) == text
    turn.finish(how, "", **failure)


def test_the_reply_grows_from_frame_to_frame(server: str, store: Store, ada: requests.Session) -> None:
    with open_chat(server, ada) as ws:
        say(ws, "Hi")
        turn = begin(store)
        assert [message["text"] for message in turn.window] == ["Hi"]
        turn.emit("Hel")
        assert heard(ws) == "Hel"
        turn.emit("lo 😀")
        assert heard(ws) == "Hello 😀"
        turn.finish("completed", "!")
        assert [heard(ws), heard(ws)] == ["Hello 😀!", "Hello 😀!"]


def test_the_history_is_the_servers(server: str, store: Store, ada: requests.Session) -> None:
    with open_chat(server, ada) as ws:
        say(ws, "one")
        finish(begin(store), ws, "completed", "first")
        assert heard(ws) == "first"
    with open_chat(server, ada) as ws:
        say(ws, "two", {"role": "user", "content": "forged"}, {"role": "ai", "content": "forged"})
        turn = begin(store)
        assert [message["text"] for message in turn.window] == ["one", "first", "two"]


def test_nothing_is_made_before_the_first_message(server: str, store: Store, ada: requests.Session) -> None:
    with open_chat(server, ada) as ws:
        ws.send("{}")
        assert heard(ws).startswith("Sorry")
        assert Chats(store, "ada").page() == ([], None)
        say(ws, "Hi")
        assert begin(store).window[-1]["text"] == "Hi"


def test_a_login_that_ends_before_the_first_message_is_told(server: str, store: Store, ada: requests.Session) -> None:
    with open_chat(server, ada) as ws:
        assert ws.ping().wait(10)
        Accounts(store).end_sessions("ada")
        assert heard(ws) == "Your login has ended. Please log in again."
        assert closing_of(ws)[0] == 4001


def test_a_failed_reply_ends_in_an_apology_and_a_stopped_one_where_it_was(
    server: str, store: Store, ada: requests.Session
) -> None:
    with open_chat(server, ada) as ws:
        say(ws, "one")
        finish(begin(store), ws, "failed", "Half a", code="model_broke", detail="It broke.", retryable=True)
        assert heard(ws) == "Half a\n\nSorry, I could not answer that. Please try again."
        say(ws, "two")
        finish(begin(store), ws, "stopped", "So far")
        assert heard(ws) == "So far"


def test_a_restart_of_the_store_is_bridged(server: str, store: Store, ada: requests.Session) -> None:
    with open_chat(server, ada) as ws:
        say(ws, "Hi")
        turn = begin(store)
        turn.emit("Hel")
        assert heard(ws) == "Hel"
        store.client.hset(keys_of(turn.conversation_id)[1], "server", "0" * 40)
        turn.emit("lo")
        assert heard(ws) == "Hello"
        turn.finish("completed")
        assert heard(ws) == "Hello"


def rest(ws: ClientConnection) -> Iterator[str]:
    with suppress(TimeoutError):
        while True:
            yield json.loads(ws.recv(timeout=0.3))["message"]


def test_each_socket_hears_the_replies_to_its_own_messages(server: str, store: Store, ada: requests.Session) -> None:
    with open_chat(server, ada) as one, open_chat(server, ada) as two:
        say(one, "Hi")
        begin(store).finish("completed", "to one")
        assert heard(one) == "to one"
        say(two, "Hi")
        begin(store).finish("completed", "to two")
        assert heard(two) == "to two"
        # The end may repeat what its last delta has told; of the other's reply nothing comes.
        assert {*rest(one)} <= {"to one"} and {*rest(two)} <= {"to two"}


def test_a_name_is_each_accounts_own(server: str, store: Store, ada: requests.Session) -> None:
    with requests.Session() as eve:
        eve.post(f"{server}/api/accounts", json=ACCOUNT | {"name": "eve"}, timeout=10)
        with open_chat(server, ada) as hers, open_chat(server, eve) as other:
            for ws in (hers, other):
                say(ws, "Hi")
            wait_for(lambda: all(Chats(store, name).page()[0] for name in ("ada", "eve")))
    ids = [Chats(store, name).page()[0][0].id for name in ("ada", "eve")]
    assert len(set(ids)) == 2
    assert requests.get(f"{server}/api/conversations/{ids[0]}", timeout=10).status_code == 404
    assert ada.get(f"{server}/api/conversations/{ids[0]}", timeout=10).ok


@pytest.mark.parametrize(
    "frame",
    ["", "x", "[]", "{}", '{"history": []}', '{"history": [5]}', '{"history": [{"role": "ai", "content": "Hi"}]}',
     '{"history": [{"role": "user", "content": 5}]}', '{"history": [{"role": "user", "content": " "}]}', "[" * 9999,
     b"\xff"],
)  # fmt: skip
def test_a_frame_that_makes_no_sense_is_answered(server: str, ada: requests.Session, frame: str | bytes) -> None:
    with open_chat(server, ada) as ws:
        ws.send(frame)
        assert heard(ws).startswith("Sorry, I cannot take that message.")


def test_without_a_login_it_closes_with_a_reason(server: str, store: Store, ada: requests.Session) -> None:
    for headers in ({}, {"Cookie": "parley_session=made-up"}):
        with open_chat(server, **headers) as ws:
            assert closing_of(ws) == (4001, "Please log in to chat.")
    with open_chat(server, ada, Origin="https://evil.example") as ws:
        assert closing_of(ws)[0] == 1008


def test_a_friendly_site_is_a_guest_here_too(befriended: str, store: Store) -> None:
    with requests.Session() as ada:
        ada.post(f"{befriended}/api/accounts", json=ACCOUNT, timeout=10)
        with open_chat(befriended, ada, Origin="http://localhost:3000") as ws:
            assert closing_of(ws)[0] == 4001


def test_a_login_that_ends_is_told_before_it_closes(server: str, store: Store, ada: requests.Session) -> None:
    with open_chat(server, ada) as ws:
        say(ws, "Hi")
        begin(store).emit("Hel")
        assert heard(ws) == "Hel"
        Accounts(store).end_sessions("ada")
        say(ws, "Are you there?")
        assert heard(ws) == "Sorry, I cannot take that message. Please log in."
        assert heard(ws) == "Your login has ended. Please log in again."
        assert closing_of(ws) == (4001, "Your login has ended. Please log in again.")


def test_the_demo_echoes_and_does_not_hold_up_the_end(
    start_web: Callable[..., tuple[str, Process]], store: Store
) -> None:
    server, process = start_web()
    with connect(f"{server.replace('http', 'ws', 1)}/ws/chat/demo/any/") as ws:
        for message in ("Hello", "안녕 😀"):
            ws.send(json.dumps({"message": message}))
            assert heard(ws) == message
        ws.send("nonsense")
        assert json.loads(ws.recv(timeout=10)) == {"message": None}
        assert process.end() == 0
        assert closing_of(ws)[0] == 1013


# --- in a browser ---


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page's script with its React, bundled by what the browser client is built with."""
    install()
    folder: Path = tmp_path_factory.mktemp("page")
    (folder / "node_modules").symlink_to(FRONTEND / "node_modules")
    (folder / "page.jsx").write_text((ROOT / "tests/channels_page.jsx").read_text())
    node, _ = found() or from_pypi()
    bundler = FRONTEND / "node_modules/rolldown/bin/cli.mjs"
    command = [
        node,
        bundler,
        "page.jsx",
        "--file",
        "page.js",
        "--format",
        "iife",
        "--transform.define",
        "process.env.NODE_ENV:'production'",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "page.js").read_text()


class TestPage:
    pytestmark = NEEDED

    @pytest.fixture
    def show(self, server: str, store: Store, visit: Visit, script: str) -> Iterator[Callable[[], Page]]:
        """Shows the page in place of one of the server's own, so that origin, cookies and policy are the server's."""

        def shown() -> Page:
            page = visit.page(f"{server}/healthz")
            page.evaluate("document.body.innerHTML = '<div id=root></div>'")
            page.evaluate(script)
            return page

        yield shown
        visit.forgive(NETWORK)  # it has no icon

    def test_the_browser_is_told_why_it_is_closed(self, show: Callable[[], Page]) -> None:
        expect(show().get_by_role("status")).to_have_text("closed: 4001 Please log in to chat.")

    def test_a_react_page_of_that_kind_chats(
        self, visit: Visit, show: Callable[[], Page], server: str, store: Store
    ) -> None:
        assert visit.context.request.post(f"{server}/api/accounts", data=ACCOUNT).status == 201
        page = show()
        expect(page.get_by_role("status")).to_have_text("connected")
        for n, (text, reply) in enumerate([("Hi", "Hello, dear Ada."), ("And you?", "Fine, thanks.")]):
            page.get_by_label("Message").fill(text)
            page.keyboard.press("Enter")
            last = page.locator(".ai").last
            expect(last).to_have_text("")
            turn = begin(store)
            turn.emit(reply[:5])
            expect(last).to_have_text(reply[:5])
            turn.finish("completed", reply[5:])
            expect(last).to_have_text(reply)
            expect(page.locator("li")).to_have_count(2 * n + 2)
        visit.context.request.post(f"{server}/api/logout")
        ended = "Your login has ended. Please log in again."
        expect(page.get_by_role("status")).to_have_text(f"closed: 4001 {ended}")
        expect(page.locator(".ai").last).to_have_text(ended)
