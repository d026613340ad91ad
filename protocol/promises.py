"""What must hold in every world."""

from protocol.store import LIVES, NO_LEASE, Reply, Store, view
from protocol.world import LIVE, World


def check_store(s: Store) -> str:
    """Which promise a store breaks; '' for none."""
    if not s.here:
        return ""
    replies = [m for m in (*s.messages, *s.replaced) if isinstance(m, Reply)]
    humans = [m for m in (*s.messages, *s.pending) if isinstance(m, str)]
    working = (*([s.turn[0]] if s.turn else []), *s.pending)
    held = bool(s.fence or s.lease or s.stop)
    promises = {
        "an accepted message waits, runs, or has ended once": sorted(s.owed) == sorted(working),
        "there is a reply for each time that a message was accepted": (
            sorted([*s.owed, *(reply.to for reply in replies)]) == list(s.replies)
        ),
        "a message is there once": len(set(humans)) == len(humans),
        "a reply is there once": len({reply.id for reply in replies}) == len(replies),
        "a reply is the text of one attempt, from its beginning": all(map(is_whole, replies)),
        "who sends a message again is answered what became of it": all(leads(s, *known) for known in s.ids),
        "work with a living lease is in leased": s.lease != LIVES or s.leased,
        "work without a lease is in ready": s.lease != NO_LEASE or s.ready == bool(working),
        "work is in one index": not (s.ready and s.leased),
        "only a turn has a fence, a lease, a stop": s.turn is not None or not held,
        "a guest's conversation has a time to live while nothing waits": s.ttl != bool(working),
        "each failure is a strike, and three end a turn": s.lease != LIVES or s.strikes == s.failures < 3,
        "a stop that was promised is not forgotten": s.stop == s.asked,
        "numbers rise": [e[0] for e in s.log] == sorted({e[0] for e in s.log}),
    }
    return next((promise for promise, holds in promises.items() if not holds), "")


def is_whole(reply: Reply) -> bool:
    pieces = [reply.text[n : n + 4] for n in range(0, len(reply.text), 4)]
    return all(piece == f"{reply.id}{pieces[0][2]}{'xyz'[n]}" for n, piece in enumerate(pieces))


def leads(s: Store, message: str, outcome: str | int) -> bool:
    if isinstance(outcome, int):
        return any(isinstance(m, Reply) and m.to == message for m in s.messages[outcome : outcome + 1])
    return (outcome == "waiting") == (message in s.pending)


def check_world(w: World, s: Store) -> str:
    """Which promise to a reader is broken; '' for none."""
    r = w.reader
    if not s.here or s.restarted:
        return ""
    if (r.epoch, r.n) == (s.epoch, s.n):
        return "" if r.view == view(s) else "a client at the newest position sees what is stored"
    told = r.phase == LIVE and not (r.inbox or r.incomplete or r.missed)
    return "a live client to whom all was told is at the newest position" if told else ""
