"""The hub against a real store: whoever follows a conversation misses nothing and sees nothing twice."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from threading import Event as Flag
from threading import Thread

import pytest
from services import wait_for

import app.hub
from app.hub import Hub
from app.watch import QUEUE_MAX, Watch
from chat import keys
from chat.conversation import Conversation
from chat.errors import ConversationGone, LoginRequired
from chat.events import Event, Position
from chat.sessions import Login
from chat.store import Store
from chat.turns import Turn


@pytest.fixture
def hub(store: Store) -> Iterator[Hub]:
    hub = Hub(store)
    yield hub
    hub.leave()
    hub.join()


@pytest.fixture
def chat(store: Store) -> Conversation:
    return Conversation.create(store)


class Reader:
    """Follows in a thread of its own and keeps what it saw."""

    def __init__(self, hub: Hub, chat: Conversation, after: Position | None = None) -> None:
        self.seen: list[Event] = []
        self.error: Exception | None = None
        self.live = Flag()
        self._stream = hub.follow(chat, after, ping_s=0.05)
        self._thread = Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for event in self._stream:
                self.live.set()
                self.seen += [event] if event else []
        except Exception as error:
            self.error = error

    def kinds(self) -> list[str]:
        return [event.type for event in self.seen]

    def ended(self) -> bool:
        return not self._thread.is_alive()


def start(chat: Conversation) -> Position:
    return Position(Position.parse(chat.snapshot()["position"]).epoch, 0)


def turn(store: Store, chat: Conversation, *pieces: str) -> None:
    chat.accept("Hi")
    running = Turn.begin(store, chat.id)
    assert running
    for piece in pieces:
        running.emit(piece)
    running.finish("completed")


def test_two_readers_see_the_same_events_once_and_in_order(store: Store, hub: Hub, chat: Conversation) -> None:
    readers = [Reader(hub, chat, start(chat)) for _ in range(2)]
    assert all(reader.live.wait(30) for reader in readers)
    for _ in range(3):
        turn(store, chat, "a", "b", "c")
    for reader in readers:
        wait_for(lambda: len(reader.seen) == 18)  # noqa: B023 -- called before the loop goes on
        numbers = [event.position.n for event in reader.seen]
        assert numbers == list(range(1, 19))


def test_without_a_position_the_first_event_is_a_reset(store: Store, hub: Hub, chat: Conversation) -> None:
    turn(store, chat, "a")
    reader = Reader(hub, chat)
    wait_for(lambda: reader.kinds() == ["reset"])
    turn(store, chat, "b")
    assert wait_for(lambda: reader.kinds() == ["reset", "accepted", "started", "delta", "completed"])


def test_events_between_subscribing_and_reading_come_once(store: Store, hub: Hub, chat: Conversation) -> None:
    stream = hub.follow(chat, start(chat))
    chat.accept("one")
    first = next(stream)  # subscribed and read by now
    chat.accept("two")
    second = next(stream)
    assert [event.content["message"]["text"] for event in (first, second) if event] == ["one", "two"]
    stream.close()


def test_a_lost_connection_to_redis_leaves_no_hole(store: Store, hub: Hub, chat: Conversation) -> None:
    reader = Reader(hub, chat, start(chat))
    chat.accept("one")
    wait_for(lambda: len(reader.seen) == 1)
    store.client.client_kill_filter(_type="pubsub")
    chat.accept("two")
    wait_for(lambda: len(reader.seen) == 2)
    chat.accept("three")
    wait_for(lambda: len(reader.seen) == 3)
    assert [event.position.n for event in reader.seen] == [1, 2, 3]


def test_an_event_that_pubsub_lost_is_found_by_looking(
    store: Store, chat: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.hub, "LOOK_S", 0.1)
    hub = Hub(store)
    reader = Reader(hub, chat, start(chat))
    chat.accept("one")
    wait_for(lambda: len(reader.seen) == 1)
    # What a script would have stored, without the PUBLISH that got lost.
    base = next(key for key in store.client.keys("*:log")).removesuffix(":log")
    store.client.hincrby(f"{base}:run", "n", 1)
    store.client.xadd(f"{base}:log", {"type": "accepted", "data": "{}"}, id="0-2")
    assert wait_for(lambda: [event.position.n for event in reader.seen] == [1, 2])
    hub.leave()
    hub.join()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_ends_the_looking_by_mistake_ends_it_for_a_moment(
    store: Store, chat: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.hub, "LOOK_S", 0.05)
    monkeypatch.setattr(app.hub, "AGAIN_S", 0.05)
    # What is no account makes the question whether its sessions live one that Redis refuses.
    account = keys.account("ada").document
    store.client.set(account, "broken")
    store.client.set("session:1", "{}")
    hub = Hub(store)
    reader = Reader(hub, replace(chat, session=Login("ada", 1, "session:1")))
    assert reader.live.wait(10)
    looking = hub._threads[None]
    wait_for(lambda: not looking.is_alive())
    store.client.delete(account)
    wait_for(reader.ended)
    assert isinstance(reader.error, LoginRequired)
    hub.leave()
    hub.join()


def test_a_login_hides_no_event_that_was_lost() -> None:
    watch = Watch(Login("ada", 1, "key"))
    watch.put(Event(Position("epoch", 2), "login", "{}"))
    assert list(islice(watch.arrivals(Position("epoch", 1), ping_s=0.01), 1)) == []


def test_a_slow_reader_costs_no_memory_and_misses_nothing(store: Store, hub: Hub, chat: Conversation) -> None:
    slow = hub.follow(chat, start(chat), ping_s=0.05)
    chat.accept("Hi")
    running = Turn.begin(store, chat.id)
    assert running
    assert next(slow)
    for _ in range(QUEUE_MAX * 2):
        running.emit("x")
    quick = Reader(hub, chat, start(chat))
    wait_for(lambda: len(quick.seen) == QUEUE_MAX * 2 + 2)
    seen = [1]
    while seen[-1] < QUEUE_MAX * 2 + 2:
        event = next(slow)
        seen += [event.position.n] if event else []
    assert seen == list(range(1, QUEUE_MAX * 2 + 3))
    slow.close()


def test_deletion_ends_the_stream(hub: Hub, chat: Conversation) -> None:
    reader = Reader(hub, chat)
    wait_for(lambda: reader.seen)
    chat.delete()
    wait_for(reader.ended)
    assert isinstance(reader.error, ConversationGone)


def test_leaving_ends_all_streams(hub: Hub, chat: Conversation) -> None:
    reader = Reader(hub, chat)
    wait_for(lambda: reader.seen)
    hub.leave()
    wait_for(reader.ended)
    assert reader.error is None


def test_a_stream_that_ends_gives_its_subscription_back(store: Store, hub: Hub, chat: Conversation) -> None:
    stream = hub.follow(chat)
    next(stream)
    assert len(store.client.execute_command("PUBSUB", "SHARDCHANNELS")) == 1
    stream.close()
    wait_for(lambda: store.client.execute_command("PUBSUB", "SHARDCHANNELS") == [])


def test_an_unknown_conversation_is_gone_at_once(store: Store, hub: Hub) -> None:
    with pytest.raises(ConversationGone):
        next(hub.follow(Conversation(store, "nobody")))
