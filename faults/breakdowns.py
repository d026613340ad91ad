"""Faults of processes and of what is between them: workers, the web process, Redis; lost rings, bad networks."""

import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from random import Random

import psutil

from faults.clients import Conversation
from faults.lane import Scene, fault
from faults.proxy import Proxy, Quality
from faults.replies import Order
from faults.system import RESTART_S, Part, System

LEASE_S = 5

# --- the worker ---


def kill_idle(scene: Scene) -> None:
    scene.traffic.pause()
    scene.strike()
    worker = scene.worker()
    worker.end()
    scene.traffic.goes_on.set()
    time.sleep(RESTART_S)
    worker.start()


def kill_before_begin(scene: Scene) -> None:
    worker = scene.worker()
    line = scene.system.worker_store[scene.system.workers.index(worker)]
    # It hears the ring, and its `begin` never arrives.
    line.quality = Quality(silent=True)
    scene.traffic.turns(6, Order(pieces=20))
    time.sleep(0.5)
    scene.strike()
    worker.end()
    line.quality = Quality()
    line.cut()
    worker.start()


def while_it_answers(scene: Scene, count: int, order: Order, do: Callable[[Part], None]) -> None:
    """Let some turns begin with this order, and do something to a worker."""
    scene.until_text(scene.traffic.turns(count, order))
    # Until the last delta of a short one.
    time.sleep(0.3)
    scene.strike()
    do(scene.worker())


fault("worker: SIGKILL while idle", kill_idle, quick=False)
fault("worker: SIGKILL between ring and begin", kill_before_begin, settle_s=9)
for _name, _settle_s, *_how in (
    ("SIGKILL in mid-reply", 9, 3, Order(pieces=60), Part.restart),
    ("SIGKILL between last delta and finish", 9, 4, Order(pieces=4, pause_ms=20, last_ms=3000), Part.restart),
    ("frozen for twice its lease", 6, 6, Order(pieces=120, pause_ms=120), partial(Part.freeze, for_s=2 * LEASE_S)),
    ("SIGTERM in mid-reply", 6, 3, Order(pieces=60), partial(Part.restart, number=signal.SIGTERM)),
):
    fault(f"worker: {_name}", while_it_answers, *_how, settle_s=_settle_s)

# --- the web process ---


def end_web_worker(scene: Scene, number: int) -> None:
    workers = psutil.Process(scene.system.web.popen.pid).children()
    with suppress(psutil.NoSuchProcess):
        scene.traffic.rng.choice(workers).send_signal(number)


for _signal in (signal.SIGKILL, signal.SIGTERM):
    fault(f"web: {_signal.name} of a gunicorn worker", end_web_worker, _signal)
    fault(f"web: {_signal.name} of the master", Scene.restart, "web", _signal, quick=_signal == signal.SIGKILL)

# --- Redis ---


def freeze_redis(scene: Scene) -> None:
    scene.system.store.freeze(15)


def tell_redis(scene: Scene, command: str, for_s: float = 0, undo: str = "PING") -> None:
    """Tell Redis something, and something else after a while."""
    scene.system.redis.execute_command(command)
    time.sleep(for_s)
    scene.system.redis.execute_command(undo)


fault("redis: SIGKILL and restart", Scene.restart, "store", signal.SIGKILL, 0)
fault("redis: frozen for 15 s", freeze_redis, quick=False, settle_s=6)
fault("redis: CLIENT KILL normal", tell_redis, "CLIENT KILL TYPE normal SKIPME yes")
fault("redis: CLIENT KILL pubsub", tell_redis, "CLIENT KILL TYPE pubsub SKIPME yes")
fault("redis: CLIENT PAUSE 8 s", tell_redis, "CLIENT PAUSE 8000 ALL", 8, quick=False, settle_s=6)
fault("redis: out of memory", tell_redis, "CONFIG SET maxmemory 1mb", 4, "CONFIG SET maxmemory 0")
_setting = "CONFIG SET min-replicas-to-write"
fault("redis: too few replicas to write", tell_redis, f"{_setting} 1", 4, f"{_setting} 0")
fault("redis: a read-only replica for a while", tell_redis, "REPLICAOF 127.0.0.1 1", 4, "REPLICAOF NO ONE")

