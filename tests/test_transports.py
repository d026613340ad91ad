"""One contract over every transport: each event once, in order, and one text everywhere."""

from collections.abc import Callable, Iterator
from itertools import product
from threading import Event, Thread
from typing import ClassVar

import pytest
import requests
from model_stub import ModelStub
from services import Process, wait_for
from transports import TRANSPORTS, Json, lines_to_events, take, take_until

from chat.conversation import Conversation
from chat.events import Position
from chat.store import Store
from chat.turns import Turn

ODD = "An emoji 😀, 한국어, and a family 👨‍👩‍👧: all whole."

transport = pytest.mark.parametrize("transport", TRANSPORTS)
both = pytest.mark.parametrize(("first", "second"), list(product(TRANSPORTS, repeat=2)))


@pytest.fixture
def chat(store: Store) -> Conversation:
    return Conversation.create(store, "Ada")


def start(chat: Conversation) -> str:
    return chat.snapshot()["position"].split("-")[0] + "-0"


def numbers(events: list[Json]) -> list[int]:
    return [int(event["id"].split("-")[1]) for event in events]


def post(server: str, chat: Conversation, text: str, **more: str) -> requests.Response:
    return requests.post(
        f"{server}/api/conversations/{chat.id}/messages", json={"text": text, **more}, timeout=20, stream=True,
        headers={"Accept": "text/event-stream"},
    )  # fmt: skip


def whole(events: list[Json]) -> str:
    """The reply as joined deltas; fails at a hole. The offsets count UTF-16 code units."""
    text = ""
    for event in events:
        if event["type"] == "started":
            text = ""
        if event["type"] == "delta":
            assert event["data"]["offset"] == len(text.encode("utf-16-le")) // 2
            text += event["data"]["text"]
    return text


def released(model: ModelStub, stream: Iterator[Json]) -> Iterator[Json]:
    """What follows once the model may go on, up to the end of the turn."""
    model.release()
    for event in stream:
        yield event
        if event["type"] == "completed":
            break


def stored(server: str, chat: Conversation) -> Json:
    found: Json = requests.get(f"{server}/api/conversations/{chat.id}", timeout=10).json()
    return found


class TestWithAWorker:
    SETTINGS: ClassVar[dict[str, str]] = {}

    @pytest.mark.parametrize("transport", [*TRANSPORTS, "post"])
    def test_a_turn_is_seen_whole_and_all_its_texts_agree(
        self, server: str, chat: Conversation, answering: ModelStub, transport: str
    ) -> None:
        answering.say(f" {ODD}\nHuman: and so on", delay_s=0.002, piece_chars=3)
        answering.hold_after(1)
        # The reply goes on once the stream is there: of a turn that has ended it would get the end alone.
        if transport == "post":
            stream = lines_to_events(post(server, chat, "Hi", id="m1"))
            events = [next(stream), *released(answering, stream)]
        else:
            watcher = TRANSPORTS[transport](server, chat.id, start(chat))
            posted = requests.post(f"{server}/api/conversations/{chat.id}/messages", json={"text": "Hi"}, timeout=10)
            assert posted.status_code == 202
            stream = iter(watcher)
            events = [next(stream), *released(answering, stream)]
            watcher.close()
            assert events[0]["data"]["message"] == posted.json()["message"]

        kinds = [event["type"] for event in events]
        assert kinds == ["accepted", "started", *["delta"] * (len(events) - 3), "completed"]
        reply = events[-1]["data"]["message"]
        assert reply["text"] == ODD
        if transport == "polling":
            # Between two polls a turn may end; its end covers the deltas that were not seen.
            assert numbers(events)[:-1] == list(range(1, len(events))) and ODD.startswith(whole(events))
        else:
            assert numbers(events) == list(range(1, len(events) + 1)) and whole(events) == ODD
        assert stored(server, chat)["messages"][-1] == reply
        page = requests.get(f"{server}/api/conversations/{chat.id}/messages", timeout=10).json()
        assert page["messages"][-1] == reply

    def test_one_post_is_a_chat(self, server: str, chat: Conversation, answering: ModelStub) -> None:
        """POST as an event stream: its own turn only, also while it waits behind another."""
        answering.hold_after(1)
        chat.accept("first")
        stream = lines_to_events(post(server, chat, "second", id="m2"))
        events = [next(stream), *released(answering, stream)]
        assert [event["type"] for event in events[:2]] == ["accepted", "started"]
        assert events[0]["data"]["message"]["text"] == "second"
        assert events[-1]["type"] == "completed"
        assert whole(events) == events[-1]["data"]["message"]["text"] == "You said: second"

        (end,) = lines_to_events(post(server, chat, "second", id="m2"))
        assert end["data"] == events[-1]["data"]
        assert len(answering.prompts) == 2


