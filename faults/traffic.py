"""The traffic: conversations that go on while faults come and go, and what clients do where messages got lost."""

import time
from random import Random
from threading import Event, Thread

from faults.clients import Conversation
from faults.replies import Order
from faults.story import GONE, Json, Log, Sent
from faults.system import wait_for
from faults.watching import Gone

# A turn that has not ended so long after the last fault is stuck.
ENDS_WITHIN_S, CAUGHT_UP_WITHIN_S = 60, 30


class Traffic:
    """Conversations side by side, each with a sender and watchers of different habits."""

    def __init__(self, address: str, name: str, conversations: int, rng: Random) -> None:
        self.address, self.name, self.rng = address, name, rng
        self.conversations: list[Conversation] = []
        self.goes_on, self.over = Event(), Event()
        self.goes_on.set()
        self.talks = [Talk(self, self.open(), Random(rng.random())) for _ in range(conversations)]

    def open(self) -> Conversation:
        """A new conversation that is checked in the end."""
        name = f"{self.name}{len(self.conversations)}"
        self.conversations.append(Conversation(self.address, name, Random(self.rng.random())))
        return self.conversations[-1]

    def turns(self, count: int, order: Order) -> list[Conversation]:
        """So many turns with this order, each in a conversation of its own with one client that watches."""
        conversations = [self.open() for _ in range(count)]
        for conversation in conversations:
            conversation.watch()
            conversation.send(order)
        return conversations

    @property
    def messages(self) -> int:
        return sum(sent.asked for conversation in self.conversations for sent in conversation.sent)

    def pause(self) -> None:
        """Let the senders be silent until `goes_on` is set again, and wait until nothing is on its way."""
        self.goes_on.clear()
        end = time.monotonic() + ENDS_WITHIN_S
        for conversation in self.conversations:
            for sent in conversation.sent[-3:]:
                conversation.end_of(sent, max(0, end - time.monotonic()))

    def finish(self) -> None:
        """Let all come to an end: no new messages, running turns end, clients catch up, final documents are fetched."""
        self.over.set()
        self.goes_on.set()
        for talk in self.talks:
            talk.join(ENDS_WITHIN_S)
        self.pause()
        end = time.monotonic() + CAUGHT_UP_WITHIN_S
        for conversation in self.conversations:
            conversation.settle()
            wait_for(conversation.caught_up, end - time.monotonic())


class Talk(Thread):
    """A sender: sends, waits, now and then is impatient, stops, withdraws, or wants another reply."""

    def __init__(self, traffic: Traffic, conversation: Conversation, rng: Random) -> None:
        super().__init__(daemon=True)
        self.traffic, self.conversation, self.rng = traffic, conversation, rng
        conversation.watch()
        # At most one in three clients is slow, as they hold up the final check.
        conversation.watch(slow_s=rng.choice((0, 0, 0.02)))
        self.visitor = Log("nobody yet", left=True)
        self.start()

    def run(self) -> None:
        try:
            while not self.traffic.over.is_set():
                self.traffic.goes_on.wait()
                self._be_visited()
                self._exchange()
                time.sleep(self.rng.uniform(0, 2))
        except Gone:
            self.conversation.complain(GONE)

    def _be_visited(self) -> None:
        """A client that comes without a position, and leaves for good after a while."""
        if self.visitor.left:
            self.visitor = self.conversation.watch(leaves_at=time.monotonic() + self.rng.uniform(10, 60))

    def _exchange(self) -> None:
        mood, conversation = self.rng.random(), self.conversation
        sent = conversation.send(self._order())
        if mood < 0.1:
            sent, last = conversation.send(self._order()), conversation.send(self._order())
            if mood < 0.07:
                conversation.stop(last)
        elif mood < 0.2:
            time.sleep(self.rng.uniform(0, 4))
            conversation.stop(sent)
        self._look_at(sent, conversation.end_of(sent))

    def _look_at(self, sent: Sent, end: Json | None) -> None:
        """Failed and stopped replies are asked for again, and now and then a good one."""
        again = {"failed": 0.5, "stopped": 0.3, "completed": 0.05}
        if end and self.rng.random() < again.get(end["status"], 0):
            self.conversation.retry(sent, end)
            self.conversation.end_of(sent)

    def _order(self) -> Order:
        rng = self.rng
        return Order(rng.randint(5, 100), rng.choice((20, 50, 400)), rng.choice((20, 60, 100)), rng.choice((0, 0, 500)))


class Healer(Thread):
    """Does what real clients do: what was acknowledged and is not in a reset is sent again, under the same id."""

    def __init__(self, traffic: Traffic) -> None:
        super().__init__(daemon=True)
        self.traffic, self.over = traffic, Event()
        self.resent: list[tuple[float, str]] = []
        self._seen: dict[str, float] = {}
        self.start()

    def run(self) -> None:
        while not self.over.wait(0.3):
            for conversation in list(self.traffic.conversations):
                self._look(conversation)

    def _look(self, conversation: Conversation) -> None:
        newest = max((e.at for log in conversation.watched for e in list(log.entries) if e.kind == "reset"), default=0)
        if newest <= self._seen.get(conversation.id, 0):
            return
        self._seen[conversation.id] = newest
        sent = [sent for sent in conversation.sent[-20:] if sent.acknowledged and sent.outcome != "stopped"]
        # Asked for now: the reset may be older than what was acknowledged before it arrived.
        now = conversation.call("GET").json()
        known = {message["id"] for message in now["messages"] + now["pending"]}
        for missing in (message for message in sent if message.id not in known):
            answer = conversation.call("POST", "/messages", id=missing.id, text=missing.text).json()
            # It may have been withdrawn by a stop whose answer has not come yet.
            if answer["outcome"] != "withdrawn":
                self.resent.append((time.monotonic(), missing.id))

    def rest(self) -> None:
        """Let the senders be silent, and wait until everything that was sent again is answered too."""
        self.traffic.pause()
        for conversation in self.traffic.conversations:
            wait_for(conversation.is_quiet, 60)
        self.over.set()
        self.join()
