"""What may be lost by Redis' own rules: clients that send it again, and a checker that counts it apart."""

import time
from threading import Event, Thread

from faults.checker import Finding, check
from faults.clients import ENDS, Conversation
from faults.recovery import Strike, Timelines
from faults.traffic import GONE, Traffic


class Healer(Thread):
    """Does what real clients do: what was acknowledged and is not in a reset is sent again, under the same id."""

    def __init__(self, traffic: Traffic) -> None:
        super().__init__(daemon=True)
        self.traffic, self.over = traffic, Event()
        self.healed: list[tuple[float, str]] = []
        self._seen: dict[str, float] = {}

    def run(self) -> None:
        while not self.over.wait(0.3):
            for conversation in list(self.traffic.conversations):
                self._look(conversation)

    def _look(self, conversation: Conversation) -> None:
        logs = [log for log in list(conversation.logs) if log.whole]
        newest = max((e.at for log in logs for e in list(log.entries) if e.kind == "reset"), default=0.0)
        if newest <= self._seen.get(conversation.id, 0):
            return
        self._seen[conversation.id] = newest
        sent = [sent for sent in conversation.sent[-20:] if sent.acknowledged and sent.outcome != "stopped"]
        # Asked for now: the reset may be older than what was acknowledged before it arrived.
        now = conversation.call("GET", conversation.path).json()
        known = {message["id"] for message in now["messages"] + now["pending"]}
        for missing in (message for message in sent if message.id not in known):
            path = f"{conversation.path}/messages"
            answer = conversation.call("POST", path, id=missing.id, text=missing.text).json()
            # It may have been withdrawn by a stop whose answer has not come yet.
            if answer["outcome"] != "withdrawn":
                self.healed.append((time.monotonic(), missing.id))

    def rest(self) -> None:
        """Wait until everything that was sent again is answered too."""
        for conversation in self.traffic.conversations:
            end = time.monotonic() + 60
            while time.monotonic() < end:
                now = conversation.call("GET", conversation.path).json()
                if not now["turn"] and not now["pending"]:
                    break
                time.sleep(0.2)
        self.over.set()
        if self.is_alive():
            self.join()


def _undone(conversation: Conversation) -> int:
    """How many replies were told to the end, and were then written anew."""
    stored = {message["id"] for message in conversation.final["pages"]}
    asked_again = {sent.id for sent in conversation.sent if sent.asked > 1}
    told = [entry.data["message"] for log in conversation.logs for entry in log.entries if entry.kind in ENDS
            and "message" in entry.data]  # fmt: skip
    return len({reply["id"] for reply in told if reply["reply_to"] not in asked_again} - stored)


def _check_lossy(conversation: Conversation, healed: set[str]) -> list[Finding]:
    """What each client saw must hold together as ever; the documents need only agree with what was told since."""
    seen = {log.name for log in conversation.logs}
    found = [finding for finding in check(conversation) if finding.where in seen and finding.kind != "late"]
    epoch = conversation.final["snapshot"]["position"].partition("-")[0]
    for log in conversation.logs:
        if any(entry.id and not entry.id.startswith(epoch) for entry in log.entries):
            log.entries = [entry for entry in log.entries if log.whole and entry.id.startswith(epoch)]
    # It is there. A sender that stops or asks anew for a message that was lost gets a 404 too.
    conversation.complaints = [entry for entry in conversation.complaints if entry.kind != GONE]
    if healed & {sent.id for sent in conversation.sent}:
        # What is sent again comes after what was sent meanwhile.
        order = {message["id"]: n for n, message in enumerate(conversation.final["pages"])}
        conversation.sent.sort(key=lambda sent: order.get(sent.id, len(order)))
    return found + [finding for finding in check(conversation) if finding.where not in seen]


def judge_lossy(conversations: list[Conversation], strikes: list[Strike], healer: Healer) -> list[str]:
    """As `judge`; and say what was lost and healed."""
    timelines, told, undone = Timelines(conversations), [], sum(map(_undone, conversations))
    ends = [*(strike.began for strike in strikes[1:]), float("inf")]
    for strike, until in zip(strikes, ends, strict=True):
        strike.recoveries = timelines.recoveries(strike, until)
        lost = sum(strike.began <= at < until for at, _ in healer.healed)
        told.append(f"{strike.name}: {lost} acknowledged messages lost and sent again")
    healed = {message_id for _, message_id in healer.healed}
    for finding in (finding for conversation in conversations for finding in _check_lossy(conversation, healed)):
        next(s for s in reversed(strikes) if s.began <= finding.at).findings.append(finding)
    return [*told[1:], f"{healer.traffic.name}: {undone} replies told to their end, then written anew"]
