"""The plain page at / in a real Chromium, and the documentation. Errors of a page or in its console fail the test."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from model_stub import ModelStub
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright
from services import Process, wait_for

from chat.conversation import Conversation
from chat.store import Store
from chat.turns import Turn

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(10_000)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.complaints = complaints  # type: ignore[attr-defined]
    yield page
    context.close()
    assert complaints == []


def send(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.keyboard.press("Enter")


def conversation(page: Page, store: Store) -> Conversation:
    page.wait_for_url("**/#*")
    return Conversation(store, page.url.split("#")[1])


def begin(store: Store, chat: Conversation) -> Turn:
    return wait_for(lambda: Turn.begin(store, chat.id))


def texts(page: Page) -> list[str]:
    return page.locator(".message .text").all_inner_texts()


def test_a_chat_grows_and_survives_a_reload(server: str, store: Store, page: Page) -> None:
    page.goto(server)
    expect(page.get_by_text("A tiny GPT-J answers here")).to_be_visible()
    send(page, "Hi <b>there</b>")
    expect(page.get_by_text("waiting")).to_be_visible()
    expect(page.get_by_label("Message")).to_have_value("")
    chat = conversation(page, store)
    turn = begin(store, chat)
    turn.emit("Hello 😀, ")
    expect(page.locator(".bot.running .text")).to_have_text("Hello 😀, ")
    page.reload()
    expect(page.locator(".bot.running .text")).to_have_text("Hello 😀, ")
    turn.emit("dear <i>Ada</i>")
    expect(page.locator(".bot .text")).to_have_text("Hello 😀, dear <i>Ada</i>")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    turn.finish("completed", ".")
    expect(page.locator(".bot.completed .text")).to_have_text("Hello 😀, dear <i>Ada</i>.")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    page.reload()
    expect(page.locator(".message")).to_have_count(2)
    assert texts(page) == ["Hi <b>there</b>", "Hello 😀, dear <i>Ada</i>."]


def test_stop_stops_what_runs_and_withdraws_what_waits(server: str, store: Store, page: Page) -> None:
    page.goto(server)
    send(page, "one")
    chat = conversation(page, store)
    turn = begin(store, chat)
    turn.emit("Half a")
    expect(page.locator(".bot.running")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    wait_for(lambda: not turn.emit(""))
    turn.finish("stopped")
    expect(page.locator(".bot.stopped .state")).to_contain_text("stopped")
    send(page, "two")
    expect(page.get_by_text("waiting")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("withdrawn")).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()


def test_a_failed_reply_says_why_and_can_be_tried_again(server: str, store: Store, page: Page) -> None:
    page.goto(server)
    send(page, "Hi")
    chat = conversation(page, store)
    begin(store, chat).finish("failed", "He", code="model_broke", detail="The model broke off.", retryable=True)
    expect(page.locator(".bot.failed .state")).to_contain_text("The model broke off.")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".bot")).to_have_count(0)
    begin(store, chat).finish("completed", "Hello")
    expect(page.locator(".bot.completed .text")).to_have_text("Hello")
    assert texts(page) == ["Hi", "Hello"]


def test_a_message_that_is_refused_stays_in_the_box(server: str, store: Store, page: Page) -> None:
    page.goto(server)
    send(page, "x" * 4001)
    expect(page.get_by_role("status")).to_contain_text("at most 4000 characters")
    expect(page.get_by_label("Message")).to_have_value("x" * 4001)
    page.complaints.clear()  # type: ignore[attr-defined]  # the browser itself reports a 422


@pytest.mark.slow
def test_it_goes_on_after_a_restart_of_the_server(
    start_web: Callable[..., tuple[str, Process]], store: Store, page: Page
) -> None:
    server, process = start_web()
    page.goto(server)
    send(page, "Hi")
    chat = conversation(page, store)
    turn = begin(store, chat)
    turn.emit("So ")
    expect(page.locator(".bot.running .text")).to_have_text("So ")
    process.end()
    turn.emit("far")
    start_web(PORT=server.rsplit(":", 1)[1])
    turn.emit(", so good")
    expect(page.locator(".bot .text")).to_have_text("So far, so good")
    turn.finish("completed")
    expect(page.locator(".bot.completed .text")).to_have_text("So far, so good")
    page.complaints.clear()  # type: ignore[attr-defined]  # the browser itself reports refused connections


def test_the_end_of_a_conversation_is_told_and_the_next_message_begins_a_new_one(
    server: str, store: Store, page: Page
) -> None:
    page.goto(server)
    send(page, "Hi")
    chat = conversation(page, store)
    expect(page.get_by_text("waiting")).to_be_visible()
    chat.delete()
    expect(page.get_by_role("status")).to_contain_text("This conversation has ended")
    send(page, "Hi again")
    page.wait_for_url(lambda url: "#" in url and chat.id not in url)
    expect(page.locator(".message")).to_have_count(1)
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".message")).to_have_count(0)
    assert "#" not in page.url


def test_an_unknown_conversation_in_the_address_is_told(server: str, store: Store, page: Page) -> None:
    page.goto(f"{server}/#00000000-0000-4000-8000-000000000000")
    expect(page.get_by_role("status")).to_contain_text("This conversation has ended")
    page.complaints.clear()  # type: ignore[attr-defined]  # the browser itself reports a 404


def test_the_documentation_shows_the_routes_without_breaking_its_policy(server: str, store: Store, page: Page) -> None:
    requests: list[Any] = []
    page.on("request", lambda request: requests.append(request))
    page.goto(f"{server}/docs")
    expect(page.get_by_text("/api/conversations/{conversation_id}/messages", exact=True).first).to_be_visible()
    assert all(request.url.startswith((server, "data:")) for request in requests)


JOIN = """
([address, after]) => new Promise((resolve, reject) => {
  const source = new EventSource(`${address}?after=${after}`);
  let text = "", holes = 0;
  source.addEventListener("delta", (event) => {
    const delta = JSON.parse(event.data);
    holes += delta.offset !== text.length;
    text += delta.text;
  });
  source.addEventListener("completed", (event) => {
    source.close();
    resolve({ text, holes, whole: JSON.parse(event.data).message.text });
  });
})
"""


def test_offsets_count_as_javascript_does(
    server: str, store: Store, page: Page, model_stub: ModelStub, start_worker: Callable[..., Process]
) -> None:
    odd = "An emoji 😀, 한국어, and a family 👨‍👩‍👧: all whole."
    model_stub.say(odd, delay_s=0.015, piece_chars=2)
    start_worker(MODEL_URL=model_stub.url)
    chat = Conversation.create(store)
    start = chat.snapshot()["position"]
    page.goto(server)
    chat.accept("Hi")
    joined = page.evaluate(JOIN, [f"/api/conversations/{chat.id}/events", start])
    assert joined == {"text": odd, "holes": 0, "whole": odd}


def test_a_message_whose_answer_was_lost_is_not_doubled(server: str, store: Store, page: Page) -> None:
    page.goto(server)
    lost = []

    def lose_the_first(route: Route) -> None:
        if lost:
            return route.continue_()
        lost.append(route.fetch())
        return route.abort()

    page.route("**/messages", lose_the_first)
    send(page, "Only once")
    expect(page.locator("#notice")).to_be_visible()
    assert lost
    expect(page.get_by_label("Message")).to_have_value("Only once")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Message")).to_have_value("")
    assert len(conversation(page, store).snapshot()["pending"]) == 1
    page.complaints.clear()  # type: ignore[attr-defined] -- the request that failed
