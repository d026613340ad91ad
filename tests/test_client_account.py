"""Accounts and past conversations in the browser client."""

from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from browser import NEEDED, NETWORK, Visit, begin, box, conversation, messages, send
from playwright.sync_api import Page, Route, expect
from services import wait_for

from chat.store import Store

pytestmark = [*NEEDED, pytest.mark.slow]
PASSWORD = "correct horse"


@pytest.fixture
def ada(server: str, store: Store) -> str:
    """An account."""
    requests.post(f"{server}/api/accounts", json={"name": "Ada", "password": PASSWORD}, timeout=10).raise_for_status()
    return "Ada"


def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_role("button", name="Guest").click()
    page.get_by_role("menuitem", name="Sign in").click()
    page.get_by_label("Name").fill(name)
    give_password(page, password)


def give_password(page: Page, password: str = PASSWORD) -> None:
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")


def end_all_sessions(server: str, name: str) -> None:
    with requests.Session() as session:
        session.post(f"{server}/api/login", json={"name": name, "password": PASSWORD}, timeout=10).raise_for_status()
        session.delete(f"{server}/api/me/sessions", timeout=10).raise_for_status()


def talk(page: Page, store: Store, text: str, reply: str = "Fine.") -> None:
    page.get_by_role("button", name="New chat").click()
    send(page, text)
    begin(store, conversation(page, store)).finish("completed", reply)
    expect(page.locator(".markdown")).to_have_text(reply)


def test_a_guest_who_signs_up_keeps_the_conversations(server: str, store: Store, visit: Visit) -> None:
    page = visit.page(server)
    talk(page, store, "The first one")
    talk(page, store, "The second one")
    page.get_by_role("button", name="Guest").click()
    page.get_by_role("menuitem", name="Sign up").click()
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("button", name="Ada")).to_be_visible()
    send(page, "And as an account?")
    begin(store, conversation(page, store)).finish("completed", "Still here.")
    expect(page.locator(".markdown")).to_have_text(["Fine.", "Still here."])
    expect(page.get_by_role("link")).to_have_text(["The second one", "The first one"])
    page.reload()
    page.get_by_role("link", name="The first one").click()
    expect(messages(page, "You")).to_contain_text("The first one")


def test_a_wrong_password_is_told_and_signing_out_leaves_nothing_behind(
    server: str, ada: str, store: Store, visit: Visit
) -> None:
    page = visit.page(server)
    sign_in(page, ada, "not the horse")
    expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
    visit.forgive(NETWORK)
    give_password(page)
    talk(page, store, "A secret")
    box(page).fill("Half a secret")
    page.get_by_role("button", name=ada).click()
    page.get_by_role("menuitem", name="Sign out").click()
    expect(page.get_by_role("button", name="Guest")).to_be_visible()
    expect(page.get_by_role("link")).to_have_count(0)
    expect(box(page)).to_have_value("")
    kept = "JSON.stringify([{...localStorage}, {...sessionStorage}])"
    wait_for(lambda: "secret" not in page.evaluate(kept))
    page.go_back()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_text("A secret")).to_be_hidden()
    visit.forgive(NETWORK)


def test_a_session_that_ends_in_mid_typing_loses_nothing(server: str, ada: str, store: Store, visit: Visit) -> None:
    page = visit.page(server)
    sign_in(page, ada)
    talk(page, store, "Hi")
    other = visit.page(page.url)
    expect(messages(other, "Parley")).to_contain_text("Fine.")
    box(page).fill("I was just saying")
    end_all_sessions(server, ada)
    for tab in (page, other):
        expect(tab.get_by_role("dialog", name="Please sign in again")).to_be_visible()
        expect(tab.get_by_text("Signed out")).to_be_visible()
    give_password(page)
    for tab in (page, other):
        expect(tab.get_by_role("dialog")).to_be_hidden()
        expect(tab.get_by_text("Connected")).to_be_visible()
    expect(box(page)).to_have_value("I was just saying")
    box(page).press("Enter")
    begin(store, conversation(page, store)).finish("completed", "Go on.")
    for tab in (page, other):
        expect(tab.locator(".markdown")).to_have_text(["Fine.", "Go on."])
    visit.forgive(NETWORK)


