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
TARGETS = {"worker": (7.0, 10.0), "web": (3.0, 3.0), "redis": (5.0, 5.0)}
STOP_TARGETS = {"stop: while text flows": (0.5, math.inf), "stop: while the model is silent": (1.0, math.inf)}


def main() -> None:
    wanted = _arguments()
    names = wanted.faults.split("; ") if wanted.faults else [n for n, f in FAULTS.items() if f.quick or wanted.times]
    plans = schedule(names, max(wanted.times, 1), wanted.lanes, wanted.seed, wanted.conversations, wanted.messages)
    print(f"seed {wanted.seed}: {sum(len(plan.faults) for plan in plans)} faults", flush=True)
    with ProcessPoolExecutor(wanted.lanes, get_context("spawn")) as pool:
        results = list(pool.map(run, plans))
    report = summary(results, wanted.seed)
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
    parser.add_argument("--seed", default=str(int(time.time())))
    return parser.parse_args()


def schedule(names: list[str], times: int, lanes: int, seed: str, conversations: int, messages: int) -> list[Plan]:
    """The faults in the order that the seed gives, dealt out to the lanes."""
    faults = names * times
    Random(seed).shuffle(faults)
    return [
        Plan("abcdefgh"[n], seed, faults[n::lanes], conversations, math.ceil(messages / lanes)) for n in range(lanes)
    ]


def summary(results: list[Result], seed: str) -> dict[str, Any]:
    """What is printed and written: a row for each fault, and the targets that were missed."""
    strikes = [strike for result in results for strike in result.strikes]
    by_name = defaultdict(list)
    for strike in strikes:
        by_name[strike.name].append(strike)
    rows = [_row(name, by_name[name]) for name in ("none", *FAULTS) if name in by_name]
    return {
        "seed": seed,
        "seconds": round(max(result.seconds for result in results)),
        "messages": sum(result.messages for result in results),
        "conversations": sum(result.conversations for result in results),
        "faults": sum(row["times"] for row in rows if row["fault"] != "none"),
        "failed turns": sum(result.failed for result in results),
        "rows": rows,
        "missed": [*_broken(rows), *_too_slow(strikes)],
        "findings": [
            f"{strike.name} | {' | '.join(map(str, finding[1:]))}" for strike in strikes for finding in strike.findings
        ],
    }


def _row(name: str, strikes: list[Strike]) -> dict[str, Any]:
    kinds = Counter(finding.kind for strike in strikes for finding in strike.findings)
    times = [seconds for strike in strikes for seconds in strike.recoveries]
    return {
        "fault": name, "times": len(strikes), "affected": len(times), **{kind: kinds[kind] for kind in COLUMNS},
        "longest_s": round(max(times), 2) if times else None,
        "median_s": round(statistics.median(times), 2) if times else None,
    }  # fmt: skip


def _broken(rows: list[dict[str, Any]]) -> list[str]:
    return [f"{row['fault']}: {row[kind]} {kind}" for row in rows for kind in COLUMNS if row[kind]]


def _too_slow(strikes: list[Strike]) -> list[str]:
    missed = []
    for name, (p95, longest) in (TARGETS | STOP_TARGETS).items():
        times = sorted(s for strike in strikes if name in (strike.group, strike.name) for s in strike.recoveries)
        if times and (times[-1] > longest or times[math.ceil(0.95 * len(times)) - 1] > p95):
            missed.append(
                f"{name}: recovery took {times[math.ceil(0.95 * len(times)) - 1]:.2f} s (p95), {times[-1]:.2f} s (max)"
            )
    return missed


def table(report: dict[str, Any]) -> str:
    """The report as text."""
    heads = ("fault", "times", "affected", *COLUMNS, "longest_s", "median_s")
    cells = [heads, *(tuple("" if row[head] is None else str(row[head]) for head in heads) for row in report["rows"])]
    widths = [max(len(line[n]) for line in cells) for n in range(len(heads))]
    lines = [
        "  ".join(c.ljust(w) if n == 0 else c.rjust(w) for n, (c, w) in enumerate(zip(line, widths, strict=True)))
        for line in cells
    ]
    facts = ", ".join(
        f"{report[name]} {name}" for name in ("messages", "conversations", "faults", "failed turns", "seconds")
    )
    findings = report["findings"][:30]
    return "\n".join(
        [*lines, "", f"seed {report['seed']}: {facts}", *findings, *(f"MISSED {m}" for m in report["missed"] or ())]
    )


if __name__ == "__main__":
    main()
