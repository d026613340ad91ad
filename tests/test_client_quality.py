"""What holds of the whole client: accessible, safe, quick, on a phone, by keyboard, in two languages."""

import gzip
import re
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from browser import NEEDED, Visit, begin, box, conversation, messages, send
from model_stub import ModelStub
from playwright.sync_api import Locator, Page, expect
from services import ROOT, Process

from chat.store import Store

pytestmark = [*NEEDED, pytest.mark.slow]
FIRST_LOAD_MAX_BYTES = 180_000
FRAME_MAX_MS = 50
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
RICH = """Some **bold** words, `code` and a [link](https://example.org).

## A heading

| Engine | Year |
|---|--:|
| Difference | 1822 |

1. one
2. two

> Quoted.

```python
def answer() -> int:
    return 42  # of course
```

- [x] done

![picture](https://evil.example/x.png) <b onclick="alert(1)">raw</b> [bad](javascript:alert(1))
"""


def chat(page: Page, store: Store) -> None:
    """A conversation with one of everything."""
    send(page, "Show me everything")
    found = conversation(page, store)
    begin(store, found).finish("completed", RICH)
    expect(page.locator(".hljs-keyword").first).to_be_visible()
    found.accept("And fail", None)
    begin(store, found).finish("failed", "I", code="model_broke", detail="The model broke off.", retryable=True)
    send(page, "Now write")
    begin(store, found).emit("I am writ")
    send(page, "And wait")
    expect(page.get_by_text("Waiting, number 2 in line")).to_be_visible()


