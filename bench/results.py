"""The numbers: kept by metric and lane, a value for each round; written as JSON, printed as a table."""

import json
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from bench.plan import TARGETS, Target

UNITS = {"p50": "ms", "p99": "ms", "KB": "KB", "cpu": "ms", "redis": "calls", "answered": "share", "in": "share"}
COSTS = ("20 users, no pause: cpu ", "20 users, no pause: redis ")


def unit(metric: str) -> str:
    """The unit follows from the first word behind the colon of a metric's name, or from the last."""
    words = metric.rpartition(": ")[2].split()
    return "1/s" if words[-1].endswith("/s") else UNITS.get(words[0], UNITS.get(words[-1], ""))


class Results:
    def __init__(self) -> None:
        self.rounds: dict[tuple[str, str], list[float]] = defaultdict(list)

    def add(self, title: str, lane: str, found: dict[str, float]) -> None:
        for name, value in found.items():
            self.rounds[f"{title}: {name}", lane].append(value)

    def median(self, metric: str, lane: str) -> float | None:
        return statistics.median(self.rounds[metric, lane]) if (metric, lane) in self.rounds else None

    def metrics(self) -> list[str]:
        return list(dict.fromkeys(metric for metric, _ in self.rounds))

    def lanes(self, metric: str) -> dict[str, float]:
        return {lane: statistics.median(values) for (name, lane), values in self.rounds.items() if name == metric}

    def write(self, path: Path) -> None:
        found = [
            {"metric": m, "lane": lane, "value": statistics.median(v), "unit": unit(m), "rounds": v}
            for (m, lane), v in self.rounds.items()
        ]
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(found, indent=1))

    def table(self, lanes: Iterable[str], costs: bool = False) -> str:
        """A row for each metric, a column for each lane: the median, and half the spread in per cent of it.

        What a reply costs, in CPU time and calls to Redis, makes a table of its own, with 20 users.
        """
        lanes = [lane for lane in lanes if any(lane == other for _, other in self.rounds)]
        head = f"| | {' | '.join(lanes)} |\n|---|{'---:|' * len(lanes)}\n"
        rows = (
            f"| {metric} ({unit(metric)}) | {' | '.join(self.cell(metric, lane) for lane in lanes)} |"
            for metric in self.metrics()
            if (metric.startswith(COSTS) if costs else not re.search(": (cpu|redis) ", metric))
        )
        return head + "\n".join(rows)

    def cell(self, metric: str, lane: str) -> str:
        median = self.median(metric, lane)
        if median is None:
            return "–"
        values = self.rounds[metric, lane]
        spread = 50 * (max(values) - min(values)) / abs(median) if median else 0
        return number(median) + (f" ± {spread:.0f} %" if len(values) > 1 else "")

    def ratios(self) -> str:
        rows = [row for target in TARGETS if (row := self.ratio(target))]
        return "| Parley's share of | ratio | must | reach for | |\n|---|---:|---:|---:|---|\n" + "\n".join(rows)

    def ratio(self, target: Target) -> str:
        ours, theirs = self.median(target.metric, "parley"), self.median(target.other or target.metric, target.lane)
        if ours is None or not theirs:
            return ""
        ratio, sign = ours / theirs, "≥" if target.more else "≤"
        verdict = (
            "reached" if target.met(ratio, target.reach) else "met" if target.met(ratio, target.must) else "MISSED"
        )
        whose = f"{target.lane}, {target.other or target.metric}"
        wanted = " | ".join(f"{sign} {number(value)}" for value in (target.must, target.reach))
        return f"| {target.metric} against {whose} | {number(ratio)} | {wanted} | {verdict} |"


def number(value: float) -> str:
    """Three digits, and no more."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
