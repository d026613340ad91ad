"""Faults of the model and of time, conversations that are lost on purpose, and stops, which are measured likewise."""

import signal
import sys
import time
from contextlib import suppress

import run
from faults.clients import Conversation
from faults.lane import Scene, fault
from faults.replies import Order
from faults.system import wait_for
from faults.watching import Gone

CHAT_TTL_S = 30

# --- the model ---


def give_fate(scene: Scene, fate: str, for_s: float) -> None:
    scene.system.set_fate(fate)
    time.sleep(for_s)
    scene.system.set_fate("well")


for _what, _fate, _for_s in (
    ("answers 500", "error", 3), ("answers 503", "loading", 3), ("answers garbage", "garbage", 2),
    ("hangs before a reply", "hang", 17), ("hangs within a reply", "hang_within", 17), ("resets", "reset", 3),
    ("garbage within a reply", "garbage_within", 2), ("endless", "endless", 3), ("slow", "slow", 4),
):  # fmt: skip
    _quick = _fate in ("error", "reset", "garbage_within")
    fault(f"model: {_what}", give_fate, _fate, _for_s, severs=False, quick=_quick)


fault("model: dies, refuses connections", Scene.restart, "stub", signal.SIGKILL, 3, severs=False)

# --- time ---


def skew(scene: Scene, seconds: float) -> None:
    """Let one worker's clock be off for a while."""
    worker = scene.worker()
    worker.end(signal.SIGTERM)
    right, worker.command = worker.command, [sys.executable, "-m", "faults.skewed", str(seconds), *worker.command[1:]]
    worker.start()
    scene.strike()
    scene.traffic.turns(6, Order(pieces=30))
    time.sleep(6)
    worker.command = right
    worker.restart(signal.SIGTERM)


for _when, _seconds in (("ahead", 3600), ("behind", -3600)):
    fault(f"time: a worker's clock an hour {_when}", skew, _seconds, quick=False, severs=False)


def outlive(scene: Scene) -> None:
    """Nobody watches for longer than the time to live, which a second web process gives the conversation."""
    port = run.free_port()
    web = scene.system.start_web("brief", port, CHAT_TTL_S=str(CHAT_TTL_S))
    scene.system.serves(port)
    conversation = Conversation(f"http://127.0.0.1:{port}", f"brief{port}", scene.traffic.rng)
    conversation.address = scene.system.address
    sent = conversation.send(Order(pieces=40, first_ms=0, pause_ms=1000, last_ms=0))
    web.end()
    scene.strike()
    time.sleep(CHAT_TTL_S + 8)
    conversation.watch()
    scene.expect("the conversation is there after its time, as its turn runs", conversation.end_of(sent))
    scene.traffic.conversations.append(conversation)


fault("time: a guest's time would run out in mid-turn", outlive, quick=False, severs=False)


# --- conversations that are lost on purpose ---


def _doomed(scene: Scene) -> list[Conversation]:
    """Long turns, watched over every transport, left out of the final check: there will be nothing to fetch."""
    conversations = [Conversation(scene.system.address, f"doomed{n}", scene.traffic.rng) for n in range(3)]
    for conversation in conversations:
        conversation.send(Order(pieces=200))
        for transport in ("sse", "socket", "poll"):
            conversation.watch(transports=(transport,))
    scene.until_text(conversations)
    return conversations


def _told_and_left(scene: Scene, doomed: list[Conversation]) -> None:
    logs = [log for conversation in doomed for log in conversation.watched]
    scene.expect("each watcher is told", wait_for(lambda: all(log.entries[-1].kind == "gone" for log in logs), 15))
    texts = {conversation.sent[0].text for conversation in doomed}
    scene.expect("the model is left", wait_for(lambda: texts <= scene.system.hangups().keys(), 5))


def delete(scene: Scene) -> None:
    doomed = _doomed(scene)
    for conversation in doomed:
        with suppress(Gone):  # the repeat of one whose answer was lost
            conversation.call("DELETE")
    _told_and_left(scene, doomed)


def empty(scene: Scene) -> None:
    """Every conversation is lost, which every client is told, and new ones work. It comes after the final check."""
    doomed = _doomed(scene)
    scene.system.redis.flushall()
    _told_and_left(scene, doomed)
    (conversation,) = scene.traffic.turns(1, Order(pieces=5))
    scene.expect("a new conversation works", conversation.end_of(conversation.sent[0], 20))


fault("deleted: in mid-turn", delete, severs=False)
fault("emptied: FLUSHALL in mid-turn", empty, settle_s=0)


# --- stops: no fault, but measured in the same way ---


def stop(scene: Scene, order: Order) -> None:
    turns = scene.traffic.turns(5, order)
    scene.until_text(turns)
    for conversation in turns:
        time.sleep(scene.traffic.rng.uniform(0, 0.5))
        conversation.stop(conversation.sent[0])
    # Some may have ended before the stop came: after a fault a reply can begin late, and so can the stop.
    stopped = [sent for conversation in turns for sent in conversation.sent if sent.outcome == "stopping"]
    wait_for(lambda: {sent.text for sent in stopped} <= scene.system.hangups().keys(), 5)
    at = scene.system.hangups()
    scene.now.recoveries += [at.get(sent.text, float("inf")) - sent.stop_at for sent in stopped]


fault("stop: while text flows", stop, Order(pieces=300, pause_ms=50), settle_s=0, severs=False)
fault("stop: while the model is silent", stop, Order(3, pause_ms=10, last_ms=14000), settle_s=0, severs=False)
