"""Faults on the way: rings that get lost, networks that get bad."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import Random
from typing import Any

from faults.clients import Conversation
from faults.proxy import Proxy
from faults.replies import Order
from faults.scene import Scene, fault
from faults.system import System

# --- rings ---

# As a worker or the web process puts one on Celery's list; and on another, where nobody hears it, at the same length.
RING, ASTRAY = b"LPUSH\r\n$6\r\nparley\r\n", b"LPUSH\r\n$6\r\nastray\r\n"


def _misdirect(share: float, pass_on: Callable[[Any], None], scene: Scene) -> None:
    """Let a share of the rings go astray; `pass_on` may bring them back."""
    line, rings = scene.system.broker_line, scene.system.rings
    line.rewrite = lambda data: data.replace(RING, ASTRAY) if scene.rng.random() < share else data
    scene.strike()
    end = time.monotonic() + 8
    while time.monotonic() < end:
        pass_on(rings)
        time.sleep(0.02)
    line.heal()
    rings.delete("astray")


def _twice(rings: Any) -> None:
    while ring := rings.rpop("astray"):
        rings.lpush("parley", ring, ring)


def _later(rings: Any) -> None:
    # Every two seconds, more or less.
    if time.monotonic() % 2 < 0.02:
        while rings.lmove("astray", "parley"):
            pass


def _never(rings: Any) -> None:
    """They stay lost."""


for _name, _share, _pass_on in (
    ("10 % dropped", 0.1, _never), ("all dropped", 1, _never), ("doubled", 1, _twice), ("delayed", 1, _later),
):  # fmt: skip
    fault(f"ring: {_name}", quick=_share == 1, severs=False)(partial(_misdirect, _share, _pass_on))


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


def _lose_answers(proxy: Proxy) -> None:
    proxy.deaf = True
    time.sleep(2)
    proxy.heal()
    proxy.cut()


def _spoil(name: str, value: float, for_s: float, proxy: Proxy) -> None:
    setattr(proxy, name, value)
    time.sleep(for_s)
    proxy.heal()


BAD_LINES: dict[str, Callable[[Proxy], None]] = {
    "cut": Proxy.cut,
    "half-open": Proxy.half_open,
    "answers lost": _lose_answers,
    "200 ms latency": partial(_spoil, "latency_s", 0.2, 6),
    "1-byte chunks": partial(_spoil, "chunk_bytes", 1, 4),
    "64 kbit/s": partial(_spoil, "bytes_per_s", 8000, 6),
}


QUICK_ON_LINES = ("cut", "half-open", "answers lost")


def _spoil_lines(line: str, name: str, scene: Scene) -> None:
    scene.strike()
    with ThreadPoolExecutor() as pool:
        list(pool.map(BAD_LINES[name], LINES[line](scene.system)))


for _line in LINES:
    for _name in BAD_LINES:
        # Clients notice a half-open line by their own time limit, 20 s.
        _settle_s = 22 if (_name, _line) == ("half-open", "clients and web") else 4
        _quick = _settle_s < 5 and _name in QUICK_ON_LINES and _line != "all and the broker"
        fault(f"network: {_name} between {_line}", _settle_s, _quick)(partial(_spoil_lines, _line, _name))


@fault("network: clients come while turns end, Redis far away", severs=False)
def come_late(scene: Scene) -> None:
    """Clients come just before the end of a turn, after which nothing follows that would show what they missed."""
    scene.system.web_store.latency_s = 0.2
    scene.strike()
    conversations = [scene.traffic.open() for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(partial(_come_late, scene.rng), conversations))
    time.sleep(5)
    scene.system.web_store.heal()


def _come_late(rng: Random, conversation: Conversation) -> None:
    conversation.watch(transports=("sse",))
    conversation.send(Order(pieces=3, pause_ms=50, last_ms=1500))
    time.sleep(rng.uniform(0.4, 1))
    conversation.watch(transports=("sse",))
