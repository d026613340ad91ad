"""The race: `python -m bench [--quick] [--rounds N] [--groups steady,streams,…] [--lanes parley,floor,…]`."""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import plots, stored
from bench.plan import GROUPS, Group, Measure
from bench.race import LANES, ROOT, Running, model, running
from bench.results import Results

RESULTS = ROOT / "bench" / "results"
STORED = {"lengths": stored.lengths, "counts": stored.counts, "processes": stored.processes}


class Race:
    """Goes through the groups; in each round every lane has its turn. Counts what failed, and goes on."""

    def __init__(self, model_url: str, lanes: Sequence[str], quick: bool) -> None:
        self.model_url, self.lanes, self.quick = model_url, lanes, quick
        self.results, self.failed = Results(), 0

    def run(self, group: Group, rounds: int) -> None:
        for turn in range(rounds):
            # Another one begins each time, so that no lane always has the same one before it.
            for name in [*self.lanes[turn % len(self.lanes) :], *self.lanes[: turn % len(self.lanes)]]:
                if wanted := [measure for measure in group.measures if name in measure.lanes]:
                    self.take_turn(name, wanted)

    def take_turn(self, name: str, wanted: Sequence[Measure]) -> None:
        with self.attempt(name), running(LANES[name], self.model_url) as ran:
            for measure in wanted:
                self.measure(ran, measure)

    @contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """What fails in here is told and counted, and does not end the race."""
        try:
            yield
        except (subprocess.SubprocessError, RuntimeError) as error:
            self.failed += 1
            print(f"{what} failed: {error}", file=sys.stderr)

    def measure(self, ran: Running, measure: Measure) -> None:
        begun = time.monotonic()
        found = ran.load(measure.do, measure.as_users, **(measure.quick() if self.quick else measure.how))
        self.results.add(measure.title, ran.lane.name, found)
        said = ", ".join(f"{name} {value:.4g}" for name, value in list(found.items())[:4])
        print(f"{time.monotonic() - begun:5.1f} s  {ran.lane.name}: {measure.title}: {said}", flush=True)


def quick_group() -> Group:
    """One group of everything, so that each lane starts once."""
    bursts = [name for name in GROUPS if name.startswith("burst")][1:]
    return Group([each for name, group in GROUPS.items() if name not in bursts for each in group.measures], rounds=1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Race Parley against its peers.")
    parser.add_argument("--quick", action="store_true", help="see that all lanes answer; the numbers mean nothing")
    parser.add_argument("--rounds", type=int, help="instead of two or three")
    parser.add_argument("--groups", default=",".join([*GROUPS, *STORED]), help="by default all: %(default)s")
    parser.add_argument("--lanes", default=",".join(LANES), help="by default all: %(default)s")
    asked = parser.parse_args()
    wanted, lanes, begun = asked.groups.split(","), asked.lanes.split(","), time.monotonic()
    groups = {"quick": quick_group()} if asked.quick else {n: group for n, group in GROUPS.items() if n in wanted}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, model(Path(folder)) as model_url:
        race = Race(model_url, lanes, asked.quick)
        for group in groups.values():
            race.run(group, asked.rounds or group.rounds)
        for name in wanted:
            if name in STORED and "parley" in lanes:
                with race.attempt(name):
                    STORED[name](race.results, model_url, asked.quick)
    tell(race.results, asked.quick)
    print(f"\nIt took {(time.monotonic() - begun) / 60:.1f} minutes.")
    sys.exit(f"{race.failed} turns failed; see above." if race.failed else 0)


def tell(results: Results, quick: bool) -> None:
    """Write and print the results; of a quick run no more than what was measured, as it judges nothing."""
    results.write(RESULTS / "latest.json")
    print(f"\n{results.table(LANES)}\n\n{results.table(LANES, costs=True)}")
    if not quick:
        print(f"\n{results.ratios()}")
        plots.draw(results, RESULTS)


if __name__ == "__main__":
    # Each stream is an open file, in the lanes and in the load generator, which take over this limit.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    main()
