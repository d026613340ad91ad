"""Prints how much there is to read, against the limits that CONTRIBUTING.md names: `make size`."""

import ast
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEART, SERVICE, TRAINING = ("chat", "tasks"), ("app", "chat", "tasks", "gptj"), ("gptj/train",)
LONGEST_FUNCTION, LONG_FILE = 50, 200


def files(folders: Sequence[str], pattern: str = "*.py", without: Sequence[str] = ()) -> Iterator[Path]:
    """The files of these folders, by name."""
    left_out = [ROOT / folder for folder in without]
    for folder in folders:
        for path in sorted((ROOT / folder).rglob(pattern)):
            if not any(path.is_relative_to(other) for other in left_out):
                yield path


def lines(paths: Iterator[Path]) -> int:
    """How many lines there are to read that are neither blank nor a comment."""
    comments = {".py": "#", ".lua": "--"}
    return sum(
        bool(line.strip()) and not line.strip().startswith(comments[path.suffix])
        for path in paths
        for line in path.read_text().splitlines()
    )


def functions(paths: Iterator[Path]) -> list[tuple[int, str]]:
    """The length of every function and where it is, the longest first."""
    found = [
        (1 + (node.end_lineno or 0) - node.lineno, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return sorted(found, reverse=True)


def main() -> None:
    for name, count, limit in (
        ("chat and tasks, Python", lines(files(HEART)), 1500),
        ("chat and tasks, Lua", lines(files(HEART, "*.lua")), 500),
        ("the whole service, Python", lines(files(SERVICE, without=TRAINING)), 4000),
        ("gptj/train, Python", lines(files(TRAINING)), 1000),
    ):
        print(f"{name:<28}{count:>6} lines of at most {limit}{'  TOO LONG' if count > limit else ''}")
    by_length = functions(files(SERVICE, without=TRAINING))
    print(f"median function: {statistics.median(length for length, _ in by_length):g} lines; the longest:")
    for length, where in by_length[:5]:
        print(f"{length:>6}  {where}{'  TOO LONG' if length > LONGEST_FUNCTION else ''}")
    print(f"files over {LONG_FILE} lines:")
    for path in files(SERVICE, without=TRAINING):
        if (count := len(path.read_text().splitlines())) > LONG_FILE:
            print(f"{count:>6}  {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
