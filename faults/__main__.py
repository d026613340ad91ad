"""The fault matrix: `make faults`, `make faults-quick`, `make faults-long SEED=…`, `make faults-failover`."""

import argparse
import json
import math
import statistics
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

from faults import breakdowns, failover, situations  # noqa: F401  (they enter their faults)
from faults.checker import BROKEN
from faults.lane import FAULTS, Plan, run
from faults.recovery import Strike

COLUMNS = (*BROKEN, "resent", "undone")
RESULTS = Path(__file__).with_name("results")
# Seconds that recovery may take: 95 % of the times, and at all.
TARGETS = {
    "worker": (7.0, 10.0), "web": (3.0, 3.0), "redis": (5.0, 5.0),
    "stop: while text flows": (0.5, math.inf), "stop: while the model is silent": (1.0, math.inf),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--failover", action="store_true", help="on Redis with replicas")
    parser.add_argument("--times", type=int, default=0, help="how often each fault is made; 0: the quick ones, once")
    parser.add_argument("--faults", default="", help="only these, by name, separated by semicolons")
    parser.add_argument("--messages", type=int, default=0)
    parser.add_argument("--conversations", type=int, default=10, help="in each lane")
    parser.add_argument("--lanes", type=int, default=2, help="systems side by side")
    parser.add_argument("--slack", type=float, default=1, help="how many times its target a recovery may take")
    parser.add_argument("--seed", default=str(int(time.time())))
    parser.set_defaults(began=time.monotonic())
    wanted = parser.parse_args()
    plans = failover.plans(wanted) if wanted.failover else schedule(wanted)
    print(f"seed {wanted.seed}: {sum(len(plan.faults) for plan in plans)} faults", flush=True)
    with ProcessPoolExecutor(wanted.lanes, get_context("spawn")) as pool:
        report = summary(list(pool.map(run, plans)), wanted)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / ("failover.json" if wanted.failover else "latest.json")).write_text(json.dumps(report, indent=1))
    print(table(report))
    sys.exit(bool(report["missed"]))


def schedule(wanted: argparse.Namespace) -> list[Plan]:
    """The faults in the order that the seed gives, dealt out to the lanes."""
    usual = [name for name, fault in FAULTS.items() if fault.quick or wanted.times]
    faults = [FAULTS[name] for name in (wanted.faults.split("; ") if wanted.faults else usual)] * max(wanted.times, 1)
    Random(wanted.seed).shuffle(faults)
    n, messages = wanted.lanes, math.ceil(wanted.messages / wanted.lanes)
    return [Plan("abcdefgh"[i], wanted.seed, faults[i::n], wanted.conversations, messages) for i in range(n)]


def summary(results: list[tuple[list[Strike], dict[str, int]]], wanted: argparse.Namespace) -> dict[str, Any]:
    """What is printed and written: a row for each fault, the targets that were missed, and every finding."""
    strikes = [strike for made, _ in results for strike in made]
    names = {strike.name for strike in strikes}
    rows = [_row(name, strikes) for name in dict.fromkeys(("none", *FAULTS, *sorted(names))) if name in names]
    recoveries = {name: _percentiles(_times(name, strikes)) for name in TARGETS}
    # Where a machine may be slow, an event that comes late proves nothing.
    kinds = [kind for kind in BROKEN if kind != "late" or wanted.slack == 1]
    missed = [f"{row['fault']}: {row[kind]} {kind}" for row in rows for kind in kinds if row[kind]]
    missed += [
        f"{name}: recovery took {p95:.2f} s (p95), {most:.2f} s at most"
        for name, (p95, most) in recoveries.items()
        if p95 > wanted.slack * TARGETS[name][0] or most > wanted.slack * TARGETS[name][1]
    ]
    return {
        "seed": wanted.seed,
        "counts": {name: sum(counts[name] for _, counts in results) for name in results[0][1]},
        "seconds": round(time.monotonic() - wanted.began),
        "rows": rows,
        "recoveries": recoveries,
        "missed": missed,
        "findings": [" | ".join((s.name, *f[1:])) for s in strikes for f in s.findings if f.kind in BROKEN],
    }


def _row(name: str, strikes: list[Strike]) -> dict[str, Any]:
    own, times = [strike for strike in strikes if strike.name == name], _times(name, strikes)
    kinds = Counter(finding.kind for strike in own for finding in strike.findings)
    facts = {"fault": name, "times": len(own), "affected": len(times), **{kind: kinds[kind] for kind in COLUMNS}}
    return facts | ({"longest_s": times[-1], "median_s": round(statistics.median(times), 2)} if times else {})


def _times(name: str, strikes: list[Strike]) -> list[float]:
    """The recoveries from a fault or a group of them, the shortest first."""
    own = [strike for strike in strikes if f"{strike.name}:".startswith(f"{name}:")]
    return sorted(round(seconds, 2) for strike in own for seconds in strike.recoveries)


def _percentiles(times: list[float]) -> tuple[float, float]:
    """What 95 % and all of these times stay within."""
    return (times[math.ceil(0.95 * len(times)) - 1], times[-1]) if times else (0, 0)


def table(report: dict[str, Any]) -> str:
    """The report as text."""
    heads = ("fault", "times", "affected", *COLUMNS, "longest_s", "median_s")
    cells = [heads, *([str(row.get(head, "–")) for head in heads] for row in report["rows"])]
    width = max(len(line[0]) for line in cells)
    counts = ", ".join(f"{count} {name}" for name, count in report["counts"].items())
    return "\n".join(
        [
            *(f"{name:<{width}}" + "".join(f"{cell:>11}" for cell in rest) for name, *rest in cells),
            f"\nseed {report['seed']}, {report['seconds']} s: {counts}",
            *(f"{name}: {p95} s (p95), {most} s at most" for name, (p95, most) in report["recoveries"].items() if most),
            *report["findings"][:30],
            *(f"MISSED {missed}" for missed in report["missed"]),
        ]
    )


if __name__ == "__main__":
    main()