def test_a_repeated_post_joins_the_running_turn(server: str, store: Store, chat: Conversation) -> None:
    accepted = chat.accept("Hi", "m1")
    turn = Turn.begin(store, chat.id)
    assert turn
    turn.emit("So ")
    turn.emit("far")
    events = lines_to_events(post(server, chat, "Hi", id="m1"))
    joined = [next(events), next(events)]
    assert [event["type"] for event in joined] == ["started", "delta"]
    assert joined[1]["data"] == {"reply_id": turn.reply_id, "text": "So far", "offset": 0}
    turn.emit(", so good")
    turn.finish("completed")
    rest = list(events)
    assert whole(joined + rest) == rest[-1]["data"]["message"]["text"] == "So far, so good"
    assert accepted.message["id"] == rest[-1]["data"]["message"]["reply_to"]


def test_whoever_leaves_a_posts_stream_after_any_event_posts_again(
    server: str, store: Store, chat: Conversation
) -> None:
    chat.accept("the one before")
    before = Turn.begin(store, chat.id)
    assert before
    for k in range(5):
        response = post(server, chat, f"Hi {k}", id=f"m{k}")
        events = lines_to_events(response)
        seen = [next(events)]  # accepted, also while it waits
        before.finish("completed")
        turn = Turn.begin(store, chat.id)
        assert turn
        for piece in "ab":
            turn.emit(piece)
        seen += [next(events) for _ in range(min(k, 3))]
        response.close()
        again = lines_to_events(post(server, chat, f"Hi {k}", id=f"m{k}"))
        joined = [next(again), next(again)]
        turn.emit("c")
        joined.append(next(again))
        turn.finish("completed")
        joined += again
        assert [event["type"] for event in joined] == ["started", "delta", "delta", "completed"]
        assert whole(joined) == joined[-1]["data"]["message"]["text"] == "abc"
        assert "abc".startswith(whole(seen))
        chat.accept("the one before")
        before = Turn.begin(store, chat.id)
        assert before
    assert [event.type for event in chat.read(Position.parse(start(chat)), limit=999).events].count("completed") == 10


@both
def test_whoever_leaves_after_any_event_comes_back_without_a_gap(
    server: str, store: Store, chat: Conversation, first: str, second: str
) -> None:
    """The turn still runs: every event that was not seen comes, once."""
    begin = start(chat)
    chat.accept("Hi")
    turn = Turn.begin(store, chat.id)
    assert turn
    for piece in ("a", "b", "c"):
        turn.emit(piece)
    for k in range(1, 6):
        before = take(TRANSPORTS[first](server, chat.id, begin), k)
        after = take(TRANSPORTS[second](server, chat.id, before[-1]["id"]), 5 - k)
        assert numbers(before + after) == [1, 2, 3, 4, 5]
    turn.finish("completed", "d")
    for k in range(1, 6):
        after = take_until(TRANSPORTS[second](server, chat.id, f"{begin[:-1]}{k}"), "completed")
        # The deltas of a turn that has ended are covered by its end.
        assert numbers(after) == [n for n in (1, 2, 7) if n > k]
        assert after[-1]["data"]["message"]["text"] == "abcd"


@transport
def test_a_position_that_proves_nothing_gets_a_reset_and_then_the_rest(
    server: str, store: Store, chat: Conversation, transport: str
) -> None:
    for n in range(90):
        chat.accept(f"m{n}")
        turn = Turn.begin(store, chat.id)
        assert turn
        turn.finish("completed", "ok")
    epoch = start(chat).split("-")[0]
    for position in (None, "00000000-3", f"{epoch}-1", f"{epoch}-9999", "nonsense"):
        stream = TRANSPORTS[transport](server, chat.id, position)
        events = iter(stream)
        reset = next(events)
        assert reset["type"] == "reset" and reset["id"] == reset["data"]["position"]
        assert reset["data"]["messages"][-1]["text"] == "ok"
        chat.accept("one more")
        assert next(events)["type"] == "accepted"
        stream.close()
        chat.stop(chat.snapshot()["pending"][0]["id"])


