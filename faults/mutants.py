"""`make faults-mutants`: breaks the product in a copy of it, one promise at a time, and sees the checker find out.

The schedules that catch the mutants find nothing in the product as it is: that is the first run.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from faults.system import workplace

ROOT = Path(__file__).resolve().parents[1]
SEEDS = ("1", "2", "3")
COPIED = ("app", "chat", "tasks", "gptj", "faults", "Procfile", "*.py")


@dataclass(frozen=True)
class Mutant:
    """A promise that is taken back: what to replace by what in which file, and the schedule that shows it."""

    name: str
    patches: tuple[tuple[str, str, str], ...]
    faults: str
    times: int = 2


FENCED = "if run.fence ~= fence or not deliver("
PUBLISH = (
    "if units > 0 then redis.call('SPUBLISH', DOC .. ':live', event_id(run.n + 1) .. '\\ndelta\\n' .. ARGV[7]) end\n"
)
SUBSCRIBE_FIRST = "        # Subscribe before reading: the other way round loses what is published in between.\n"
HOLE = """if event.position.epoch != after.epoch or event.position.n > after.n + 1:
                break
            if event.position.n == after.n + 1:"""
MUTANTS = (
    Mutant("no fence", (
        ("chat/lua/emit.lua", FENCED, "if not deliver("),
        ("chat/lua/finish.lua", FENCED, "if not current_turn() or not deliver("),
        ("chat/lua/renew.lua", "if run.fence ~= ARGV[2] then", "if not current_turn() then"),
    ), "worker: frozen for twice its lease", 3),
    Mutant("no idempotency", (
        ("chat/lua/accept.lua", "if known then", "if false then"),
    ), "network: answers lost between clients and web", 5),
    Mutant("replay before subscribe", (
        ("app/hub.py", SUBSCRIBE_FIRST, "        early = conversation.read(position)\n"),
        ("app/hub.py", "batch = conversation.read(position)\n",
         "batch, early = early or conversation.read(position), None\n"),
    ), "network: clients come while turns end, Redis far away", 4),
    Mutant("no sweep", (
        ("tasks/keeper.py", "in turns.sweep(self._store):", "in turns.sweep(self._store)[:0]:"),
    ), "worker: SIGKILL in mid-reply"),
    Mutant("publish before store", (
        ("chat/lua/emit.lua", FENCED, PUBLISH + FENCED),
    ), "worker: frozen for twice its lease"),
    Mutant("no hole detection", (
        ("app/watch.py", HOLE, "if event.position.n > after.n:"),
        ("app/watch.py", "if newest is None or watch.newest != newest:", "if False:"),
    ), "redis: CLIENT KILL pubsub"),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m faults.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these")
    names = parser.parse_args().names
    mutants = [mutant for mutant in MUTANTS if mutant.name in (names or [mutant.name])]
    sound = Mutant("the product as it is", (), "; ".join(sorted({mutant.faults for mutant in mutants})))
    runs = [(mutant, seed) for mutant in (sound, *mutants) for seed in SEEDS]
    with ThreadPoolExecutor(2) as pool:
        right = list(pool.map(lambda run: has_findings(*run) is (run[0] is not sound), runs))
    print(f"{sum(right)} of {len(right)} runs came out as they should")
    sys.exit(not all(right))


def has_findings(mutant: Mutant, seed: str) -> bool:
    """Run a mutant's schedule, and print what the checker found."""
    with mutated(mutant) as root:
        command = [sys.executable, "-m", "faults", "--lanes", "1", "--conversations", "12", "--seed", seed]
        command += ["--times", str(mutant.times), "--faults", mutant.faults]
        environ = os.environ | {"TMPDIR": str(root)}
        process = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True)
        results = root / "faults" / "results" / "latest.json"
        if not results.exists():
            raise SystemExit(f"{mutant.name} could not be run:\n{process.stderr[-2000:]}")
        findings = json.loads(results.read_text())["findings"]
    example = f", such as {findings[0][:150]}" if findings else ""
    print(f"{mutant.name}, seed {seed}: {len(findings)} findings{example}", flush=True)
    return bool(findings)


@contextmanager
def mutated(mutant: Mutant) -> Iterator[Path]:
    """A copy of the product with the mutant's patches. Fails where their text is not found."""
    with tempfile.TemporaryDirectory(prefix="mutant-", dir=workplace()) as folder:
        root = Path(folder)
        for path in (path for pattern in COPIED for path in ROOT.glob(pattern)):
            if path.is_dir():
                shutil.copytree(path, root / path.name, ignore=shutil.ignore_patterns("__pycache__", "results"))
            else:
                shutil.copy(path, root)
        for name, old, new in mutant.patches:
            text = (root / name).read_text()
            if text.count(old) != 1:
                raise SystemExit(f"the mutant “{mutant.name}” does not find its place in {name}; mend its patch")
            (root / name).write_text(text.replace(old, new))
        yield root


if __name__ == "__main__":
    main()
