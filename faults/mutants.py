"""`make faults-mutants`: breaks the product in a copy of it, one promise at a time, and sees the checker find out.

The mutants are in mutants.toml, each with the schedule that shows it. The same schedules find nothing in the product
as it is: that is the first run.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faults.system import ROOT, workplace

LEFT_OUT = shutil.ignore_patterns(".*", "frontend", "node_modules", "tests", "__pycache__", "results")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m faults.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these")
    parser.add_argument("--seeds", default="1 2 3", help="with each of these seeds")
    wanted = parser.parse_args()
    known = tomllib.loads((ROOT / "faults" / "mutants.toml").read_text())["mutant"]
    mutants = [mutant for mutant in known if mutant["name"] in (wanted.names or [mutant["name"]])]
    schedules = "; ".join(sorted({mutant["faults"] for mutant in mutants}))
    sound = {"name": "the product as it is", "faults": schedules, "times": 2, "patches": []}
    runs = [(mutant, seed) for mutant in (sound, *mutants) for seed in wanted.seeds.split()]
    with ThreadPoolExecutor(2) as pool:
        right = list(pool.map(lambda run: has_findings(*run) is (run[0] is not sound), runs))
    print(f"{sum(right)} of {len(right)} runs came out as they should")
    sys.exit(not all(right))


def has_findings(mutant: dict[str, Any], seed: str) -> bool:
    """Run a mutant's schedule, and print what the checker found."""
    with mutated(mutant) as root:
        command = [sys.executable, "-m", "faults", "--lanes", "1", "--conversations", "12", "--seed", seed]
        command += ["--times", str(mutant["times"]), "--faults", mutant["faults"]]
        environ = os.environ | {"TMPDIR": str(root)}
        process = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True)
        results = root / "faults" / "results" / "latest.json"
        if not results.exists():
            raise SystemExit(f"{mutant['name']} could not be run:\n{process.stderr[-2000:]}")
        findings = json.loads(results.read_text())["findings"]
    example = f", such as {findings[0][:150]}" if findings else ""
    print(f"{mutant['name']}, seed {seed}: {len(findings)} findings{example}", flush=True)
    return bool(findings)


@contextmanager
def mutated(mutant: dict[str, Any]) -> Iterator[Path]:
    """A copy of the product with the mutant's patches. Fails where their text is not found."""
    with tempfile.TemporaryDirectory(prefix="mutant-", dir=workplace()) as folder:
        root = Path(shutil.copytree(ROOT, folder, ignore=LEFT_OUT, dirs_exist_ok=True))
        for patch in mutant["patches"]:
            file = root / patch["file"]
            text = file.read_text()
            if text.count(patch["old"]) != 1:
                raise SystemExit(f"the mutant “{mutant['name']}” does not find its place in {file}; mend its patch")
            file.write_text(text.replace(patch["old"], patch["new"]))
        yield root


if __name__ == "__main__":
    main()
