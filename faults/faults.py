"""The faults: how each one is made and mended. `FAULTS` has them all, by name."""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import requests

import run
from faults.clients import Conversation, Gone, Log, Sent
from faults.proxy import Proxy
from faults.replies import Order
from faults.system import RESTART_S, System, wait_for
from faults.traffic import Traffic

LEASE_S, CHAT_TTL_S = 5, 30


@dataclass
class Scene:
    """What a fault acts on, and its notes: when it struck, times that it measured itself, promises that were broken."""

    system: System
    traffic: Traffic
    rng: Random
    struck: float = 0
    measured: list[float] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def strike(self) -> None:
        """The fault begins now."""
        self.struck = time.monotonic()

    def expect(self, what: str, seen: object) -> None:
        """Note a promise of its own that was broken."""
        if not seen:
            self.broken.append(what)

    def turns(self, count: int, order: Order) -> list[tuple[Conversation, Sent]]:
        """So many turns with this order, each in a conversation of its own."""
        return [self.traffic.turn(order) for _ in range(count)]

    def until_text(self, turns: list[tuple[Conversation, Sent]]) -> None:
        """Wait until a delta of each of these turns has been seen."""
        logs = [log for conversation, _ in turns for log in conversation.logs]
        for log in logs:
            wait_for(partial(_has_text, log), 15)

    def victim(self) -> int:
        return self.rng.randrange(len(self.system.workers))


def _has_text(log: Log) -> bool:
    return log.left or any(entry.kind == "delta" for entry in log.entries)


@dataclass(frozen=True)
class Fault:
    """A fault. `quick`: cheap enough for the quick run. `severs`: events may come late while it lasts."""

    name: str
    make: Callable[[Scene], None]
    settle_s: float
    quick: bool
    severs: bool

    @property
    def group(self) -> str:
        return self.name.partition(":")[0]


FAULTS: dict[str, Fault] = {}


def fault(
    name: str, settle_s: float = 4, quick: bool = True, severs: bool = True
) -> Callable[[Callable[[Scene], None]], Callable[[Scene], None]]:
    """Enter a function under a name. After it the traffic goes on undisturbed for `settle_s`."""

    def enter(make: Callable[[Scene], None]) -> Callable[[Scene], None]:
        FAULTS[name] = Fault(name, make, settle_s, quick, severs)
        return make

    return enter


# --- the worker ---


@fault("worker: SIGKILL while idle", quick=False)
def kill_idle(scene: Scene) -> None:
    scene.traffic.pause()
    scene.strike()
    scene.system.workers[n := scene.victim()].end()
    scene.traffic.goes_on.set()
    time.sleep(RESTART_S)
    scene.system.workers[n].start()


@fault("worker: SIGKILL between ring and begin", settle_s=9)
def kill_before_begin(scene: Scene) -> None:
    n = scene.victim()
    # It hears the ring, and its `begin` never arrives.
    scene.system.worker_store[n].silent = True
    scene.turns(6, Order(pieces=20))
    time.sleep(0.5)
    scene.strike()
    scene.system.workers[n].end()
    scene.system.worker_store[n].heal()
    scene.system.worker_store[n].cut()
    scene.system.workers[n].start()


@fault("worker: SIGKILL in mid-reply", settle_s=9)
def kill(scene: Scene) -> None:
    scene.until_text(scene.turns(3, Order(pieces=60)))
    scene.strike()
    scene.system.workers[scene.victim()].restart()


@fault("worker: SIGKILL between last delta and finish", settle_s=9)
def kill_before_finish(scene: Scene) -> None:
    scene.until_text(scene.turns(4, Order(pieces=4, pause_ms=20, last_ms=3000)))
    time.sleep(0.3)
    scene.strike()
    scene.system.workers[scene.victim()].restart()


@fault("worker: frozen for twice its lease", settle_s=6)
def freeze(scene: Scene) -> None:
    turns = scene.turns(6, Order(pieces=120, pause_ms=120))
    scene.until_text(turns)
    worker = scene.system.workers[scene.victim()]
    scene.strike()
    worker.send(signal.SIGSTOP)
    time.sleep(2 * LEASE_S)
    worker.send(signal.SIGCONT)


@fault("worker: SIGTERM in mid-reply", settle_s=6)
def terminate(scene: Scene) -> None:
    scene.until_text(scene.turns(3, Order(pieces=60)))
    scene.strike()
    scene.system.workers[scene.victim()].restart(signal.SIGTERM)


# --- the web process ---


def _end_web_worker(scene: Scene, number: int) -> None:
    scene.strike()
    with suppress(ProcessLookupError):
        os.kill(scene.rng.choice(scene.system.web.children()), number)


@fault("web: SIGKILL of a gunicorn worker")
def kill_web(scene: Scene) -> None:
    _end_web_worker(scene, signal.SIGKILL)