def test_what_is_sent_after_the_sessions_end_goes_out_after_the_next_login(
    server: str, ada: str, store: Store, visit: Visit
) -> None:
    page = visit.page(server)
    sign_in(page, ada)
    talk(page, store, "Hi")
    end_all_sessions(server, ada)
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    send(page, "Can you hear me?")
    expect(page.get_by_text("Waits for you to sign in")).to_be_visible()
    page.get_by_role("button", name="Sign in").click()
    give_password(page)
    begin(store, conversation(page, store)).finish("completed", "Now I do.")
    expect(page.locator(".markdown")).to_have_text(["Fine.", "Now I do."])
    visit.forgive(NETWORK)


def test_who_comes_back_after_the_sessions_end_signs_in_and_finds_the_conversation(
    server: str, ada: str, store: Store, visit: Visit
) -> None:
    page = visit.page(server)
    sign_in(page, ada)
    talk(page, store, "Hi")
    address = page.url
    page.goto("about:blank")
    end_all_sessions(server, ada)
    page.goto(address)
    dialog = page.get_by_role("dialog", name="Please sign in again")
    expect(dialog).to_be_visible()
    expect(box(page)).to_be_visible()
    dialog.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator(".markdown")).to_have_text("Fine.")
    visit.forgive(NETWORK)


def test_who_deletes_a_conversation_and_signs_out_has_deleted_it(
    server: str, ada: str, store: Store, visit: Visit
) -> None:
    page = visit.page(server)
    sign_in(page, ada)
    talk(page, store, "Hi")
    page.get_by_role("button", name="Actions for Hi").click()
    page.get_by_role("menuitem", name="Delete").click()
    expect(page.get_by_text("Conversation deleted.")).to_be_visible()
    page.get_by_role("button", name=ada, exact=True).click()
    page.get_by_role("menuitem", name="Sign out").click()
    expect(page.get_by_role("button", name="Guest")).to_be_visible()
    with requests.Session() as session:
        session.post(f"{server}/api/login", json={"name": ada, "password": PASSWORD}, timeout=10).raise_for_status()
        assert session.get(f"{server}/api/conversations", timeout=10).json()["conversations"] == []
    # The list, which was just being read anew.
    visit.forgive("401")


def test_what_an_account_sends_before_the_page_knows_it_is_not_kept_for_guests(
    server: str, ada: str, store: Store, visit: Visit
) -> None:
    page = visit.page(server)
    sign_in(page, ada)
    expect(page.get_by_role("button", name=ada, exact=True)).to_be_visible()
    held: list[Route] = []
    page.route("**/api/config", lambda route: held.append(route))
    page.reload()
    send(page, "A secret")
    begin(store, conversation(page, store)).finish("completed", "Fine.")
    expect(page.locator(".markdown")).to_have_text("Fine.")
    for route in held:
        route.continue_()
    expect(page.get_by_role("link", name="A secret")).to_be_visible()
    kept = "Object.keys(localStorage).filter((name) => name.startsWith('parley.guest'))"
    wait_for(lambda: page.evaluate(kept) == [])


def test_who_is_signed_in_is_so_also_where_the_browser_has_noted_nothing(
    server: str, ada: str, store: Store, visit: Visit
) -> None:
    visit.context.request.post(f"{server}/api/login", data={"name": ada, "password": PASSWORD})
    page = visit.page(server)
    page.get_by_role("button", name=ada, exact=True).click()
    page.get_by_role("menuitem", name="Sign out").click()
    expect(page.get_by_role("button", name="Guest")).to_be_visible()


def test_a_deletion_is_undone_by_keyboard_and_waits_for_that(server: str, ada: str, store: Store, visit: Visit) -> None:
    page = visit.page(server)
    talk(page, store, "Tell me of apples")
    talk(page, store, "Tell me of pears")
    page.clock.install()
    page.get_by_role("button", name="Actions for Tell me of apples").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Rename")).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    page.clock.run_for(30_000)
    page.keyboard.press("Enter")
    expect(page.get_by_role("link")).to_have_text(["Tell me of pears", "Tell me of apples"])


def test_signing_out_in_one_tab_signs_out_the_others(server: str, ada: str, store: Store, visit: Visit) -> None:
    page = visit.page(server)
    sign_in(page, ada)
    talk(page, store, "A secret")
    other = visit.page(page.url)
    expect(messages(other, "Parley")).to_contain_text("Fine.")
    box(other).fill("Half a secret")
    # What the other tab reads from the storage may lag behind.
    other.evaluate("Storage.prototype.getItem = (key) => (key === 'parley.account' ? JSON.stringify('Ada') : null)")
    page.get_by_role("button", name=ada).click()
    page.get_by_role("menuitem", name="Sign out").click()
    for tab in (page, other):
        expect(tab.get_by_role("button", name="Guest")).to_be_visible()
        expect(tab.get_by_role("dialog")).to_have_count(0)
        expect(tab.get_by_text("A secret")).to_have_count(0)
        expect(box(tab)).to_have_value("")
        kept = "JSON.stringify({...localStorage})"
        wait_for(lambda: "secret" not in tab.evaluate(kept))  # noqa: B023 -- called at once
    visit.forgive(NETWORK)


