"""The protocol of a turn, driven at random against a real store, beside a model of what the contract says of it.

Two workers, clients that repeat what was answered already, leases that lapse, sweeps, deletion. After each step: every
published event follows from the ones before, and what they tell is what the store shows.
"""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from protocol_model import Client, Contract, Json, Running

from chat import keys
from chat.config import Config
from chat.conversation import Conversation
from chat.errors import (
    Busy,
    ConversationGone,
    FencedOff,
    MessageConflict,
    MessageUnknown,
    NotLastTurn,
    QueueFull,
)
from chat.events import ENDS, Event, Position
from chat.live import Live
from chat.store import Store
from chat.turns import Turn, renew, sweep

PENDING_MAX = 3
FUZZ = int(os.environ.get("FUZZ", "1"))  # `make fuzz` sets it
WORKERS = st.integers(0, 1)
TEXTS = st.sampled_from(["a", " and", "é", "😀", "한 ", "", "\n"])
ONCE_OR_AGAIN = st.sampled_from([False, False, True])


class Repeating(Store):
    """A store whose scripts run twice when `lossy`: the first answer was lost, so the caller asked again."""

    lossy = False

    def run_on(self, script: str, on: list[str], *args: str | int) -> Any:
        if self.lossy:
            super().run_on(script, on, *args)
        return super().run_on(script, on, *args)