def complaints(page: Page) -> list[str]:
    """What axe finds, of WCAG 2.2 AA and of good practice."""
    # Contrast is of what is shown in the end, not of what is fading in.
    page.evaluate("Promise.all(document.getAnimations().filter(a => a.effect.getTiming().iterations < 99)"
                  ".map(a => a.finished.catch(() => 0)))")  # fmt: skip
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {[node['html'][:120] for node in one['nodes']]}" for one in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(server: str, store: Store, start_visit: Callable[..., Visit], scheme: str) -> None:
    page = start_visit(color_scheme=scheme, viewport={"width": 1280, "height": 800}).page(server)
    expect(page.get_by_text("A tiny demo model is answering")).to_be_visible()
    assert complaints(page) == []
    chat(page, store)
    assert complaints(page) == []
    page.get_by_role("button", name="Actions for Show me everything").click()
    expect(page.get_by_role("menuitem", name="Rename")).to_be_visible()
    assert complaints(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Guest").click()
    page.get_by_role("menuitem", name="Sign up").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert complaints(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_a_drawer_and_no_sideways_scrolling(
    server: str, store: Store, start_visit: Callable[..., Visit], scheme: str
) -> None:
    page = start_visit(color_scheme=scheme, **PHONE).page(server)
    expect(page.get_by_role("navigation")).to_have_count(0)
    box(page).fill("Show me everything")
    page.get_by_role("button", name="Send").tap()
    begin(store, conversation(page, store)).finish("completed", RICH + "\n\n" + "long" * 60)
    expect(page.locator(".hljs-keyword").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert complaints(page) == []
    page.get_by_role("button", name="Open menu").tap()
    drawer = page.get_by_role("dialog", name="Menu")
    expect(drawer.get_by_role("link", name="Show me everything")).to_be_visible()
    assert complaints(page) == []
    drawer.get_by_role("button", name="New chat").tap()
    expect(drawer).to_be_hidden()
    expect(page.get_by_role("heading", name="What is on your mind?")).to_be_visible()
    page.get_by_role("button", name="Open menu").tap()
    drawer.get_by_role("button", name="Actions for Show me everything").tap()
    page.get_by_role("menuitem", name="Delete").tap()
    page.get_by_role("button", name="Undo").tap()
    page.get_by_role("button", name="Open menu").tap()
    expect(drawer.get_by_role("link", name="Show me everything")).to_be_visible()
    page.touchscreen.tap(380, 400)
    expect(drawer).to_be_hidden()


def test_it_can_be_used_where_there_is_little_room(
    server: str, store: Store, start_visit: Callable[..., Visit]
) -> None:
    """As on a screen of 1280 by 1024 at 400 %, what WCAG's reflow asks for."""
    page = start_visit(viewport={"width": 320, "height": 256}).page(server)
    expect(page.get_by_text("A tiny demo model is answering")).to_be_attached()
    expect(box(page)).to_be_in_viewport(ratio=1)
    send(page, "Hi\n" * 9)
    begin(store, conversation(page, store)).finish("completed", RICH)
    expect(page.get_by_role("button", name="Send")).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    log = page.get_by_role("log").bounding_box()
    assert log and log["height"] > 60


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.ariaLabel || document.activeElement.textContent"))


def tab_to(page: Page, name: str, key: str = "Tab") -> None:
    """Press Tab until the focus is on what has this name."""
    for _ in range(30):
        if focused(page) == name:
            return
        page.keyboard.press(key)
    raise AssertionError(f"Tab does not reach {name!r}")


def test_everything_can_be_done_by_keyboard(server: str, store: Store, visit: Visit) -> None:
    page = visit.page(server)
    expect(box(page)).to_be_focused()
    page.keyboard.type("Hi")
    page.keyboard.press("Enter")
    found = conversation(page, store)
    turn = begin(store, found)
    turn.emit("Hello ")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    tab_to(page, "Stop")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Stopping …")).to_be_visible()
    turn.finish("stopped")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    tab_to(page, "Try again", "Shift+Tab")
    page.keyboard.press("Enter")
    begin(store, found).finish("completed", "Hello again")
    expect(page.locator(".markdown")).to_have_text("Hello again")
    # The menu of a conversation: the arrows go round, Escape gives the focus back.
    tab_to(page, "Actions for Hi")
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Rename")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("menuitem", name="Delete")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Actions for Hi")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Rename")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Title")).to_be_focused()
    page.keyboard.type("Greetings")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Greetings")).to_be_visible()
    tab_to(page, "Guest")
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Sign in")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_screen_reader_hears_of_a_reply_when_it_begins_and_when_it_ends(
    server: str, store: Store, visit: Visit
) -> None:
    page = visit.page(server)
    send(page, "Hi")
    turn = begin(store, conversation(page, store))
    status = page.locator("main p[role=status].sr-only")
    expect(status).to_have_text("Parley is replying")
    turn.emit("Some words")
    expect(messages(page, "Parley")).to_contain_text("Some words")
    expect(status).to_have_text("Parley is replying")
    expect(page.get_by_role("log")).to_have_attribute("aria-live", "off")
    turn.finish("completed")
    expect(status).to_have_text("The reply is complete")
    page.reload()
    expect(messages(page, "Parley")).to_contain_text("Some words")
    expect(status).to_have_text("")


def test_a_reply_can_neither_run_nor_load_nor_leak_anything(server: str, store: Store, visit: Visit) -> None:
    asked: list[str] = []
    visit.context.on("request", lambda request: asked.append(request.url))
    page = visit.page(server)
    # A violation of the policy would be an error in the console, which fails the test.
    chat(page, store)
    assert all(url.startswith(server) for url in asked)
    assert page.locator(".markdown :is(img, b, script)").count() == 0
    links = page.locator(".markdown a").all()
    assert [link.get_attribute("href") for link in links] == ["https://example.org"]
    assert "noopener" in str(links[0].get_attribute("rel"))


def test_the_policy_allows_nothing_inline_and_scripts_are_kept_for_ever(server: str) -> None:
    page = requests.get(server, timeout=20)
    assert page.headers["Cache-Control"] == "no-cache"
    policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    (script,) = re.findall(r'src="(/assets/.*?)"', page.text)
    answer = requests.get(server + script, timeout=20)
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Encoding"] == "gzip"
    plain = requests.get(server + script, headers={"Accept-Encoding": "identity"}, timeout=20)
    assert "Content-Encoding" not in plain.headers
    assert plain.text == answer.text
    assert requests.get(f"{server}/assets/no-such.js", timeout=20).status_code == 404


