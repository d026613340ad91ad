"""The traffic: conversations that go on while faults come and go."""

import time
from random import Random
from threading import Event, Thread

from faults.clients import Conversation, Gone, Json, Sent, Watcher
from faults.replies import Order

# A turn that has not ended so long after the last fault is stuck.
ENDS_WITHIN_S, CAUGHT_UP_WITHIN_S = 60, 30

GONE = "the conversation was gone"


class Traffic:
    """Conversations side by side, each with a sender and watchers of different habits."""

    def __init__(self, address: str, name: str, conversations: int, rng: Random) -> None:
        self.address, self.name, self.rng = address, name, rng
        self.conversations: list[Conversation] = []
        self.goes_on, self.over = Event(), Event()
        self.goes_on.set()
        self.talks = [Talk(self, self.open(), Random(rng.random())) for _ in range(conversations)]
        for talk in self.talks:
            talk.start()

    def open(self) -> Conversation:
        """A new conversation that is checked in the end."""
        name = f"{self.name}{len(self.conversations)}"
        conversation = Conversation(self.address, name, Random(self.rng.random()))
        self.conversations.append(conversation)
        return conversation

    def turn(self, order: Order) -> tuple[Conversation, Sent]:
        """One message in a conversation of its own, with one client that watches."""
        conversation = self.open()
        conversation.watch()
        return conversation, conversation.send(order)

    @property
    def messages(self) -> int:
        return sum(sent.asked for conversation in self.conversations for sent in conversation.sent)

    def pause(self) -> None:
        """Let the senders be silent until `goes_on` is set again, and wait until nothing is on its way."""
        self.goes_on.clear()
        self._await_ends()

    def finish(self) -> None:
        """Let all come to an end: no new messages, running turns end, clients catch up, final documents are fetched."""
        self.over.set()
        self.goes_on.set()
        for talk in self.talks:
            talk.join(ENDS_WITHIN_S)
        end = self._await_ends() + CAUGHT_UP_WITHIN_S
        for conversation in self.conversations:
            conversation.settle()
            while not conversation.caught_up() and time.monotonic() < end:
                time.sleep(0.1)

    def _await_ends(self) -> float:
        """Wait until no turn is on its way, and say when that was."""
        end = time.monotonic() + ENDS_WITHIN_S
        for conversation in self.conversations:
            for sent in conversation.sent[-3:]:
                conversation.end_of(sent, max(0, end - time.monotonic()))
        return time.monotonic()


class Talk(Thread):
    """A sender: sends, waits, now and then is impatient, stops, withdraws, or wants another reply."""

    def __init__(self, traffic: Traffic, conversation: Conversation, rng: Random) -> None:
        super().__init__(daemon=True)
        self.traffic, self.conversation, self.rng = traffic, conversation, rng
        self.visitor: Watcher | None = None
        conversation.watch()
        # At most one in three clients is slow, as they hold up the final check.
        conversation.watch(slow_s=rng.choice((0, 0, 0.02)))

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
        if not (self.visitor and self.visitor.is_alive()):
            self.visitor = self.conversation.watch(leaves_at=time.monotonic() + self.rng.uniform(10, 60))

    def _exchange(self) -> None:
        mood, conversation = self.rng.random(), self.conversation
        sent = conversation.send(self._order())
        if mood < 0.1:
            behind = [conversation.send(self._order()) for _ in range(2)]
            if mood < 0.07:
                conversation.stop(behind[-1])
            sent = behind[0]
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
