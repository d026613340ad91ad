"""The race: that what it is asked for exists, that its numbers are told right, and that its lanes are pinned."""

import json
import re
from pathlib import Path

import pytest

from bench import plots
from bench.plan import GROUPS, TARGETS
from bench.race import LANES, ROOT
from bench.results import Results, unit
from bench.stored import COUNTS, LENGTHS

LOCKS = sorted((ROOT / "bench" / "lanes").glob("*/requirements.txt"))
TITLES = {measure.title for group in GROUPS.values() for measure in group.measures} | {
    *(f"{n:,} messages" for n in LENGTHS),
    *(f"{n:,} conversations" for n in COUNTS),
}


@pytest.fixture
def results() -> Results:
    found = Results()
    for ours, theirs in ((1.0, 4.0), (3.0, 4.0), (2.0, 4.0)):
        found.add("1 user", "parley", {"first text p50": ours})
        found.add("1 user", "naive", {"first text p50": theirs})
    return found


def test_every_target_is_measured() -> None:
    for target in TARGETS:
        assert target.lane in LANES
        for metric in (target.metric, target.other or target.metric):
            assert metric.partition(": ")[0] in TITLES


def test_every_lane_has_a_web_process_and_says_how_it_differs() -> None:
    for lane in LANES.values():
        assert "web" in lane.commands()
        assert lane.folder == ROOT or len((lane.folder / "README.md").read_text().splitlines()) == 3


def test_parley_is_started_as_the_procfile_says() -> None:
    text = (ROOT / "Procfile").read_text()
    assert [f"{name}: {command}" for name, command in LANES["parley"].commands().items()] == text.splitlines()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.parent.name)
def test_every_package_of_a_lane_is_pinned_with_hashes(lock: Path) -> None:
    wanted = re.findall(r"^[a-z][\w-]*", lock.with_suffix(".in").read_text(), re.MULTILINE)
    entries = re.split(r"\n(?=\S)", lock.read_text().strip())
    assert "://" not in lock.read_text()
    assert all(re.match(r"[\w-]+(\[[\w,-]+\])?==[\w.]+ ", entry) and "--hash=sha256:" in entry for entry in entries)
    assert set(wanted) <= {re.split(r"[=\[]", entry)[0] for entry in entries}, "run `make lock`"


def test_the_results_are_medians_with_their_rounds(results: Results, tmp_path: Path) -> None:
    results.write(tmp_path / "latest.json")
    ours, theirs = json.loads((tmp_path / "latest.json").read_text())
    assert theirs["lane"] == "naive"
    assert ours == {
        "metric": "1 user: first text p50", "lane": "parley", "value": 2.0, "unit": "ms", "rounds": [1.0, 3.0, 2.0],
    }  # fmt: skip


def test_the_table_shows_the_spread_and_the_ratio_to_each_target(results: Results) -> None:
    assert "| 1 user: first text p50 (ms) | 2 ± 50 % | 4 ± 0 % |" in results.table(LANES)
    assert "| 0.5 | ≤ 0.3 | ≤ 0.22 | MISSED |" in results.ratios()


def test_units_follow_from_names() -> None:
    names = (
        "200 users, no pause: replies/s",
        "idle SSE: KB a stream",
        "x: redis evalsha",
        "x: cpu ms web",
        "x: in time",
    )
    assert [unit(name) for name in names] == ["1/s", "KB", "calls", "ms", "share"]


def test_a_metric_of_several_lanes_is_drawn(results: Results, tmp_path: Path) -> None:
    plots.draw(results, tmp_path)
    assert (tmp_path / "1-user-first-text-p50.svg").read_text().count("<rect") == 2
