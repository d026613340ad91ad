"""Faults of the model and of time, conversations that are lost on purpose, and stops, which are measured likewise."""

import time
from contextlib import suppress
from functools import partial

import requests

import run
from faults.clients import Conversation, Gone, Sent
from faults.replies import Order
from faults.scene import Scene, fault
from faults.system import wait_for

CHAT_TTL_S = 30

# --- the model ---


def _give_fate(fate: str, for_s: float, scene: Scene) -> None:
    scene.strike()
    scene.system.set_fate(fate)
    time.sleep(for_s)
    scene.system.set_fate("well")


for _what, _fate, _for_s in (
    ("answers 500", "error", 3), ("answers 503", "loading", 3), ("answers garbage", "garbage", 2),
    ("hangs before a reply", "hang", 17), ("hangs within a reply", "hang_within", 17), ("resets", "reset", 3),
    ("garbage within a reply", "garbage_within", 2), ("endless", "endless", 3), ("slow", "slow", 4),
):  # fmt: skip
    _quick = _fate in ("error", "reset", "garbage_within")
    fault(f"model: {_what}", severs=False, quick=_quick)(partial(_give_fate, _fate, _for_s))


@fault("model: dies, refuses connections", severs=False)
def kill_model(scene: Scene) -> None:
    scene.strike()
    scene.system.stub.end()
    time.sleep(3)
    scene.system.stub.start()


# --- time ---


def _skew(seconds: float, scene: Scene) -> None:
    with scene.system.skewed(scene.victim(), seconds):
        scene.strike()
        scene.turns(6, Order(pieces=30))
        time.sleep(6)


for _when, _seconds in (("ahead", 3600), ("behind", -3600)):
    fault(f"time: a worker's clock an hour {_when}", quick=False, severs=False)(partial(_skew, _seconds))


@fault("time: a guest's time would run out in mid-turn", quick=False, severs=False)
def outlive(scene: Scene) -> None:
    """Nobody watches for longer than the time to live, which a second web process gives the conversation."""
    system, port = scene.system, run.free_port()
    web = system.start_web("brief", port, CHAT_TTL_S=str(CHAT_TTL_S))
    wait_for(lambda: answers(port))
    conversation = Conversation(f"http://127.0.0.1:{port}", f"brief{port}", scene.rng)
    conversation.address = system.address
    sent = conversation.send(Order(pieces=40, first_ms=0, pause_ms=1000, last_ms=0))
    web.end()
    scene.strike()
    time.sleep(CHAT_TTL_S + 8)
    conversation.watch()
    scene.expect("the conversation is there after its time, as its turn runs", conversation.end_of(sent))
    scene.traffic.conversations.append(conversation)


def answers(port: int) -> bool:
    with suppress(requests.RequestException):
        return requests.get(f"http://127.0.0.1:{port}/healthz", timeout=2).ok
    return False


# --- conversations that are lost on purpose ---


def _doomed(scene: Scene) -> list[tuple[Conversation, Sent]]:
    """Long turns, watched over every transport, left out of the final check: there will be nothing to fetch."""
    conversations = [Conversation(scene.system.address, f"doomed{n}", scene.rng) for n in range(3)]
    turns = [(conversation, conversation.send(Order(pieces=200))) for conversation in conversations]
    for conversation in conversations:
        for transport in ("sse", "socket", "poll"):
            conversation.watch(transports=(transport,))
    scene.until_text(turns)
    return turns


def _told_and_left(scene: Scene, turns: list[tuple[Conversation, Sent]]) -> None:
    logs = [log for conversation, _ in turns for log in conversation.logs if log.whole]
    scene.expect("each watcher is told", wait_for(lambda: all(log.entries[-1].kind == "gone" for log in logs), 15))
    scene.expect("the model is left", wait_for(lambda: {sent.text for _, sent in turns} <= _hung_up(scene), 5))


def _hung_up(scene: Scene) -> set[str]:
    return {hangup["message"] for hangup in scene.system.hangups()}


@fault("deleted: in mid-turn", severs=False)
def delete(scene: Scene) -> None:
    turns = _doomed(scene)
    scene.strike()
    for conversation, _ in turns:
        with suppress(Gone):  # the repeat of one whose answer was lost
            conversation.call("DELETE", conversation.path)
    _told_and_left(scene, turns)


@fault("emptied: FLUSHALL in mid-turn", settle_s=0)
def empty(scene: Scene) -> None:
    """Every conversation is lost, which every client is told, and new ones work. It comes after the final check."""
    turns = _doomed(scene)
    scene.strike()
    scene.system.redis.execute_command("FLUSHALL", "SYNC")
    _told_and_left(scene, turns)
    conversation, sent = scene.traffic.turn(Order(pieces=5))
    scene.expect("a new conversation works", conversation.end_of(sent, 20))


# --- stops: no fault, but measured in the same way ---


def _stop(order: Order, scene: Scene) -> None:
    turns = scene.turns(5, order)
    scene.until_text(turns)
    scene.strike()
    for conversation, sent in turns:
        time.sleep(scene.rng.uniform(0, 0.5))
        conversation.stop(sent)
    # Some may have ended before the stop came: after a fault a reply can begin late, and so can the stop.
    stopped = [sent for _, sent in turns if sent.outcome == "stopping"]
    wait_for(lambda: {sent.text for sent in stopped} <= _hung_up(scene), 5)
    at = {hangup["message"]: hangup["at"] for hangup in scene.system.hangups()}
    scene.measured += [at.get(sent.text, float("inf")) - sent.stop_at for sent in stopped]


for _when, _order in (
    ("text flows", Order(pieces=300, pause_ms=50)), ("the model is silent", Order(3, pause_ms=10, last_ms=14000))
):  # fmt: skip
    fault(f"stop: while {_when}", settle_s=0, severs=False)(partial(_stop, _order))