# --- rings ---

# As a worker or the web process puts one on Celery's list; and on another, where nobody hears it, at the same length.
RING, ASTRAY = b"LPUSH\r\n$6\r\nparley\r\n", b"LPUSH\r\n$6\r\nastray\r\n"


def misdirect(scene: Scene, share: float, every_s: float, times: int) -> None:
    """Let a share of the rings go astray; every so often each comes back so many times."""
    line, rings, rng = scene.system.broker_line, scene.system.rings, scene.traffic.rng
    line.quality = Quality(rewrite=lambda data: data.replace(RING, ASTRAY) if rng.random() < share else data)
    until = time.monotonic() + 8
    while time.monotonic() < until:
        time.sleep(every_s)
        while ring := rings.rpop("astray"):
            for _ in range(times):
                rings.lpush("parley", ring)
    line.quality = Quality()
    rings.delete("astray")


fault("ring: 10 % dropped", misdirect, 0.1, 1, 0, quick=False, severs=False)
fault("ring: all dropped", misdirect, 1, 1, 0, severs=False)
fault("ring: doubled", misdirect, 1, 0.02, 2, severs=False)
fault("ring: delayed", misdirect, 1, 2, 1, severs=False)
fault("ring: broker down for 30 s", Scene.restart, "broker", signal.SIGKILL, 30, quick=False, severs=False)

# --- the network ---

LINES: dict[str, Callable[[System], list[Proxy]]] = {
    "clients and web": lambda system: [system.front],
    "web and Redis": lambda system: [system.web_store],
    "workers and Redis": lambda system: system.worker_store,
    "all and the broker": lambda system: [system.broker_line],
}
BAD_LINES: dict[str, Callable[[Proxy], None]] = {
    "cut": Proxy.cut,
    "half-open": Proxy.half_open,
    "answers lost": partial(Proxy.spoil, quality=Quality(deaf=True), for_s=2),
    "200 ms latency": partial(Proxy.spoil, quality=Quality(latency_s=0.2), for_s=6),
    "1-byte chunks": partial(Proxy.spoil, quality=Quality(chunk_bytes=1), for_s=4),
    "64 kbit/s": partial(Proxy.spoil, quality=Quality(bytes_per_s=8000), for_s=6),
}


def spoil_lines(scene: Scene, line: str, name: str) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(BAD_LINES[name], LINES[line](scene.system)))


for _line in LINES:
    for _name in BAD_LINES:
        # Clients notice a half-open line by their own time limit, 20 s.
        _settle_s = 22 if (_name, _line) == ("half-open", "clients and web") else 4
        _quick = _settle_s < 5 and _name in ("cut", "half-open", "answers lost") and _line != "all and the broker"
        fault(f"network: {_name} between {_line}", spoil_lines, _line, _name, settle_s=_settle_s, quick=_quick)


def come_late(scene: Scene) -> None:
    """Clients come just before the end of a turn, after which nothing follows that would show what they missed."""
    scene.system.web_store.quality = Quality(latency_s=0.2)
    scene.strike()
    conversations = [scene.traffic.open() for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(partial(_come_late, scene.traffic.rng), conversations))
    time.sleep(5)
    scene.system.web_store.quality = Quality()


def _come_late(rng: Random, conversation: Conversation) -> None:
    conversation.watch(transports=("sse",))
    conversation.send(Order(pieces=3, pause_ms=50, last_ms=1500))
    time.sleep(rng.uniform(0.4, 1))
    conversation.watch(transports=("sse",))


fault("network: clients come while turns end, Redis far away", come_late, severs=False)