@both
def test_two_clients_see_the_same(server: str, store: Store, chat: Conversation, first: str, second: str) -> None:
    one, two = (TRANSPORTS[name](server, chat.id, start(chat)) for name in (first, second))
    chat.accept("Hi")
    turn = Turn.begin(store, chat.id)
    assert turn
    seen = iter(one), iter(two)
    assert next(seen[0]) == next(seen[1])
    assert next(seen[0]) == next(seen[1])
    for piece in ("Hel", "lo"):
        turn.emit(piece)
        events = [next(stream) for stream in seen]
        assert events[0] == events[1] and events[0]["data"]["text"] == piece
        # Stored before it is published: whoever hears of it finds it.
        assert stored(server, chat)["turn"]["text"].endswith(piece)
    turn.finish("completed")
    ends = [next(stream) for stream in seen]
    assert ends[0] == ends[1] and ends[0]["data"]["message"] == stored(server, chat)["messages"][-1]
    one.close()
    two.close()


@transport
def test_the_end_of_a_conversation_is_told(server: str, chat: Conversation, transport: str) -> None:
    stream = TRANSPORTS[transport](server, chat.id, None)
    events = iter(stream)
    assert next(events)["type"] == "reset"
    chat.delete()
    if transport == "sse":
        assert next(events)["type"] == "gone"
    if transport == "polling":
        with pytest.raises(requests.HTTPError, match="404"):
            next(events)
    else:
        assert list(events) == []
    stream.close()
    assert requests.get(f"{server}/api/conversations/{chat.id}/events", timeout=10).status_code == 404


def test_a_web_process_that_is_told_to_end_ends_its_streams(
    start_web: Callable[..., tuple[str, Process]], chat: Conversation
) -> None:
    server, process = start_web()
    streams = [TRANSPORTS[name](server, chat.id, None) for name in ("sse", "socket")]
    events = [iter(stream) for stream in streams]
    for stream in events:
        assert next(stream)["type"] == "reset"
    assert process.end() == 0
    for stream in events:
        assert list(stream) == []


def test_a_slow_client_gets_all_of_it(server: str, store: Store, chat: Conversation) -> None:
    """It stalls while more is written than any buffer holds; nobody else waits for it."""
    slow = TRANSPORTS["socket"](server, chat.id, start(chat))
    events = iter(slow)
    chat.accept("Hi")
    assert next(events)["type"] == "accepted"
    turn = Turn.begin(store, chat.id)
    assert turn
    for _ in range(3000):
        turn.emit("x" * 1000)
    quick = take(TRANSPORTS["sse"](server, chat.id, start(chat)), 3002)
    seen = [next(events) for _ in range(3001)]
    assert numbers(seen) == numbers(quick)[1:]
    assert len(whole(quick)) == 3_000_000
    slow.close()
    wait_for(lambda: requests.get(f"{server}/healthz", timeout=5).ok)


@pytest.mark.slow
def test_lost_connections_to_redis_leave_no_hole_while_clients_come_and_go(
    start_web: Callable[..., tuple[str, Process]], store: Store, chat: Conversation
) -> None:
    """Under gevent, where every client may find the hub's connection broken in the middle of its own subscribing."""
    server, _ = start_web()
    others = [Conversation.create(store) for _ in range(6)]
    over = Event()
    threads = [Thread(target=_come_and_go, args=(server, other, over)) for other in others]
    watcher = iter(TRANSPORTS["sse"](server, chat.id, start(chat)))
    for thread in threads:
        thread.start()
    for n in range(8):
        store.client.client_kill_filter(_type="pubsub")
        chat.accept(f"m{n}")
        assert next(watcher)["data"]["message"]["text"] == f"m{n}"
    over.set()
    for thread in threads:
        thread.join()
    chat.accept("and after")
    assert next(watcher)["data"]["message"]["text"] == "and after"
    wait_for(lambda: requests.get(f"{server}/readyz", timeout=10).json()["parts"]["redis"] == "ok")


def _come_and_go(server: str, chat: Conversation, over: Event) -> None:
    while not over.is_set():
        try:
            take(TRANSPORTS["sse"](server, chat.id, None), 1)
        except requests.RequestException:
            continue  # its own stream may be refused for a moment
