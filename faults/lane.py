"""A lane: one system with its traffic, on which the faults of a plan follow one another."""

import json
import resource
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from faults.checker import BROKEN, Finding, check
from faults.clients import Conversation
from faults.recovery import Strike, check_lossy, judge
from faults.story import Log
from faults.system import RESTART_S, Part, System, wait_for, workplace
from faults.traffic import Healer, Traffic


@dataclass
class Scene:
    """What a fault acts on, and the strike that it makes."""

    system: System
    traffic: Traffic
    now: Strike = field(default_factory=lambda: Strike("none"))

    def make(self, fault: "Fault") -> Strike:
        """Make a fault, and let the traffic go on for a while."""
        self.now = Strike(fault.name, severs=fault.severs)
        fault.make(self, *fault.what)
        self.now.over = time.monotonic()
        print(f"{self.traffic.name}: {fault.name} ({self.traffic.messages} messages so far)", flush=True)
        time.sleep(fault.settle_s)
        return self.now

    def strike(self) -> None:
        """The fault begins only now; what came before was to prepare it."""
        self.now.began = time.monotonic()

    def expect(self, what: str, seen: object) -> None:
        """Note a promise of the fault's own that was broken."""
        if not seen:
            self.now.findings.append(Finding(self.now.began, "stuck", self.now.name, what))

    def until_text(self, conversations: list[Conversation]) -> None:
        """Wait until every client has seen a delta. It strikes then."""
        for log in [log for conversation in conversations for log in conversation.logs]:
            wait_for(partial(_has_text, log), 15)
        self.strike()

    def worker(self) -> Part:
        """One of the workers, by chance."""
        return self.traffic.rng.choice(self.system.workers)

    def restart(self, part: str, number: int = signal.SIGKILL, after_s: float = RESTART_S) -> None:
        """End a part of the system and start it again, until Redis and the web process answer."""
        getattr(self.system, part).restart(number, after_s)
        wait_for(self.system.redis.ping)
        self.system.serves()


def _has_text(log: Log) -> bool:
    """Whether its client has seen a delta, or has come when the reply had begun."""
    return any(entry.kind == "delta" or (entry.data.get("turn") or {}).get("text") for entry in log.entries)


@dataclass(frozen=True)
class Fault:
    """What is made of it in a scene. After it the traffic goes on undisturbed for `settle_s`.

    `quick`: cheap enough for the quick run. `severs`: events may come late while it lasts.
    """

    name: str
    make: Callable[..., None]
    what: tuple[Any, ...] = ()
    settle_s: float = 4
    quick: bool = True
    severs: bool = True


FAULTS: dict[str, Fault] = {}


def fault(name: str, make: Callable[..., None], *what: Any, **how: Any) -> None:
    """Enter a fault: a function, and what it gets beside the scene."""
    FAULTS[name] = Fault(name, make, what, **how)


@dataclass(frozen=True)
class Plan:
    """What a lane is to do, with at least so many conversations and messages. A lossy one may lose what it accepted."""

    name: str
    seed: str
    faults: list[Fault]
    conversations: int
    messages: int = 0
    system: Callable[[Path], System] = System
    lossy: bool = False


def run(plan: Plan) -> tuple[list[Strike], dict[str, int]]:
    """Follow a plan and judge what the clients saw. All logs stay where a promise was broken.

    Returns the strikes, of which the first stands for the time before any fault, and how much there was.
    """
    # A client's connection is three descriptors here: its own and two of the proxy.
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    folder = Path(tempfile.mkdtemp(prefix="faults-", dir=workplace()))
    apart = [fault for fault in plan.faults if fault.name.startswith("emptied")]
    with plan.system(folder) as system:
        traffic = Traffic(system.address, plan.name, plan.conversations, Random(f"{plan.seed} {plan.name}"))
        scene, healer = Scene(system, traffic), Healer(traffic) if plan.lossy else None
        time.sleep(2)
        strikes = [scene.now, *(scene.make(fault) for fault in plan.faults if fault not in apart)]
        while traffic.messages < plan.messages:
            time.sleep(0.5)
        if healer:
            healer.rest()
        traffic.finish()
        stories = list(traffic.conversations)
        failed = judge(stories, strikes, partial(check_lossy, healer.resent) if healer else check)
        strikes += [scene.make(fault) for fault in apart]
    if any(finding.kind in BROKEN for strike in strikes for finding in strike.findings):
        (folder / "clients.json").write_text(json.dumps({log.name: log.entries for s in stories for log in s.logs}))
        print(f"{plan.name}: the logs are in {folder}", flush=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    counted = {"messages": traffic.messages, "conversations": len(stories), "faults": len(plan.faults)}
    return strikes, counted | {"failed turns": failed}