@fault("web: SIGTERM of a gunicorn worker")
def terminate_web(scene: Scene) -> None:
    _end_web_worker(scene, signal.SIGTERM)


def _end_master(scene: Scene, number: int) -> None:
    scene.strike()
    scene.system.web.restart(number)
    wait_for(scene.system.serves)


@fault("web: SIGKILL of the master")
def kill_master(scene: Scene) -> None:
    _end_master(scene, signal.SIGKILL)


@fault("web: SIGTERM of the master", quick=False)
def terminate_master(scene: Scene) -> None:
    _end_master(scene, signal.SIGTERM)


# --- Redis ---


@fault("redis: SIGKILL and restart")
def kill_redis(scene: Scene) -> None:
    scene.strike()
    scene.system.store.end()
    scene.system.start_store()


@fault("redis: frozen for 15 s", quick=False, settle_s=6)
def freeze_redis(scene: Scene) -> None:
    scene.strike()
    scene.system.store.send(signal.SIGSTOP)
    time.sleep(15)
    scene.system.store.send(signal.SIGCONT)


def _kill_clients(scene: Scene, kind: str) -> None:
    scene.strike()
    scene.system.redis.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")


@fault("redis: CLIENT KILL normal")
def kill_normal_clients(scene: Scene) -> None:
    _kill_clients(scene, "normal")


@fault("redis: CLIENT KILL pubsub")
def kill_subscribers(scene: Scene) -> None:
    _kill_clients(scene, "pubsub")


@fault("redis: CLIENT PAUSE 8 s", quick=False, settle_s=6)
def pause_redis(scene: Scene) -> None:
    scene.strike()
    scene.system.redis.execute_command("CLIENT", "PAUSE", "8000", "ALL")
    time.sleep(8)


def _configured(scene: Scene, setting: str, bad: str, good: str) -> None:
    scene.strike()
    scene.system.redis.config_set(setting, bad)
    time.sleep(4)
    scene.system.redis.config_set(setting, good)


@fault("redis: out of memory")
def fill_redis(scene: Scene) -> None:
    _configured(scene, "maxmemory", "1mb", "0")


@fault("redis: too few replicas to write")
def forbid_writing(scene: Scene) -> None:
    _configured(scene, "min-replicas-to-write", "1", "0")


@fault("redis: a read-only replica for a while")
def demote_redis(scene: Scene) -> None:
    scene.strike()
    scene.system.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    time.sleep(4)
    scene.system.redis.execute_command("REPLICAOF", "NO", "ONE")


# --- rings ---


def _misdirect(share: float, rng: Random) -> Callable[[bytes], bytes]:
    """Let a share of the rings go to a list where nobody hears them. The names are equally long."""

    def rewrite(data: bytes) -> bytes:
        return data.replace(b"\r\n$6\r\nparley\r\n", b"\r\n$6\r\nastray\r\n") if rng.random() < share else data

    return rewrite


def _ring_fault(scene: Scene, share: float, pass_on: Callable[[Any], None] | None = None) -> None:
    scene.system.broker_line.rewrite = _misdirect(share, scene.rng)
    scene.strike()
    end = time.monotonic() + 8
    while time.monotonic() < end:
        if pass_on:
            pass_on(scene.system.rings)
        time.sleep(0.02)
    scene.system.broker_line.heal()
    scene.system.rings.delete("astray")


@fault("ring: 10 % dropped", quick=False, severs=False)
def drop_some(scene: Scene) -> None:
    _ring_fault(scene, 0.1)


@fault("ring: all dropped", severs=False)
def drop_all(scene: Scene) -> None:
    _ring_fault(scene, 1)


@fault("ring: doubled", severs=False)
def double(scene: Scene) -> None:
    def twice(rings: Any) -> None:
        while ring := rings.rpop("astray"):
            rings.lpush("parley", ring, ring)

    _ring_fault(scene, 1, twice)


@fault("ring: delayed", quick=False, severs=False)
def delay(scene: Scene) -> None:
    def later(rings: Any) -> None:
        if scene.rng.random() < 0.01:
            while rings.lmove("astray", "parley"):
                pass

    _ring_fault(scene, 1, later)


@fault("ring: broker down for 30 s", quick=False, severs=False)
def kill_broker(scene: Scene) -> None:
    scene.strike()
    scene.system.broker.end()
    time.sleep(30)
    scene.system.broker.start()


# --- the network ---

LINES: dict[str, Callable[[System], list[Proxy]]] = {
    "clients and web": lambda system: [system.front],
    "web and Redis": lambda system: [system.web_store],
    "workers and Redis": lambda system: system.worker_store,
    "all and the broker": lambda system: [system.broker_line],
}


def _cut(proxy: Proxy) -> None:
    proxy.cut()


def _half_open(proxy: Proxy) -> None:
    proxy.half_open()


