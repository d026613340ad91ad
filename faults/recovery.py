"""How long it took until all went on after a fault, as the clients' logs tell."""

from dataclasses import dataclass, field
from itertools import pairwise

from faults.checker import Finding, first_seen
from faults.clients import ENDS, Conversation

# A pause that needs no recovery: the model's own are shorter. A turn that was silent for longer was not going on.
PAUSE_S, ALIVE_S = 1.5, 4.0


@dataclass
class Strike:
    """A fault that was made: when it began and its cause was over, the recoveries of those it touched, what broke."""

    name: str
    began: float
    over: float
    recoveries: list[float] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def group(self) -> str:
        return self.name.partition(":")[0]


class Timelines:
    """The conversations' events in order, each when the first client saw it."""

    def __init__(self, conversations: list[Conversation]) -> None:
        self._conversations = conversations
        self._events = [sorted(first_seen(c).values(), key=lambda entry: entry.at) for c in conversations]

    def recoveries(self, strike: Strike, until: float) -> list[float]:
        """Of a worker's death: from then until a turn began anew. Where clients lost their streams: from the end of
        the cause until they had a new one. Else: from there until a turn that had paused went on."""
        if strike.group == "worker":
            return self._begun_anew(strike.began, until)
        if strike.group == "web" or strike.name.endswith("clients and web"):
            return self._reconnected(strike.began, strike.over, until)
        return self._gone_on(strike.began, strike.over, until)

    def failed(self) -> int:
        """How many turns ended as failed."""
        return sum(entry.kind == "failed" for events in self._events for entry in events)

    def _begun_anew(self, began: float, until: float) -> list[float]:
        found = []
        for conversation, events in zip(self._conversations, self._events, strict=True):
            # The ring of a conversation with a single message may have died with the worker.
            first = conversation.sent[0].at if len(conversation.sent) == 1 else until
            # A turn that was silent already had other troubles.
            lived = any(began - ALIVE_S < entry.at <= began for entry in events)
            for entry in events:
                if lived and entry.kind == "started" and began < entry.at < until:
                    waited = first < began and entry.at - first > PAUSE_S
                    found += [entry.at - began] if entry.data["attempt"] > 1 or waited else []
        return found

    def _reconnected(self, began: float, over: float, until: float) -> list[float]:
        found = []
        for log in (log for conversation in self._conversations for log in conversation.logs if log.whole):
            within = [entry for entry in log.entries if began <= entry.at < until]
            lost = next((entry.at for entry in within if entry.kind == "lost"), until)
            back = next((entry.at for entry in within if entry.kind == "connected" and entry.at > lost), None)
            found += [max(0.0, back - over)] if back else []
        return found

    def _gone_on(self, began: float, over: float, until: float) -> list[float]:
        found = []
        for events in self._events:
            for last, following in pairwise(e for e in events if e.at < until):
                paused = last.kind not in ENDS and following.kind != "accepted"
                if paused and last.at <= over and began <= following.at > last.at + PAUSE_S:
                    found.append(following.at - (over if following.at > over else max(began, last.at)))
        return found
