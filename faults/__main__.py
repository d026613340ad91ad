"""The fault matrix: `make faults`, `make faults-quick`, `make faults-long SEED=…`."""

import argparse
import json
import math
import statistics
import sys
import time
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

from faults.faults import FAULTS
from faults.lane import Plan, Result, run
from faults.recovery import Strike

RESULTS = Path(__file__).with_name("results") / "latest.json"
COLUMNS = ("lost", "doubled", "reordered", "differing", "stuck", "late", "error")
# Seconds that recovery may take: 95 % of the times, and at all.
TARGETS = {
    "worker": (7.0, 10.0), "web": (3.0, 3.0), "redis": (5.0, 5.0),
    "stop: while text flows": (0.5, math.inf), "stop: while the model is silent": (1.0, math.inf),
}  # fmt: skip


def main() -> None:
    wanted = _arguments()
    names = wanted.faults.split("; ") if wanted.faults else [n for n, f in FAULTS.items() if f.quick or wanted.times]
    plans = schedule(names, max(wanted.times, 1), wanted.lanes, wanted.seed, wanted.conversations, wanted.messages)
    print(f"seed {wanted.seed}: {sum(len(plan.faults) for plan in plans)} faults", flush=True)
    with ProcessPoolExecutor(wanted.lanes, get_context("spawn")) as pool:
        results = list(pool.map(run, plans))
    report = summary(results, wanted.seed, wanted.slack)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1))
    print(table(report))
    sys.exit(bool(report["missed"]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--times", type=int, default=0, help="how often each fault is made; 0: the quick ones, once")
    parser.add_argument("--faults", default="", help="only these, by name, separated by semicolons")
    parser.add_argument("--messages", type=int, default=0)
    parser.add_argument("--conversations", type=int, default=10, help="in each lane")
    parser.add_argument("--lanes", type=int, default=2, help="systems side by side")
    parser.add_argument("--slack", type=float, default=1, help="how many times its target a recovery may take")
    parser.add_argument("--seed", default=str(int(time.time())))
    return parser.parse_args()


def schedule(names: list[str], times: int, lanes: int, seed: str, conversations: int, messages: int) -> list[Plan]:
    """The faults in the order that the seed gives, dealt out to the lanes."""
    faults = names * times
    Random(seed).shuffle(faults)
    return [
        Plan("abcdefgh"[n], seed, faults[n::lanes], conversations, math.ceil(messages / lanes)) for n in range(lanes)
    ]


def summary(results: list[Result], seed: str, slack: float = 1) -> dict[str, Any]:
    """What is printed and written: a row for each fault, the targets that were missed, and every finding."""
    strikes = [strike for result in results for strike in result.strikes]
    by_name = defaultdict(list)
    for strike in strikes:
        by_name[strike.name].append(strike)
    rows = [_row(name, by_name[name]) for name in ("none", *FAULTS) if name in by_name]
    return {
        "seed": seed,
        "messages": sum(result.messages for result in results),
        "conversations": sum(result.conversations for result in results),
        "faults": len(strikes) - len(by_name["none"]),
        "failed turns": sum(result.failed for result in results),
        "seconds": round(max(result.seconds for result in results)),
        "rows": rows,
        "recoveries": {name: _percentiles(_times(strikes, name)) for name in TARGETS},
        "missed": [*_broken(rows, slack), *_too_slow(strikes, slack)],
        "findings": [" | ".join((s.name, *map(str, finding[1:]))) for s in strikes for finding in s.findings],
    }


def _row(name: str, strikes: list[Strike]) -> dict[str, Any]:
    kinds = Counter(finding.kind for strike in strikes for finding in strike.findings)
    times = _times(strikes, name)
    facts = {"fault": name, "times": len(strikes), "affected": len(times), **{kind: kinds[kind] for kind in COLUMNS}}
    return facts | ({"longest_s": times[-1], "median_s": round(statistics.median(times), 2)} if times else {})


def _times(strikes: list[Strike], name: str) -> list[float]:
    """The recoveries from a fault or a group of them, the shortest first."""
    return sorted(
        round(seconds, 2) for strike in strikes if name in (strike.group, strike.name) for seconds in strike.recoveries
    )


def _percentiles(times: list[float]) -> tuple[float, float]:
    """What 95 % and all of these times stay within."""
    return (times[math.ceil(0.95 * len(times)) - 1], times[-1]) if times else (0, 0)


def _broken(rows: list[dict[str, Any]], slack: float) -> list[str]:
    # Where a machine may be slow, an event that comes late proves nothing.
    kinds = [kind for kind in COLUMNS if kind != "late" or slack == 1]
    return [f"{row['fault']}: {row[kind]} {kind}" for row in rows for kind in kinds if row[kind]]


def _too_slow(strikes: list[Strike], slack: float) -> list[str]:
    found = {name: _percentiles(_times(strikes, name)) for name in TARGETS}
    return [
        f"{name}: recovery took {found[name][0]:.2f} s (p95), {found[name][1]:.2f} s at most"
        for name, (p95, most) in TARGETS.items()
        if found[name][0] > slack * p95 or found[name][1] > slack * most
    ]


def table(report: dict[str, Any]) -> str:
    """The report as text."""
    heads = ("fault", "times", "affected", *COLUMNS, "longest_s", "median_s")
    cells = [heads, *(tuple(str(row.get(head, "–")) for head in heads) for row in report["rows"])]
    width = max(len(line[0]) for line in cells)
    lines = [f"{line[0]:<{width}}" + "".join(f"{cell:>11}" for cell in line[1:]) for line in cells]
    names = ("messages", "conversations", "faults", "failed turns", "seconds")
    return "\n".join(
        [
            *lines,
            f"\nseed {report['seed']}: " + ", ".join(f"{report[name]} {name}" for name in names),
            *(f"{name}: {p95} s (p95), {most} s at most" for name, (p95, most) in report["recoveries"].items() if most),
            *report["findings"][:30],
            *(f"MISSED {missed}" for missed in report["missed"]),
        ]
    )


if __name__ == "__main__":
    main()
