"""A lane: one system with its traffic, on which the faults of a schedule follow one another."""

import resource
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

from faults.checker import Finding, check
from faults.clients import Conversation
from faults.faults import FAULTS, Fault, Scene
from faults.recovery import Strike, Timelines
from faults.system import System, workplace
from faults.traffic import Traffic

# So long after a fault that severs connections events may still be late: a half-open one to Redis is noticed in 10 s.
LATE_AFTER_S = 12.0


@dataclass(frozen=True)
class Plan:
    """What a lane is to do, with at least so many conversations and messages."""

    name: str
    seed: str
    faults: list[str]
    conversations: int
    messages: int


@dataclass
class Result:
    """What came of it. The first strike stands for the time before any fault."""

    strikes: list[Strike]
    conversations: int
    messages: int
    failed: int
    seconds: float


def run(plan: Plan) -> Result:
    """Follow a plan and judge what the clients saw. The system's logs stay where something went wrong."""
    # A client's connection is three descriptors here: its own and two of the proxy.
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    folder = Path(tempfile.mkdtemp(prefix="faults-", dir=workplace()))
    began, rng = time.monotonic(), Random(f"{plan.seed} {plan.name}")
    strikes = [Strike("none", began, began)]
    apart = [name for name in plan.faults if name.startswith("emptied")]
    with System(folder) as system:
        scene = Scene(system, Traffic(system.address, plan.name, plan.conversations, rng), rng)
        time.sleep(2)
        strikes += [make(scene, FAULTS[name]) for name in plan.faults if name not in apart]
        while scene.traffic.messages < plan.messages:
            time.sleep(0.5)
        scene.traffic.finish()
        conversations = list(scene.traffic.conversations)
        timelines = judge(conversations, strikes)
        strikes += [make(scene, FAULTS[name]) for name in apart]
    if any(strike.findings for strike in strikes):
        print(f"{plan.name}: the logs are in {folder}", flush=True)
    else:
        shutil.rmtree(folder)
    seconds = time.monotonic() - began
    return Result(strikes, len(conversations), scene.traffic.messages, timelines.failed(), seconds)


def make(scene: Scene, fault: Fault) -> Strike:
    scene.strike()
    scene.measured, scene.broken = [], []
    fault.make(scene)
    broken = [Finding(scene.struck, "stuck", fault.name, what) for what in scene.broken]
    strike = Strike(fault.name, scene.struck, time.monotonic(), scene.measured, broken)
    print(f"{scene.traffic.name}: {fault.name} ({scene.traffic.messages} messages so far)", flush=True)
    time.sleep(fault.settle_s)
    return strike


def judge(conversations: list[Conversation], strikes: list[Strike]) -> Timelines:
    """Give each strike the findings and the recoveries that came after it and before the next."""
    timelines = Timelines(conversations)
    findings = [finding for conversation in conversations for finding in check(conversation)]
    for strike, following in zip(strikes, [*strikes[1:], None], strict=True):
        until = following.began if following else float("inf")
        strike.findings += [f for f in findings if strike.began <= f.at < until and not _excused(f, strikes)]
        strike.recoveries = strike.recoveries or timelines.recoveries(strike, until)
    return timelines


def _excused(finding: Finding, strikes: list[Strike]) -> bool:
    severing = [strike for strike in strikes if strike.name in FAULTS and FAULTS[strike.name].severs]
    return finding.kind == "late" and any(s.began <= finding.at <= s.over + LATE_AFTER_S for s in severing)
