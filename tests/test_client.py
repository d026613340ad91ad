"""The browser client in a real Chromium, against the real stack. Errors of a page or in its console fail the test."""

from collections.abc import Callable
from typing import Any

import pytest
from browser import NEEDED, NETWORK, Visit, ask, begin, box, conversation, messages, send
from model_stub import ModelStub
from playwright.sync_api import expect
from replies import BRIEF
from services import Process, wait_for

from chat.store import Store

pytestmark = NEEDED


def test_a_reply_grows_and_survives_a_reload(server: str, store: Store, visit: Visit) -> None:
    page = visit.page(server)
    expect(page.get_by_text("A tiny demo model is answering")).to_be_visible()
    send(page, "Hi <b>there</b>")
    expect(messages(page, "You")).to_contain_text("Hi <b>there</b>")
    expect(box(page)).to_have_value("")
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
    turn = ask(page, store, "one", "Half a")
    send(page, "two")
    expect(page.get_by_text("Waiting, number 2 in line")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Waiting")).to_be_hidden()
    # What was taken back is there to be mended.
    expect(box(page)).to_have_value("two")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopping …")).to_be_visible()
    wait_for(lambda: not turn.emit(""))
    turn.finish("stopped")
    expect(page.get_by_text("Stopped before the end.")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    begin(store, conversation(page, store)).finish("completed", "A whole one")
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
    box(page).fill("x" * 4001)
    expect(page.get_by_text("1 too many")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    box(page).fill("x" * 3990)
    expect(page.get_by_text("10 left")).to_be_visible()
    send(page, "a\x07b")
    expect(page.get_by_text("Not sent. It must not contain control characters.")).to_be_visible()
    box(page).fill("Then this")
    page.get_by_role("button", name="Edit").click()
    expect(box(page)).to_have_value("a\x07b\n\nThen this")
    expect(page.get_by_text("Not sent.")).to_be_hidden()
    visit.forgive(NETWORK)


@pytest.mark.slow
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
    expect(page.get_by_text("Waits for a connection")).to_be_visible()
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
    box(page).fill("And now")
    expect(page.get_by_text("Waiting", exact=True)).to_be_visible()
    chat.delete()
    expect(page.get_by_role("alert")).to_contain_text("This conversation has ended")
    page.get_by_role("button", name="Start a new chat").click()
    expect(box(page)).to_have_value("And now")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/c/" in url and chat.id not in url)
    expect(messages(page, "You")).to_have_count(1)


def test_an_unknown_conversation_in_the_address_is_told(server: str, store: Store, visit: Visit) -> None:
    for unknown in ("00000000-0000-4000-8000-000000000000", "xyz"):
        page = visit.page(f"{server}/c/{unknown}")
        expect(page.get_by_role("alert")).to_contain_text("This conversation is not to be found")
    visit.forgive(NETWORK)


@pytest.mark.slow
def test_a_killed_worker_is_told_of_and_replaced(
    server: str, store: Store, start_worker: Callable[..., Process], model_stub: ModelStub, visit: Visit
) -> None:
    model_stub.say("This is the whole reply.")
    model_stub.hold_after(2)
    worker = start_worker(MODEL_URL=model_stub.url, **BRIEF)
    page = visit.page(server)
    send(page, "Hi")
    expect(messages(page, "Parley")).to_contain_text("This")
    worker.end(9)
    start_worker(MODEL_URL=model_stub.url, **BRIEF)
    expect(page.get_by_text("The reply was interrupted and has begun again.")).to_be_visible()
    model_stub.release()
    expect(page.locator(".markdown")).to_have_text("This is the whole reply.")
    expect(messages(page, "Parley")).to_have_count(1)


def test_the_documentation_shows_the_routes_without_breaking_its_policy(
    server: str, store: Store, visit: Visit
) -> None:
    requests: list[Any] = []
    visit.context.on("request", lambda request: requests.append(request))
    page = visit.page(f"{server}/docs")
    route = page.get_by_text("/api/conversations/{conversation_id}/messages", exact=True).first
    route.click()
    page.get_by_role("button", name="Try it out").click()
    expect(page.get_by_role("button", name="Execute")).to_be_visible()
    assert all(request.url.startswith((server, "data:")) for request in requests)


def test_a_message_in_one_tab_is_answered_in_both(server: str, store: Store, visit: Visit) -> None:
    one = visit.page(server)
    send(one, "Hi")
    chat = conversation(one, store)
    two = visit.page(one.url)
    expect(messages(two, "You")).to_contain_text("Hi")
    turn = begin(store, chat)
    turn.emit("Hello ")
    send(two, "Are you there?")
    expect(one.get_by_text("Waiting, number 2 in line")).to_be_visible()
    turn.finish("completed", "you two")
    for page in (one, two):
        expect(page.locator(".markdown")).to_have_text("Hello you two")
    expect(two.get_by_role("link", name="Hi")).to_be_visible()


def test_what_is_sent_without_a_network_goes_out_when_it_is_back(server: str, store: Store, visit: Visit) -> None:
    page = visit.page(server)
    send(page, "Hi")
    chat = conversation(page, store)
    begin(store, chat).finish("completed", "Hello")
    expect(page.locator(".markdown")).to_have_text("Hello")
    visit.context.set_offline(True)
    expect(page.get_by_text("Offline")).to_be_visible()
    for text in ("Are you there?", "Never mind"):
        send(page, text)
    expect(page.get_by_text("Waits for a connection")).to_have_count(2)
    page.get_by_role("button", name="Cancel").last.click()
    expect(box(page)).to_have_value("Never mind")
    # It waits also while something else is shown.
    page.get_by_role("button", name="New chat").click()
    expect(page.get_by_role("heading", name="What is on your mind?")).to_be_visible()
    visit.context.set_offline(False)
    begin(store, chat).finish("completed", "I am")
    page.get_by_role("link", name="Hi").click()
    expect(page.locator(".markdown")).to_have_text(["Hello", "I am"])
    expect(messages(page, "You")).to_have_count(2)
    visit.forgive(NETWORK)


def test_what_new_chats_sent_without_a_network_goes_out_also_when_the_tab_was_closed(
    server: str, store: Store, visit: Visit
) -> None:
    page = visit.page(server)
    visit.context.set_offline(True)
    for text in ("The first", "The second"):
        page.get_by_role("button", name="New chat").click()
        expect(page.get_by_role("heading", name="What is on your mind?")).to_be_visible()
        send(page, text)
        expect(page.get_by_text("Waits for a connection")).to_be_visible()
    page.close()
    visit.context.set_offline(False)
    tabs = [visit.page(server) for _ in range(2)]
    for tab in tabs:
        expect(tab.get_by_role("link")).to_have_text(["The second", "The first"])
    expect(messages(tabs[0], "You")).to_contain_text("The second")
    begin(store, conversation(tabs[0], store)).finish("completed", "Here I am")
    expect(tabs[0].locator(".markdown")).to_have_text("Here I am")
    kept = "Object.keys(localStorage).filter((name) => name.includes('outbox')).length"
    wait_for(lambda: tabs[0].evaluate(kept) == 1)
    visit.forgive(NETWORK)


def test_two_tabs_do_not_take_each_others_drafts_away(server: str, store: Store, visit: Visit) -> None:
    one, two = visit.page(server), visit.page(server)
    box(one).fill("Half a thought")
    send(two, "Hi")
    conversation(two, store)
    one.reload()
    expect(box(one)).to_have_value("Half a thought")


@pytest.mark.slow
def test_eight_tabs_share_one_stream(
    start_web: Callable[..., tuple[str, Process]], store: Store, start_visit: Callable[[], Visit]
) -> None:
    server, process = start_web(LOG_LEVEL="debug")
    visit = start_visit()
    pages = [visit.page(server)]
    send(pages[0], "Hi")
    chat = conversation(pages[0], store)
    turn = begin(store, chat)
    pages += [visit.page(pages[0].url) for _ in range(7)]
    turn.emit("Hello all")
    for page in pages:
        expect(messages(page, "Parley")).to_have_text("Hello all")
    turn.finish("completed")
    for page in pages:
        page.close()
    process.end()
    assert process.log.read_text().count("/events 200") == 1


def test_a_tab_that_is_killed_leaves_no_stream_behind(server: str, store: Store, visit: Visit) -> None:
    page, another = visit.page(server), visit.page(server)
    for tab in (another, page):
        send(tab, "Hi")
        conversation(tab, store)
    chat = conversation(page, store)
    turn = begin(store, chat)
    turn.emit("Hel")
    expect(messages(page, "Parley")).to_have_text("Hel")
    # It can say nothing any more, and another tab keeps the worker alive.
    page.evaluate("MessagePort.prototype.postMessage = () => undefined")
    assert store.client.pubsub_shardchannels(f"*{chat.id}*")
    page.close()
    # The server notices when it writes.
    wait_for(lambda: turn.emit("lo") and not store.client.pubsub_shardchannels(f"*{chat.id}*"))


def test_without_a_shared_worker_a_tab_has_a_stream_of_its_own(server: str, store: Store, visit: Visit) -> None:
    visit.context.add_init_script("delete window.SharedWorker")
    page = visit.page(server)
    send(page, "Hi")
    begin(store, conversation(page, store)).finish("completed", "Hello")
    expect(page.locator(".markdown")).to_have_text("Hello")


def test_a_draft_and_a_message_that_could_not_be_sent_survive_a_reload(server: str, store: Store, visit: Visit) -> None:
    page = visit.page(server)
    send(page, "Hi")
    chat = conversation(page, store)
    begin(store, chat).finish("completed", "Hello")
    visit.context.route("**/messages", lambda route: route.abort())
    send(page, "Are you there?")
    box(page).fill("Half a")
    expect(page.get_by_text("Waits for a connection")).to_be_visible()
    visit.context.unroute("**/messages")
    page.reload()
    expect(box(page)).to_have_value("Half a")
    begin(store, chat).finish("completed", "I am")
    expect(page.locator(".markdown")).to_have_text(["Hello", "I am"])
    expect(messages(page, "You")).to_have_count(2)
    visit.forgive(NETWORK)


def test_the_page_stays_where_one_reads_and_follows_again_on_demand(server: str, store: Store, visit: Visit) -> None:
    page = visit.page(server)
    send(page, "Tell me a lot")
    turn = begin(store, conversation(page, store))
    turn.emit("A line.\n\n" * 60)
    expect(page.get_by_text("A line.")).to_have_count(60)
    last = page.locator(".markdown p").last
    expect(last).to_be_in_viewport()
    page.get_by_role("log").hover()
    page.mouse.wheel(0, -900)
    jump = page.get_by_role("button", name="Jump to latest")
    expect(jump).to_be_visible()
    turn.emit("More.\n\n" * 20)
    expect(page.get_by_text("More.")).to_have_count(20)
    expect(last).not_to_be_in_viewport()
    jump.click()
    expect(last).to_be_in_viewport()
    turn.emit("And more.\n\n" * 20)
    expect(page.get_by_text("And more.")).to_have_count(20)
    expect(last).to_be_in_viewport()
    turn.finish("completed")


def test_older_messages_are_fetched_on_demand(server: str, store: Store, visit: Visit) -> None:
    page = visit.page(server)
    send(page, "Message 0.")
    chat = conversation(page, store)
    begin(store, chat).finish("completed", "Reply 0.")
    for number in range(1, 40):
        chat.accept(f"Message {number}.", None)
        begin(store, chat).finish("completed", f"Reply {number}.")
    page.reload()
    expect(page.get_by_text("Reply 39.")).to_be_in_viewport()
    expect(messages(page, "You")).to_have_count(25)
    page.get_by_role("button", name="Show earlier messages").click()
    expect(messages(page, "You")).to_have_count(40)
    expect(page.get_by_role("button", name="Show earlier messages")).to_be_hidden()


def test_replies_and_code_can_be_copied(server: str, store: Store, visit: Visit) -> None:
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visit.page(server)
    send(page, "Code, please")
    reply = "Here:\n\n```python\nprint(1)\n```"
    begin(store, conversation(page, store)).finish("completed", reply)
    for label, text in (("Copy code", "print(1)"), ("Copy reply", reply)):
        page.get_by_role("button", name=label).click()
        expect(page.get_by_role("button", name="Copied").first).to_be_visible()
        wait_for(lambda: page.evaluate("navigator.clipboard.readText()") == text)  # noqa: B023 -- called at once


def test_a_tab_that_was_frozen_catches_up_when_it_is_looked_at_again(server: str, store: Store, visit: Visit) -> None:
    page = visit.page(server)
    turn = ask(page, store, "Hi", "Hel")
    expect(messages(page, "Parley")).to_have_text("Hel")
    # As from the back-forward cache: the hub has forgotten the page, and hears of it again.
    page.evaluate("window.dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    turn.finish("completed", "lo")
    page.evaluate("window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    expect(page.locator(".markdown")).to_have_text("Hello")
