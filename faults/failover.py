"""Failovers, with Sentinels and on a cluster: `make faults-failover`.

What is planned must lose nothing. A crash of a primary, and a failover that does not wait for the replica, may lose
acknowledged writes by Redis' own rules: those are counted apart, with and without WAIT, and once the clients have
repeated what they miss nothing may be lost, doubled, reordered, differing or stuck.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Self

from chat import keys
from faults.__main__ import RESULTS, summary, table
from faults.faults import FAULTS, Scene, fault
from faults.lane import Result, judge, make
from faults.lossy import Healer, judge_lossy
from faults.proxy import Proxy
from faults.recovery import Strike, Timelines
from faults.replicated import Cluster, Sentinels, eventually
from faults.replies import Order
from faults.system import Part, System
from faults.traffic import Traffic

KINDS: dict[str, type[Sentinels] | type[Cluster]] = {"sentinel": Sentinels, "cluster": Cluster}
BEHIND_S = 1.5
CONVERSATIONS = 8


@dataclass(frozen=True)
class Plan:
    """A system of one kind with its settings, and what is done to it. A lossy one may lose acknowledged writes."""

    kind: str
    faults: tuple[str, ...]
    lossy: bool = False
    wait: str = "0"


class Replicated(System):
    """The system under test with a Redis that has replicas, to which its processes go directly."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.plan = plan
        super().__init__(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kept.close()
        self.rings.close()
        for part in (self.web, *self.workers, self.stub, self.broker):
            part.end()
        super().__exit__()

    def redis_url(self, line: Proxy) -> str:
        return self.kept.url

    def _valkey(self, name: str) -> tuple[Any, Any]:
        if name != "store":
            return super()._valkey(name)
        self.environ["REDIS_WAIT_REPLICAS"] = self.plan.wait
        self.kept = KINDS[self.plan.kind](self.folder / name, lambda part, command: Part(part, command, self))
        return None, None


# --- the faults ---


def _kept(scene: Scene) -> Sentinels | Cluster:
    assert isinstance(scene.system, Replicated)
    return scene.system.kept


def _busy(scene: Scene) -> str:
    """The hash tag of a conversation that is being answered."""
    turns = scene.turns(4, Order(pieces=60))
    scene.until_text(turns)
    return keys.bucket(turns[0][0].id)


def _switch(*how: str) -> Callable[[Scene], None]:
    def switch(scene: Scene) -> None:
        tag = _busy(scene)
        scene.strike()
        _kept(scene).switch(tag, *how)

    return switch


def _move(scene: Scene) -> None:
    kept, tag = _kept(scene), _busy(scene)
    assert isinstance(kept, Cluster)
    scene.strike()
    # Slowly, so that much is asked for in the meantime.
    kept.move(tag, pause_s=0.2)


def _crash(behind_s: float) -> Callable[[Scene], None]:
    def crash(scene: Scene) -> None:
        kept, tag = _kept(scene), _busy(scene)
        primary, replica = kept.pair(tag)
        # So that what was written lately, and nothing older, is lost.
        time.sleep(1)
        if behind_s:
            kept.sever(replica)
            time.sleep(behind_s)
        scene.strike()
        kept.kill(primary)
        eventually(lambda: kept.role(replica) == "master")
        kept.mend(replica)
        kept.nodes[primary].start()
        kept.settled(replica, [primary])

    return crash


def _plans() -> list[Plan]:
    """Enter the faults, and say which are made of what."""
    planned = {"sentinel: FAILOVER … COORDINATED": _switch("COORDINATED")}
    planned |= {"cluster: FAILOVER": _switch(), "cluster: a slot moved": _move}
    for what, how in planned.items():
        fault(what)(how)
    plans = [Plan(kind, tuple(name for name in planned if name.startswith(kind))) for kind in KINDS]
    for kind in KINDS:
        for wait, name in (("0", kind), ("1", f"{kind}, WAIT")):
            lossy = {f"{name}: crash": _crash(0), f"{name}: crash, replica behind": _crash(BEHIND_S)}
            lossy |= {f"{name}: FAILOVER": _switch()} if kind == "sentinel" else {}
            for what, how in lossy.items():
                fault(what, settle_s=6)(how)
            plans.append(Plan(kind, tuple(lossy), True, wait))
    return plans


def run(plan: Plan, seed: str) -> tuple[Result, list[str]]:
    """Carry out a plan and judge what the clients saw."""
    folder = Path(tempfile.mkdtemp(prefix="failover-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    began, rng = time.monotonic(), Random(f"{seed} {plan}")
    strikes, told = [Strike("none", began, began)], list[str]()
    with Replicated(folder, plan) as system:
        traffic = Traffic(system.address, f"{plan.kind}{'-WAIT' * int(plan.wait)}", CONVERSATIONS, rng)
        scene, healer = Scene(system, traffic, rng), Healer(traffic)
        if plan.lossy:
            healer.start()
        time.sleep(3)
        strikes += [make(scene, FAULTS[name]) for name in plan.faults]
        traffic.pause()
        healer.rest()
        traffic.finish()
    seen = {log.name: log.entries for conversation in traffic.conversations for log in conversation.logs}
    (folder / "clients.json").write_text(json.dumps(seen))
    if plan.lossy:
        told = judge_lossy(traffic.conversations, strikes, healer)
    else:
        judge(traffic.conversations, strikes)
    if any(strike.findings for strike in strikes):
        print(f"{plan.kind}: the logs are in {folder}", flush=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    failed = Timelines(traffic.conversations).failed()
    return Result(strikes, len(traffic.conversations), traffic.messages, failed, time.monotonic() - began), told


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m faults.failover", description=__doc__)
    parser.add_argument("--times", type=int, default=1, help="how often each fault is made")
    parser.add_argument("--only", default="", help="only plans whose kind and faults hold this")
    parser.add_argument("--seed", default=str(int(time.time())))
    wanted = parser.parse_args()
    plans = [plan for plan in _plans() if wanted.only in repr(plan)]
    results = [run(replace(plan, faults=plan.faults * wanted.times), wanted.seed) for plan in plans]
    report = summary([result for result, _ in results], wanted.seed)
    report["lossy"] = [line for _, told in results for line in told]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.with_name("failover.json").write_text(json.dumps(report, indent=1))
    print(table(report), *report["lossy"], sep="\n")
    sys.exit(bool(report["missed"]))


if __name__ == "__main__":
    main()
