"""Failovers, with Sentinels and on a cluster: `make faults-failover`.

What is planned must lose nothing. A crash of a primary, and a failover that does not wait for the replica, may lose
acknowledged writes by Redis' own rules: those are counted apart, with and without WAIT, and once the clients have
repeated what they miss nothing may be lost, doubled, reordered, differing or stuck.
"""

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

from chat import keys
from faults.lane import Fault, Plan, Scene
from faults.proxy import Proxy
from faults.replicated import Cluster, Sentinels, Servers
from faults.replies import Order
from faults.system import Part, System, eventually

KINDS: dict[str, type[Servers]] = {"sentinel": Sentinels, "cluster": Cluster}
BEHIND_S = 1.5


class Replicated(System):
    """The system under test with a Redis that has replicas, to which its processes go directly."""

    def __init__(self, folder: Path, kind: str, wait: str = "0") -> None:
        self.kind, self.wait = kind, wait
        super().__init__(folder)

    def redis_url(self, line: Proxy) -> str:
        return str(self.redis.url)

    def _valkey(self, name: str) -> tuple[Any, Any]:
        if name != "store":
            return super()._valkey(name)
        self.environ["REDIS_WAIT_REPLICAS"] = self.wait
        return None, KINDS[self.kind](self.folder / name, lambda part, command: Part(part, command, self))


def _busy(scene: Scene) -> tuple[Any, str]:
    """What Redis is kept on, and the hash tag of a conversation that is being answered."""
    turns = scene.traffic.turns(4, Order(pieces=60))
    scene.until_text(turns)
    return scene.system.redis, keys.bucket(turns[0].id)


def change(scene: Scene, what: str, *how: Any) -> None:
    kept, tag = _busy(scene)
    getattr(kept, what)(tag, *how)


def crash(scene: Scene, behind_s: float) -> None:
    kept, tag = _busy(scene)
    primary, replica = kept.pair(tag)
    # So that what was written lately, and nothing older, is lost.
    time.sleep(1)
    if behind_s:
        kept.sever(replica)
        time.sleep(behind_s)
    scene.strike()
    kept.nodes[primary].end()
    eventually(lambda: kept.at(replica).role()[0] == "master")
    kept.mend(replica)
    kept.nodes[primary].start()
    kept.settled(replica, primary)


CRASHES = (("crash", crash, 0), ("crash, replica behind", crash, BEHIND_S))
# On what Redis is kept, for how many replicas it waits, whether it may lose acknowledged writes, and what is done.
PLANS: tuple[tuple[str, str, bool, tuple[tuple[Any, ...], ...]], ...] = (
    ("sentinel", "0", False, (("FAILOVER … COORDINATED", change, "switch", "COORDINATED"),)),
    # The slot slowly, so that much is asked for in the meantime.
    ("cluster", "0", False, (("FAILOVER", change, "switch"), ("a slot moved", change, "move", 0.2))),
    ("sentinel", "0", True, (*CRASHES, ("FAILOVER", change, "switch"))),
    ("sentinel", "1", True, (*CRASHES, ("FAILOVER", change, "switch"))),
    ("cluster", "0", True, CRASHES),
    ("cluster", "1", True, CRASHES),
)


def plans(wanted: argparse.Namespace) -> list[Plan]:
    """A plan for each system; of its faults only those that are wanted."""
    found = []
    for kind, wait, lossy, made in PLANS:
        name, system = kind + ", WAIT" * int(wait), partial(Replicated, kind=kind, wait=wait)
        faults = [Fault(f"{name}: {which}", make, tuple(what), 6 if lossy else 4) for which, make, *what in made]
        faults = [fault for fault in faults if not wanted.faults or fault.name in wanted.faults.split("; ")]
        faults *= max(wanted.times, 1)
        found.append(Plan(name.replace(", ", "-"), wanted.seed, faults, wanted.conversations, 0, system, lossy))
    return [plan for plan in found if plan.faults]