class TurnMachine(RuleBasedStateMachine):
    """One conversation at a time; a deleted one is followed by the next."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.store = Repeating(replace(config, lease_s=60.0, pending_max=PENDING_MAX))
        self.live = Live(self.store.client)
        self.turns: dict[int, Turn] = {}
        self.open()

    def open(self) -> None:
        self.chat = Conversation.create(self.store)
        self.contract = Contract()
        self.client = Client()
        self.seen: list[Event] = []
        self.live.subscribe(keys.live(self.chat.id))
        heard = self.live.hear(10)
        assert heard and heard.event is None

    # --- clients ---

    def lossy(self, again: bool, call: Callable[[], Any]) -> Any:
        """What the call returns, or the class of what it raises; again: after its first answer was lost."""
        self.store.lossy = again
        try:
            return call()
        except (Busy, ConversationGone, FencedOff, MessageConflict, MessageUnknown, NotLastTurn, QueueFull) as error:
            return type(error)
        finally:
            self.store.lossy = False

    @rule(text=st.sampled_from(["Hi", "How are you? 😀"]), again=ONCE_OR_AGAIN)
    def accept(self, text: str, again: bool) -> None:
        self.contract.settle()
        message_id, room = f"m{len(self.contract.texts)}", len(self.contract.waiting) < PENDING_MAX
        answer = self.lossy(again, lambda: self.chat.accept(text, message_id))
        if not room:
            assert answer is QueueFull
            return
        assert answer.outcome == "waiting" and (answer.event is None) == again
        assert answer.position == len(self.contract.waiting) + bool(self.contract.running)
        if self.contract.running and self.contract.running.lease == "lapsed":
            self.contract.running.lease = "rung"
        self.contract.waiting.append(message_id)
        self.contract.texts[message_id] = text
        self.contract.owed += 1

    @precondition(lambda self: self.contract.texts)
    @rule(data=st.data(), other_text=ONCE_OR_AGAIN)
    def accept_what_is_known(self, data: st.DataObject, other_text: bool) -> None:
        self.contract.settle()
        message_id, text = data.draw(st.sampled_from(list(self.contract.texts.items())))
        answer = self.lossy(False, lambda: self.chat.accept(f"{text}!" if other_text else text, message_id))
        if other_text:
            assert answer is MessageConflict
        else:
            assert answer.event is None and answer.outcome == self.outcome(message_id)
            assert (answer.reply or {}).get("reply_to") == (message_id if answer.outcome == "finished" else None)

    def outcome(self, message_id: str) -> str:
        if message_id in self.contract.waiting:
            return "waiting"
        if self.contract.running and self.contract.running.message_id == message_id:
            return "running"
        return "withdrawn" if self.contract.ended[message_id] == "withdrawn" else "finished"

    @precondition(lambda self: self.client.messages)
    @rule(data=st.data(), again=ONCE_OR_AGAIN)
    def retry(self, data: st.DataObject, again: bool) -> None:
        self.contract.settle()
        self.listen()
        replies = [message for message in self.client.messages if message["role"] == "bot"][-2:]
        reply = data.draw(st.sampled_from(replies or [{"reply_to": "m", "id": "r"}]))
        answer = self.lossy(again, lambda: self.chat.retry(reply["reply_to"], reply["id"]))
        if reply is not self.client.messages[-1]:
            assert answer is NotLastTurn
        elif self.contract.waiting:
            assert answer is Busy
        else:
            assert answer == ("duplicate" if again else "accepted")
            self.contract.waiting.append(reply["reply_to"])
            self.contract.owed += 1

    @precondition(lambda self: self.contract.texts)
    @rule(data=st.data(), again=ONCE_OR_AGAIN)
    def stop(self, data: st.DataObject, again: bool) -> None:
        self.contract.settle()
        message_id = data.draw(st.sampled_from([*self.contract.texts, "never"]))
        answer = self.lossy(again, lambda: self.chat.stop(message_id))
        running = self.contract.running
        if message_id == "never":
            assert answer is MessageUnknown
        elif running and running.message_id == message_id:
            assert answer == ("stopping" if running.lease == "living" else "stopped")
            running.stop = True
            self.contract.settle()
        elif message_id in self.contract.waiting:
            self.contract.waiting.remove(message_id)
            # A retry that is withdrawn leaves the reply that it was to replace.
            retried = self.contract.ended.get(message_id)
            self.contract.ended[message_id] = retried or "withdrawn"
            self.contract.owed -= 1
            assert answer == ("stopped" if not again or retried in (None, "stopped") else "finished")
        else:
            stopped = self.contract.ended[message_id] in ("stopped", "withdrawn")
            assert answer == ("stopped" if stopped else "finished")

    @precondition(lambda self: self.contract.ended)
    @rule(again=ONCE_OR_AGAIN)
    def delete(self, again: bool) -> None:
        assert self.lossy(again, self.chat.delete) is (ConversationGone if again else None)
        heard = self.live.hear(10)
        while heard and heard.event and heard.event.type != "gone":
            heard = self.live.hear(10)
        assert heard, "nobody was told of the end"
        assert not self.store.client.exists(*self.own_keys())
        assert self.places() == (False, False)
        for call in (self.chat.snapshot, lambda: self.chat.accept("Hi")):
            assert self.lossy(False, call) is ConversationGone
        self.open()

    @rule(data=st.data())
    def come_back(self, data: st.DataObject) -> None:
        """A client that left after any event reads on, and knows the same as one that stayed."""
        snapshot = self.listen()
        left = data.draw(st.integers(0, len(self.seen)))
        client = Client()
        for event in self.seen[:left]:
            client.see(event)
        after = self.seen[left - 1].position if left else Position(self.client_epoch(), 0)
        batch = self.chat.read(after)
        same_epoch = after.epoch == self.client_epoch()
        assert ([event.type for event in batch.events] == ["reset"]) == (not same_epoch)
        for event in batch.events:
            published = self.seen[event.position.n - 1] if same_epoch else event
            assert (event.type, event.data) == (published.type, published.data)
            client.see(event)
        client.shows(snapshot)

    def client_epoch(self) -> str:
        return Position.parse(self.chat.snapshot()["position"]).epoch

    @precondition(lambda self: self.seen)
    @rule()
    def lose_the_store_for_a_moment(self) -> None:
        """It comes back as another server: from now on old positions prove nothing."""
        before = self.client_epoch()
        self.store.client.hset(f"{self.own_keys()[0]}:run", "server", "the one before")
        assert self.client_epoch() != before

    # --- workers ---

    @rule(worker=WORKERS, again=ONCE_OR_AGAIN)
    def begin(self, worker: int, again: bool) -> None:
        self.contract.settle()
        busy = self.contract.running and self.contract.running.lease == "living"
        turn = self.lossy(again, lambda: Turn.begin(self.store, self.chat.id))
        expected = None if busy else self.contract.begin()
        assert (turn and turn.message_id) == expected
        if turn:
            assert self.contract.running
            self.contract.running.holder, self.contract.running.lease = turn, "living"
            self.turns[worker] = turn
            assert turn.window == (self.chat.snapshot()["messages"])[-4:]
            assert turn.window[-1]["id"] == turn.message_id

    @precondition(lambda self: self.turns)
    @rule(data=st.data(), text=TEXTS, again=ONCE_OR_AGAIN)
    def emit(self, data: st.DataObject, text: str, again: bool) -> None:
        turn = self.draw_turn(data)
        self.write(turn, again, lambda: turn.emit(text), lambda running: not running.stop)

    @precondition(lambda self: self.turns)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        turn = self.draw_turn(data)
        holds, before = self.contract.holds(turn), self.contents()
        assert renew(self.store, [turn]) == {
            "stop": [turn] if holds and self.contract.running and self.contract.running.stop else [],
            "fenced": [] if holds else [turn],
        }
        assert holds or self.contents() == before

    @precondition(lambda self: self.turns)
    @rule(data=st.data(), how=st.sampled_from(ENDS), text=TEXTS, again=ONCE_OR_AGAIN)
    def finish(self, data: st.DataObject, how: Any, text: str, again: bool) -> None:
        turn = self.draw_turn(data)
        failure: Json = {"code": "c", "detail": "d", "retryable": True} if how == "failed" else {}
        for known, waiting in self.contract.finished[-1:]:
            if known is turn and turn.conversation_id == self.chat.id:
                # The repeat of the newest end is told the same, whatever has happened since.
                assert self.lossy(again, lambda: turn.finish(how, text, **failure)) == waiting
                return
        if self.write(turn, again, lambda: turn.finish(how, text, **failure), lambda _: len(self.contract.waiting)):
            self.contract.end(how)
            self.contract.finished.append((turn, len(self.contract.waiting)))

    @precondition(lambda self: self.turns)
    @rule(data=st.data(), strike=st.booleans(), again=ONCE_OR_AGAIN)
    def release(self, data: st.DataObject, strike: bool, again: bool) -> None:
        self.give_back(self.draw_turn(data), strike, again)

    def give_back(self, turn: Turn, strike: bool, again: bool) -> None:
        self.contract.settle()
        running = self.contract.running
        # Who gives a turn back is alive: what a sweep has counted was no death.
        swept = running is not None and running.lease is None
        strikes = running.strikes - swept if running else 0
        # The repeat finds that it holds nothing any more, which is what it wanted.
        answer = (lambda _: FencedOff) if again else (lambda _: None)
        if self.write(turn, again, lambda: turn.release(strike), answer):
            assert running
            running.holder, running.lease, running.strikes = None, None, strikes + strike
            self.contract.settle()

    def draw_turn(self, data: st.DataObject) -> Turn:
        return data.draw(st.sampled_from(list(self.turns.values())))

    def write(self, turn: Turn, again: bool, call: Callable[[], Any], answer: Callable[[Running], Any]) -> bool:
        """Let a worker write: the holder of the fence is answered as it should be, anybody else changes nothing."""
        self.contract.settle()
        self.chat.snapshot()  # settles in the store what the line above has settled
        before = self.contents()
        holds = self.contract.holds(turn)
        found = self.lossy(again, call)
        if holds:
            assert self.contract.running
            assert found == answer(self.contract.running)
        else:
            assert found is FencedOff and self.contents() == before
        return holds

    @precondition(lambda self: self.contract.running and self.contract.running.lease == "living")
    @rule()
    def fall_silent(self) -> None:
        """The worker that holds the turn says nothing until its lease has lapsed."""
        running = self.contract.running
        assert running and running.holder
        self.store.run("renew", self.chat.id, "*", running.holder.fence, 1)
        time.sleep(0.003)
        running.lease = "lapsed"

    @precondition(lambda self: self.contract.running and self.contract.running.lease == "living")
    @rule(worker=WORKERS, how=st.sampled_from(["unseen", "swept", "broke off"]))
    def take_over(self, worker: int, how: str) -> None:
        """What becomes of a turn whose worker fails; as one step, so that three in a row are not too rare."""
        running = self.contract.running
        assert running and running.holder
        if how == "broke off":
            self.give_back(running.holder, strike=True, again=False)
        else:
            self.fall_silent()
        if how == "swept":
            self.sweep()
        self.begin(worker, again=False)

    @rule()
    def sweep(self) -> None:
        named, running = sweep(self.store, again_ms=0), self.contract.running
        if self.chat.id in named:
            assert running or self.contract.waiting
            assert not running or running.lease != "living"
        if running and running.lease == "lapsed":
            assert self.chat.id in named
            running.lease = None
            running.strikes += 1

    # --- what must always hold ---

    @invariant()
    def promises(self) -> None:
        self.contract.settle()
        snapshot = self.listen()
        self.the_events_tell_what_the_store_shows(snapshot)
        self.every_accepted_message_gets_exactly_one_end()
        self.work_is_in_exactly_one_index()
        self.a_guests_conversation_expires_only_at_rest()

    def the_events_tell_what_the_store_shows(self, snapshot: Json) -> None:
        self.client.shows(snapshot)
        assert [message["id"] for message in snapshot["pending"]] == self.contract.waiting
        running = self.contract.running
        assert (snapshot["turn"] or {}).get("message_id") == (running and running.message_id)

    def every_accepted_message_gets_exactly_one_end(self) -> None:
        told = [event.type for event in self.seen]
        owed = len(self.contract.waiting) + bool(self.contract.running)
        assert told.count("accepted") - sum(map(told.count, ENDS)) == self.contract.owed == owed
        # In the order in which they were accepted, each with its one reply behind it.
        for message, reply in zip(self.client.messages, self.client.messages[1:], strict=False):
            if message["role"] == "human":
                assert reply["reply_to"] == message["id"] and reply["status"] == self.contract.ended[message["id"]]

    def work_is_in_exactly_one_index(self) -> None:
        running = self.contract.running
        leased = bool(running and running.lease in ("living", "lapsed"))
        assert self.places() == (not leased and bool(running or self.contract.waiting), leased)

    def a_guests_conversation_expires_only_at_rest(self) -> None:
        work = self.contract.running or self.contract.waiting
        lives = [self.store.client.ttl(key) for key in self.own_keys() if self.store.client.exists(key)]
        assert all((ttl < 0) == bool(work) for ttl in lives)

    def teardown(self) -> None:
        """However it stands, one healthy worker brings everything to its end."""
        if self.contract.running and self.contract.running.lease == "living":
            self.fall_silent()
        for _ in range(PENDING_MAX + 1):
            if turn := Turn.begin(self.store, self.chat.id):
                turn.finish("completed", "done")
        self.listen()
        told = [event.type for event in self.seen]
        assert told.count("accepted") == sum(map(told.count, ENDS))
        assert self.places() == (False, False)
        self.chat.delete()
        self.live.close()
        self.store.close()

    # --- looking ---

    def listen(self) -> Json:
        """Hear all that was published, each event once and in order; return the snapshot of that moment."""
        snapshot = self.chat.snapshot()
        newest = Position.parse(snapshot["position"]).n
        while len(self.seen) < newest:
            heard = self.live.hear(10)
            assert heard, "an event that is stored was not published"
            if heard.channel == keys.live(self.chat.id) and heard.event:
                assert heard.event.position.n == len(self.seen) + 1
                self.seen.append(heard.event)
                self.client.see(heard.event)
        return snapshot

    def own_keys(self) -> list[str]:
        return keys.conversation(self.chat.id)[:6]

    def places(self) -> tuple[bool, bool]:
        """Whether it is in its bucket's ready index, and in its leased one."""
        ready, leased = keys.conversation(self.chat.id)[6:8]
        found = [self.store.client.zscore(index, self.chat.id) for index in (ready, leased)]
        return found[0] is not None, found[1] is not None

    def contents(self) -> list[Any]:
        """All that is stored of it."""
        document, run, partial, ids, log, deltas = self.own_keys()
        client: Any = self.store.client
        return [
            client.execute_command("JSON.GET", document), client.hgetall(run), client.get(partial), client.hgetall(ids),
            client.xrange(log), client.xrange(deltas),
        ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(400)  # to tell of a failure in its shortest form takes minutes
def test_the_protocol_keeps_its_promises_whatever_happens(store: Store, config: Config) -> None:
    machine: Any = lambda: TurnMachine(config)  # noqa: E731
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=80 * FUZZ, stateful_step_count=50, suppress_health_check=[HealthCheck.too_slow], deadline=None
        ),
    )
