"""What a fault did: the promises that it broke, and how long it took until all went on, as the clients' logs tell."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from faults.checker import Finding, check, first_seen
from faults.story import ENDS, GONE, Entry, Story

# A pause that needs no recovery: the model's own are shorter. A turn that was silent for longer was not going on.
PAUSE_S, ALIVE_S = 1.5, 4.0
# So long after a fault that severs connections events may still be late: a half-open one to Redis is noticed in 10 s.
LATE_AFTER_S = 12.0

# Each conversation with its events in order, each when the first client saw it.
Told = list[tuple[Story, list[Entry]]]


@dataclass
class Strike:
    """A fault that was made: when it was prepared, began, and its cause was over; the recoveries of whom it hit, and
    what broke."""

    name: str
    prepared: float = field(default_factory=time.monotonic)
    began: float = field(default_factory=time.monotonic)
    over: float = 0
    severs: bool = False
    recoveries: list[float] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def judge(stories: Sequence[Story], strikes: list[Strike], look: Callable[[Story], list[Finding]]) -> int:
    """Give each strike the findings and the recoveries that came after it and before the next.

    Returns how many turns failed.
    """
    told = [(story, sorted(first_seen(story).values(), key=lambda entry: entry.at)) for story in stories]
    for finding in [finding for story in stories for finding in look(story) if not _excused(finding, strikes)]:
        next((s for s in reversed(strikes) if s.began <= finding.at), strikes[0]).findings.append(finding)
    for strike, until in zip(strikes, [*(strike.prepared for strike in strikes[1:]), float("inf")], strict=True):
        strike.recoveries = strike.recoveries or list(_recoveries(told, strike, until))
    return sum(entry.kind == "failed" for _, events in told for entry in events)


def _excused(finding: Finding, strikes: list[Strike]) -> bool:
    return finding.kind == "late" and any(s.severs and s.began <= finding.at <= s.over + LATE_AFTER_S for s in strikes)


def _recoveries(told: Told, strike: Strike, until: float) -> Iterator[float]:
    """Of a worker's death: from then until a turn began anew. Where clients lost their streams: from the end of
    the cause until they had a new one. Else: from there until a turn that had paused went on."""
    if strike.name.startswith("worker:"):
        return _begun_anew(told, strike, until)
    if strike.name.startswith("web:") or strike.name.endswith("clients and web"):
        return _reconnected(told, strike, until)
    return _gone_on(told, strike, until)


def _begun_anew(told: Told, strike: Strike, until: float) -> Iterator[float]:
    for story, events in told:
        # The ring of a conversation with a single message may have died with the worker.
        first = story.sent[0].at if len(story.sent) == 1 else until
        # A turn that was silent already had other troubles.
        lived = any(strike.began - ALIVE_S < entry.at <= strike.began for entry in events)
        for entry in events:
            if lived and entry.kind == "started" and strike.began < entry.at < until:
                waited = first < strike.began and entry.at - first > PAUSE_S
                if waited or entry.data["attempt"] > 1:
                    yield entry.at - strike.began


def _reconnected(told: Told, strike: Strike, until: float) -> Iterator[float]:
    for log in (log for story, _ in told for log in story.watched):
        within = [entry for entry in log.entries if strike.began <= entry.at < until]
        lost = next((entry.at for entry in within if entry.kind == "lost"), until)
        if back := next((entry.at for entry in within if entry.kind == "connected" and entry.at > lost), None):
            yield max(0.0, back - strike.over)


def _gone_on(told: Told, strike: Strike, until: float) -> Iterator[float]:
    for _, events in told:
        for last, following in pairwise(entry for entry in events if entry.at < until):
            paused = last.kind not in ENDS and following.kind != "accepted"
            if paused and last.at <= strike.over and strike.began <= following.at > last.at + PAUSE_S:
                yield following.at - (strike.over if following.at > strike.over else max(strike.began, last.at))


def check_lossy(resent: list[tuple[float, str]], story: Story) -> list[Finding]:
    """As `check`, where Redis may lose by its own rules what was acknowledged, and clients send it again: when, which.

    What each client saw must hold together as ever; the documents need only agree with what was told since.
    """
    seen, ids = {log.name for log in story.logs}, {sent.id for sent in story.sent}
    lost = [Finding(at, "resent", which, "acknowledged and lost") for at, which in resent if which in ids]
    found = [*_undone(story), *(f for f in check(story) if f.where in seen and f.kind != "late")]
    epoch = story.final["snapshot"]["position"].partition("-")[0]
    for log in story.logs:
        if any(entry.id and entry.epoch != epoch for entry in log.entries):
            log.entries = [entry for entry in log.entries if log.whole and entry.epoch == epoch]
    # It is there. A sender that stops or asks anew for a message that was lost gets a 404 too.
    story.complaints = [entry for entry in story.complaints if entry.kind != GONE]
    if lost:
        # What is sent again comes after what was sent meanwhile.
        order = {message["id"]: n for n, message in enumerate(story.final["pages"])}
        story.sent.sort(key=lambda sent: order.get(sent.id, len(order)))
    return [*found, *lost, *(finding for finding in check(story) if finding.where not in seen)]


def _undone(story: Story) -> Iterator[Finding]:
    """The replies that were told to their ends, and were then written anew."""
    known = {message["id"] for message in story.final["pages"]}
    asked_again = {sent.id for sent in story.sent if sent.asked > 1}
    for entry in (entry for log in story.logs for entry in log.entries if entry.kind in ENDS):
        reply = entry.data.get("message", {})
        if reply and reply["id"] not in known and reply["reply_to"] not in asked_again:
            known.add(reply["id"])
            yield Finding(entry.at, "undone", reply["reply_to"], "told to its end, and then written anew")