def _lose_answers(proxy: Proxy) -> None:
    proxy.deaf = True
    time.sleep(1)
    proxy.heal()
    proxy.cut()


def _set(name: str, value: float, for_s: float) -> Callable[[Proxy], None]:
    def spoil(proxy: Proxy) -> None:
        setattr(proxy, name, value)
        time.sleep(for_s)
        proxy.heal()

    return spoil


BAD_LINES: dict[str, Callable[[Proxy], None]] = {
    "cut": _cut,
    "half-open": _half_open,
    "answers lost": _lose_answers,
    "200 ms latency": _set("latency_s", 0.2, 6),
    "1-byte chunks": _set("chunk_bytes", 1, 4),
    "64 kbit/s": _set("bytes_per_s", 8000, 6),
}


QUICK_ON_LINES = ("cut", "half-open", "answers lost")


def _network_fault(line: str, name: str) -> None:
    def make(scene: Scene) -> None:
        scene.strike()
        with ThreadPoolExecutor() as pool:
            list(pool.map(BAD_LINES[name], LINES[line](scene.system)))

    # Clients notice a half-open line by their own time limit, 20 s.
    settle_s = 22 if name == "half-open" and line == "clients and web" else 4
    quick = settle_s < 5 and name in QUICK_ON_LINES and line != "all and the broker"
    fault(f"network: {name} between {line}", settle_s, quick)(make)


for _line in LINES:
    for _name in BAD_LINES:
        _network_fault(_line, _name)


@fault("network: clients come while turns end, Redis far away", severs=False)
def come_late(scene: Scene) -> None:
    """Clients come just before the end of a turn, after which nothing follows that would show what they missed."""
    turns = scene.turns(6, Order(pieces=3))
    scene.system.web_store.latency_s = 0.1
    scene.strike()
    for _ in range(2):
        with ThreadPoolExecutor() as pool:
            list(pool.map(partial(_be_visited, scene.rng), [conversation for conversation, _ in turns]))
        time.sleep(3)
    scene.system.web_store.heal()


def _be_visited(rng: Random, conversation: Conversation) -> None:
    sent = conversation.send(Order(pieces=3, pause_ms=50, last_ms=1500))
    for _ in range(4):
        time.sleep(rng.uniform(0, 0.5))
        conversation.watch(transports=("sse",))
    conversation.end_of(sent, 10)


# --- the model ---


def _model_fault(name: str, fate: str, for_s: float) -> None:
    def make(scene: Scene) -> None:
        scene.strike()
        scene.system.set_fate(fate)
        time.sleep(for_s)
        scene.system.set_fate("well")

    fault(f"model: {name}", severs=False, quick=fate in ("error", "reset", "garbage_within"))(make)


for _what, _fate, _for_s in (
    ("answers 500", "error", 3), ("answers 503", "loading", 3), ("answers garbage", "garbage", 2),
    ("hangs before a reply", "hang", 6), ("hangs within a reply", "hang_within", 6), ("resets", "reset", 3),
    ("garbage within a reply", "garbage_within", 2), ("endless", "endless", 3), ("slow", "slow", 4),
):  # fmt: skip
    _model_fault(_what, _fate, _for_s)


@fault("model: dies, refuses connections", severs=False)
def kill_model(scene: Scene) -> None:
    scene.strike()
    scene.system.stub.end()
    time.sleep(3)
    scene.system.stub.start()


# --- time ---


def _skew(scene: Scene, seconds: float) -> None:
    with scene.system.skewed(scene.victim(), seconds):
        scene.strike()
        scene.turns(6, Order(pieces=30))
        time.sleep(6)


@fault("time: a worker's clock an hour ahead", quick=False, severs=False)
def skew_ahead(scene: Scene) -> None:
    _skew(scene, 3600)


@fault("time: a worker's clock an hour behind", quick=False, severs=False)
def skew_behind(scene: Scene) -> None:
    _skew(scene, -3600)


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


def _stops(scene: Scene, order: Order) -> None:
    turns = scene.turns(5, order)
    scene.until_text(turns)
    scene.strike()
    for conversation, sent in turns:
        time.sleep(scene.rng.uniform(0, 0.5))
        conversation.stop(sent)
    wait_for(lambda: {sent.text for _, sent in turns} <= _hung_up(scene), 5)
    at = {hangup["message"]: hangup["at"] for hangup in scene.system.hangups()}
    scene.measured += [at.get(sent.text, float("inf")) - sent.stop_at for _, sent in turns]


@fault("stop: while text flows", settle_s=0, severs=False)
def stop_flowing(scene: Scene) -> None:
    _stops(scene, Order(pieces=200, pause_ms=50))


@fault("stop: while the model is silent", settle_s=0, severs=False)
def stop_silent(scene: Scene) -> None:
    _stops(scene, Order(pieces=3, pause_ms=10, last_ms=4500))