@pytest.mark.parametrize("account", [False, True], ids=["guest", "account"])
def test_conversations_are_found_renamed_exported_and_deleted(
    server: str, ada: str, store: Store, visit: Visit, tmp_path: Path, account: bool
) -> None:
    page = visit.page(server)
    if account:
        sign_in(page, ada)
        expect(page.get_by_role("button", name=ada)).to_be_visible()
    talk(page, store, "Tell me of apples")
    talk(page, store, "Tell me of pears")
    page.get_by_role("button", name="Actions for Tell me of apples").click()
    page.get_by_role("menuitem", name="Rename").click()
    page.get_by_label("Title").fill("Fruit")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Fruit")).to_be_focused()
    page.get_by_label("Search").fill("fruit")
    expect(page.get_by_role("link")).to_have_count(1)
    page.get_by_label("Search").fill("plums")
    expect(page.get_by_text("Nothing found.")).to_be_visible()
    page.get_by_label("Search").fill("")
    page.get_by_role("button", name="Actions for Fruit").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="Export as Markdown").click()
    download.value.save_as(tmp_path / "fruit.md")
    assert "Tell me of apples" in (tmp_path / "fruit.md").read_text()
    # The one that is open goes, comes back, and goes for good.
    for back in (True, False):
        page.get_by_role("button", name="Actions for Tell me of pears").click()
        page.get_by_role("menuitem", name="Delete").click()
        expect(page.get_by_role("link")).to_have_text(["Fruit"])
        if back:
            page.get_by_role("button", name="Undo").click()
            expect(messages(page, "You")).to_contain_text("Tell me of pears")
        else:
            # Whoever goes back to it wants it.
            page.go_back()
            expect(page.get_by_role("link")).to_have_text(["Tell me of pears", "Fruit"])
            page.get_by_role("button", name="Actions for Tell me of pears").click()
            page.get_by_role("menuitem", name="Delete").click()
    # Leaving the page does not wait for the six seconds.
    page.reload()
    expect(page.get_by_role("link", name="Fruit")).to_be_visible()
    expect(page.get_by_role("link")).to_have_text(["Fruit"])


def test_the_owner_changes_the_password_and_deletes_the_account(
    server: str, ada: str, store: Store, visit: Visit
) -> None:
    page = visit.page(server)
    sign_in(page, ada)
    talk(page, store, "Hi")
    page.get_by_role("button", name=ada).click()
    page.get_by_role("menuitem", name="Account settings").click()
    page.get_by_text("Change password").first.click()
    page.get_by_role("textbox", name="Password", exact=True).fill(PASSWORD)
    page.get_by_label("New password").fill("staple battery")
    page.get_by_role("textbox", name="Password", exact=True).fill("not the horse")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="wrong")).to_have_text("The password is wrong.")
    visit.forgive(NETWORK)
    page.get_by_role("textbox", name="Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_text("The password is changed.")).to_be_visible()
    page.get_by_role("button", name=ada).click()
    page.get_by_role("menuitem", name="Account settings").click()
    page.get_by_text("Delete account").first.click()
    page.get_by_role("textbox", name="Password", exact=True).fill("staple battery")
    page.get_by_role("dialog").get_by_role("button", name="Delete account").click()
    expect(page.get_by_role("button", name="Guest")).to_be_visible()
    answer = requests.post(f"{server}/api/login", json={"name": ada, "password": "staple battery"}, timeout=10)
    assert answer.status_code == 401
    # What the page was just asking for when its account ended.
    visit.forgive("401")


def test_where_registration_is_closed_nobody_is_asked_to_sign_up(
    start_web: Callable[..., tuple[str, object]], store: Store, visit: Visit
) -> None:
    page = visit.page(start_web(REGISTRATION="closed")[0])
    page.get_by_role("button", name="Guest").click()
    expect(page.get_by_role("menuitem", name="Sign in")).to_be_visible()
    expect(page.get_by_role("menuitem", name="Sign up")).to_have_count(0)
