"""A browser for tests, and how a person finds their way around the client in it."""

import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright
from services import PATIENCE_S, wait_for

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

expect.set_options(timeout=PATIENCE_S * 1000)
NEEDED = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")]


@pytest.fixture(scope="session")
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
        self._forgiven: list[str] = []
        context.set_default_timeout(PATIENCE_S * 1000)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)

    def page(self, address: str) -> Page:
        page = self.context.new_page()
        page.goto(address)
        return page

    def forgive(self, pattern: str) -> None:
        """Complaints that belong to the test, also those that are still under way."""
        self._forgiven.append(pattern)

    def unforgiven(self) -> list[str]:
        return [text for text in self.complaints if not any(re.search(pattern, text) for pattern in self._forgiven)]


@pytest.fixture
def start_visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    visits: list[Visit] = []

    def start(**settings: Any) -> Visit:
        visits.append(Visit(browser.new_context(locale="en-GB", **settings)))
        return visits[-1]

    yield start
    for visit in visits:
        visit.context.close()
        assert visit.unforgiven() == []


@pytest.fixture
def visit(start_visit: Callable[..., Visit]) -> Visit:
    return start_visit()


def box(page: Page) -> Locator:
    """Where messages are written."""
    return page.get_by_label("Message", exact=True)


def send(page: Page, text: str) -> None:
    box(page).fill(text)
    page.keyboard.press("Enter")


def conversation(page: Page, store: Store) -> Conversation:
    page.wait_for_url("**/c/*")
    return Conversation(store, page.url.rsplit("/", 1)[1])


def begin(store: Store, chat: Conversation) -> Turn:
    return wait_for(lambda: Turn.begin(store, chat.id))


def ask(page: Page, store: Store, text: str, so_far: str) -> Turn:
    """Send the first message of a chat, and write the beginning of its reply."""
    send(page, text)
    turn = begin(store, conversation(page, store))
    turn.emit(so_far)
    return turn


def messages(page: Page, who: str) -> Locator:
    """The articles of "You" or "Parley"."""
    return page.get_by_role("article", name=who, exact=True)
