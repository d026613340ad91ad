"""The browser client in a real Chromium, against the real stack. Errors of a page or in its console fail the test."""

import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from model_stub import ModelStub
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from services import Process, wait_for

from chat.conversation import Conversation
from chat.store import Store
from chat.turns import Turn

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()
# What the browser itself writes into the console when a server is away, or answers with an error.
NETWORK = "net::ERR_|Failed to load resource"

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Visit:
    """A browser profile and its pages, and what they complained of."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.complaints: list[str] = []
        context.set_default_timeout(10_000)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)

    def page(self, address: str) -> Page:
        page = self.context.new_page()
        page.goto(address)
        return page

    def forgive(self, pattern: str) -> None:
        """Complaints that belong to the test."""
        self.complaints = [text for text in self.complaints if not re.search(pattern, text)]


@pytest.fixture
def start_visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    visits: list[Visit] = []

    def start(**settings: Any) -> Visit:
        visits.append(Visit(browser.new_context(locale="en-GB", **settings)))
        return visits[-1]

    yield start
    for visit in visits:
        visit.context.close()
        assert visit.complaints == []


@pytest.fixture
def visit(start_visit: Callable[..., Visit]) -> Visit:
    return start_visit()


def send(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def conversation(page: Page, store: Store) -> Conversation:
    page.wait_for_url("**/c/*")
    return Conversation(store, page.url.rsplit("/", 1)[1])


def begin(store: Store, chat: Conversation) -> Turn:
    return wait_for(lambda: Turn.begin(store, chat.id))


def messages(page: Page, who: str) -> Any:
    """The articles of "You" or "Parley"."""
    return page.get_by_role("article", name=who, exact=True)


def test_a_reply_grows_and_survives_a_reload(server: str, store: Store, visit: Visit) -> None:
    page = visit.page(server)
    expect(page.get_by_text("A tiny demo model is answering")).to_be_visible()
    send(page, "Hi <b>there</b>")
    expect(messages(page, "You")).to_contain_text("Hi <b>there</b>")
    expect(page.get_by_label("Message", exact=True)).to_have_value("")
    chat = conversation(page, store)
    expect(page.get_by_text("Waiting", exact=True)).to_be_visible()
    turn = begin(store, chat)
    turn.emit("Hello 😀, ")
    expect(messages(page, "Parley")).to_have_text("Hello 😀,")
    page.reload()
    expect(messages(page, "Parley")).to_have_text("Hello 😀,")
    turn.emit("dear **Ada**")
    expect(page.locator("strong")).to_have_text("Ada")
    turn.finish("completed", ".")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    expect(page.locator(".markdown")).to_have_text("Hello 😀, dear Ada.")
    page.reload()
    expect(page.locator(".markdown")).to_have_text("Hello 😀, dear Ada.")
    expect(page.get_by_role("article")).to_have_count(2)


def test_stop_stops_what_runs_and_cancel_withdraws_what_waits(server: str, store: Store, visit: Visit) -> None:
    page = visit.page(server)
    send(page, "one")
    chat = conversation(page, store)
    turn = begin(store, chat)
    turn.emit("Half a")
    send(page, "two")
    expect(page.get_by_text("Waiting, number 2 in line")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Waiting")).to_be_hidden()
    # What was taken back is there to be mended.
    expect(page.get_by_label("Message", exact=True)).to_have_value("two")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopping …")).to_be_visible()
    wait_for(lambda: not turn.emit(""))
    turn.finish("stopped")
    expect(page.get_by_text("Stopped before the end.")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    begin(store, chat).finish("completed", "A whole one")
    expect(page.locator(".markdown")).to_have_text("A whole one")


def test_a_failed_reply_says_why_and_can_be_tried_again(server: str, store: Store, visit: Visit) -> None:
    page = visit.page(server)
    send(page, "Hi")
    chat = conversation(page, store)
    begin(store, chat).finish("failed", "He", code="model_broke", detail="The model broke off.", retryable=True)
    expect(messages(page, "Parley")).to_contain_text("The model broke off.")
    page.get_by_role("button", name="Try again").click()
    expect(messages(page, "Parley")).to_have_count(0)
    begin(store, chat).finish("completed", "Hello")
    page.get_by_role("button", name="Answer again").click()
    expect(messages(page, "Parley")).to_have_count(0)
    begin(store, chat).finish("completed", "Hello again")
    expect(page.locator(".markdown")).to_have_text("Hello again")
    page.get_by_role("button", name="Timing").click()
    expect(page.get_by_text("Waited")).to_be_visible()


def test_a_message_that_is_refused_says_why_and_can_be_mended(server: str, store: Store, visit: Visit) -> None:
    page = visit.page(server)
    box = page.get_by_label("Message", exact=True)
    box.fill("x" * 4001)
    expect(page.get_by_text("1 too many")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    box.fill("x" * 3990)
    expect(page.get_by_text("10 left")).to_be_visible()
    send(page, "a\x07b")
    expect(page.get_by_text("Not sent. It must not contain control characters.")).to_be_visible()
    page.get_by_role("button", name="Edit").click()
    expect(box).to_have_value("a\x07b")
    expect(page.get_by_text("Not sent.")).to_be_hidden()
    visit.forgive(NETWORK)


def test_it_goes_on_after_a_restart_of_the_server(
    start_web: Callable[..., tuple[str, Process]], store: Store, visit: Visit
) -> None:
    server, process = start_web()
    page = visit.page(server)
    send(page, "Hi")
    chat = conversation(page, store)
    turn = begin(store, chat)
    turn.emit("So ")
    expect(messages(page, "Parley")).to_have_text("So")
    process.end()
    expect(page.get_by_text("Reconnecting")).to_be_visible()
    turn.emit("far")
    # What is written meanwhile goes out when somebody answers again.
    send(page, "And then?")
    expect(page.get_by_text("Sending …")).to_be_visible()
    start_web(PORT=server.rsplit(":", 1)[1])
    turn.emit(", so good")
    expect(messages(page, "Parley")).to_have_text("So far, so good")
    expect(page.get_by_text("Connected")).to_be_visible()
    turn.finish("completed")
    begin(store, chat).finish("completed", "Then all was well.")
    expect(page.locator(".markdown")).to_have_text(["So far, so good", "Then all was well."])
    visit.forgive(NETWORK)


def test_the_end_of_a_conversation_is_told_and_the_draft_comes_along(server: str, store: Store, visit: Visit) -> None:
    page = visit.page(server)
    send(page, "Hi")
    chat = conversation(page, store)
    page.get_by_label("Message", exact=True).fill("And now")
    expect(page.get_by_text("Waiting", exact=True)).to_be_visible()
    chat.delete()
    expect(page.get_by_role("alert")).to_contain_text("This conversation has ended")
    page.get_by_role("button", name="Start a new chat").click()
    expect(page.get_by_label("Message", exact=True)).to_have_value("And now")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/c/" in url and chat.id not in url)
    expect(messages(page, "You")).to_have_count(1)


def test_an_unknown_conversation_in_the_address_is_told(server: str, store: Store, visit: Visit) -> None:
    page = visit.page(f"{server}/c/00000000-0000-4000-8000-000000000000")
    expect(page.get_by_role("alert")).to_contain_text("This conversation has ended")
    visit.forgive(NETWORK)


def test_a_killed_worker_is_told_of_and_replaced(
    server: str, store: Store, start_worker: Callable[..., Process], model_stub: ModelStub, visit: Visit
) -> None:
    model_stub.say("This is the whole reply.")
    model_stub.hold_after(2)
    worker = start_worker(MODEL_URL=model_stub.url)
    page = visit.page(server)
    send(page, "Hi")
    expect(messages(page, "Parley")).to_contain_text("This")
    worker.end(9)
    start_worker(MODEL_URL=model_stub.url)
    expect(page.get_by_text("The reply was interrupted and has begun again.")).to_be_visible(timeout=20_000)
    model_stub.release()
    expect(page.locator(".markdown")).to_have_text("This is the whole reply.")
    expect(messages(page, "Parley")).to_have_count(1)


def test_the_documentation_shows_the_routes_without_breaking_its_policy(
    server: str, store: Store, visit: Visit
) -> None:
    requests: list[Any] = []
    visit.context.on("request", lambda request: requests.append(request))
    page = visit.page(f"{server}/docs")
    expect(page.get_by_text("/api/conversations/{conversation_id}/messages", exact=True).first).to_be_visible()
    assert all(request.url.startswith((server, "data:")) for request in requests)
