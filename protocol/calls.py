"""All that can become of a call of a script: it answers, it is repeated, it comes late, its events are lost."""

from collections.abc import Callable, Iterator

from protocol.promises import check_store
from protocol.scenarios import Scenario
from protocol.scripts import Protocol
from protocol.store import Answer, Store, Told
from protocol.world import LIVE, MANY, READING, Broken, Call, Reader, Step, World

# What a call may answer when it is repeated as it stands and nothing has happened since, other than the same.
REPEATED = {"accepted": "duplicate", "released": "fenced", "deleted": "gone", "stopped": "finished"}


# What the caller makes of an answer.
Answered = Callable[[World, Answer], World]


def unmoved(then: World, answer: Answer) -> World:
    """The caller makes nothing of it."""
    return then


class Calls(Protocol):
    """The scripts, called in a world. Stores are kept once and known by number."""

    queue_max = 256

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.limited = [fault for fault, times in scenario.faults.items() if times != MANY]
        self.stores: list[Store] = []
        self.broken: dict[int, str] = {}
        self._numbers: dict[Store, int] = {}
        self._calls: dict[tuple[int, Call], tuple[int, Answer, Told]] = {}
        vars(self).update(scenario.limits)

    def number(self, s: Store) -> int:
        """The number of a store; a new one is checked."""
        if not self.scenario.watched:
            s = s._replace(n=0, trimmed=0, log=(), deltas=())  # what nobody reads
        found = self._numbers.setdefault(s, len(self.stores))
        if found == len(self.stores):
            self.stores.append(s)
            self.broken[found] = check_store(s)
        return found

    def may(self, w: World, fault: str) -> World | None:
        """The world with one fault of this kind less to come; None when there is none left."""
        if fault not in self.limited:
            return w if fault in self.scenario.faults else None
        n = self.limited.index(fault)
        return w._replace(left=(*w.left[:n], w.left[n] - 1, *w.left[n + 1 :])) if w.left[n] else None

    def call(self, store: int, call: Call) -> tuple[int, Answer, Told]:
        """What a script does to a store, found once; it must be possible to repeat it."""
        if (store, call) not in self._calls:
            s, answer = self.run(self.stores[store], *call)
            told, s = s.told, s._replace(told=())
            again, second = self.run(s, *call)
            if again != s or (second != answer and second[0] != REPEATED.get(answer[0])):
                raise Broken(f"a call can be repeated: {call} answers {answer}, and at once again {second}")
            self._calls[store, call] = self.number(s), answer, told
        return self._calls[store, call]

    def calls(
        self, w: World, call: Call, answered: Answered = unmoved, fair: bool = True, unanswered: World | None = None
    ) -> Iterator[Step]:
        """All that can become of a call. `unanswered` has the caller that will repeat it."""
        store, answer, told = self.call(w.store, call)
        changed = store != w.store
        after = [("", w._replace(store=store, reader=self.hear(w.reader, told)) if changed else w)]
        if told and w.reader.phase in (READING, LIVE) and (deaf := self.may(w, "events lost")):
            after.append(("its events are lost", deaf._replace(store=store, reader=w.reader._replace(missed=True))))
        for note, then in after:
            yield (call, "→", answer, note), fair and not note, answered(then, answer)
            # Who hears nothing of a call that changed nothing could as well make it later.
            if changed and unanswered and (left := self.may(then, "answer lost")):
                yield (call, "→", answer, "the answer is lost"), False, left._replace(workers=unanswered.workers)
        if not w.late and (left := self.may(unanswered or w, "late")):
            yield (call, "is on its way, and is made anew"), False, left._replace(late=call)

    def asks(self, w: World, script: str, *args: str) -> Iterator[Step]:
        if then := self.may(w, script):
            yield from self.calls(then, (script, *args), fair=False)

    def hear(self, r: Reader, told: Told) -> Reader:
        if not told or r.phase not in (READING, LIVE):
            return r
        inbox, (epoch, event) = (*r.inbox, *told), told[-1]
        full = r.incomplete or len(inbox) > self.queue_max
        return r._replace(inbox=inbox[: self.queue_max], newest=(epoch, event[0]), incomplete=full)
