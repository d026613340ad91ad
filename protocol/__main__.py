"""Every interleaving of the turn protocol at small bounds, explored breadth first.

`python -m protocol` goes through the scenarios: two workers that crash, stall and come back, calls whose answers are
lost or whose copies come late, stops, retries, events that are lost, a Redis that loses its tail. `--mutants` shows
that a protocol without one of its rules is caught. Each exits non-zero where it is not so.
Time is left out: a lease lapses, a ring comes, a conversation expires whenever it could.
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor

from protocol.exploration import explore
from protocol.model import Model
from protocol.mutants import MUTANTS
from protocol.scenarios import SCENARIOS


def main() -> int:
    """Print a table, and each counterexample that nobody asked for. Returns 1 when the model is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m protocol")
    parser.add_argument("--mutants", action="store_true", help="explore protocols that lack a rule each")
    parser.add_argument("--traces", action="store_true", help="show the shortest way to what breaks in each")
    wanted = parser.parse_args()
    models = MUTANTS if wanted.mutants else [(Model, name) for name in SCENARIOS]
    wrong, states = 0, 0
    print(f"{'mutant' if wanted.mutants else 'scenario':<30}{'states':>9}{'transitions':>13}{'seconds':>9}  broken")
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for (kind, name), found in zip(models, pool.map(explore, *zip(*models, strict=True)), strict=True):
            numbers = f"{found.states:>9,}{found.transitions:>13,}{found.seconds:>9.1f}"
            print(f"{kind.__name__ if wanted.mutants else name:<30}{numbers}  {found.broken}", flush=True)
            states += found.states
            wrong += bool(found.broken) != wanted.mutants
            if found.broken and (not wanted.mutants or wanted.traces):
                print(*found.trace, sep="\n    ", end="\n\n")
    what = "mutants not caught" if wanted.mutants else "scenarios broken"
    print(f"{states:,} states; {wrong} of {len(models)} {what}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