def test_what_fails_to_load_leaves_plain_text_until_it_does(server: str, store: Store, visit: Visit) -> None:
    visit.context.route(re.compile("/(Markdown|highlight)-"), lambda route: route.abort())
    page = visit.page(server)
    send(page, "Hi")
    begin(store, conversation(page, store)).finish("completed", "A **bold** word\n\n```python\nreturn 1\n```")
    expect(messages(page, "Parley")).to_contain_text("A **bold** word")
    visit.context.unroute(re.compile("/(Markdown|highlight)-"))
    visit.context.route("**/highlight-*", lambda route: route.abort())
    expect(page.locator("strong")).to_have_text("bold")
    expect(page.locator("pre")).to_have_text("return 1")
    visit.forgive("ERR_FAILED")


def test_the_first_load_is_small() -> None:
    folder = ROOT / "frontend" / "dist"
    files = [folder / "index.html", *folder.glob("assets/*.js"), *folder.glob("assets/*.css")]
    assert sum(len(gzip.compress(file.read_bytes())) for file in files) <= FIRST_LOAD_MAX_BYTES


def test_the_browser_chooses_the_language(server: str, store: Store, start_visit: Callable[..., Visit]) -> None:
    visit = start_visit()
    visit.context.add_init_script("Object.defineProperty(navigator, 'languages', {value: ['de-CH', 'fr-CH', 'en']})")
    page = visit.page(server)
    expect(page.get_by_role("heading", name="De quoi voulez-vous parler")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "fr"


def test_a_chosen_theme_stays(server: str, store: Store, start_visit: Callable[..., Visit]) -> None:
    page = start_visit(color_scheme="light").page(server)
    body = page.locator("body")
    expect(body).to_have_css("background-color", "rgb(255, 255, 255)")
    page.get_by_role("button", name="Guest").click()
    expect(page.get_by_role("menuitemradio", name="System theme")).to_be_checked()
    page.get_by_role("menuitemradio", name="Dark theme").click()
    expect(body).to_have_css("background-color", "rgb(31, 33, 32)")
    page.reload()
    expect(body).to_have_css("background-color", "rgb(31, 33, 32)")


WORDS = "Streams of words come in and are drawn as they come, block after block, without a pause for the eye. "
PART = "## Part %d\n\n" + WORDS * 3 + "\n\n- one\n- two with `code`\n\n```python\nfor i in range(9):\n    print(i)\n```"
BLOCKS = "\n\n".join(PART % part for part in range(9))
# About 2,500 tokens of four characters: a block that grows long, and many blocks after it.
LONG = "```python\n" + "print(1)  # and on it goes\n" * 240 + "```\n\n" + BLOCKS


def computed_ms(page: Page, until: Locator) -> Iterator[tuple[float, float]]:
    """When the page came to answer, and how long it had computed by then: its time on the processor."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    while not until.is_visible():
        for _ in range(20):
            metrics = devtools.send("Performance.getMetrics")["metrics"]
            computed_s = next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")
            yield time.monotonic(), computed_s * 1000
            time.sleep(0.005)


def test_a_long_reply_is_drawn_without_slow_frames(
    server: str, store: Store, start_worker: Callable[..., Process], model_stub: ModelStub, visit: Visit
) -> None:
    model_stub.say(LONG, delay_s=0.0099)  # a hundred tokens in a second
    start_worker(MODEL_URL=model_stub.url, MODEL_MAX_NEW_TOKENS="4000", MODEL_CONTEXT_TOKENS="8000")
    page = visit.page(server)
    page.wait_for_load_state("networkidle")
    send(page, "Tell me a lot")
    seen = list(computed_ms(page, page.get_by_role("button", name="Answer again")))
    at_once = [later - earlier for (_, earlier), (_, later) in pairwise(seen)]
    quarters, lasted_s = [0.0] * 4, seen[-1][0] - seen[0][0]
    for (at, _), ms in zip(seen, at_once, strict=False):
        quarters[int((at - seen[0][0]) / lasted_s * 4)] += ms
    print(f"{quarters} ms of computing, at most {max(at_once):.0f} ms at once")
    # A frame waits for what is computed at once; and what grows with the text would be seven times as much in the end.
    assert max(at_once) < FRAME_MAX_MS and max(quarters) < 4 * quarters[0]
