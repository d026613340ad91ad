"""Prints how much there is to read, against the limits that CONTRIBUTING.md names: `make size`.

It counts as cloc does: lines that are neither blank nor a comment nor a docstring.
"""

import ast
import re
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEART, SERVICE, TRAINING = ("chat", "tasks"), ("app", "chat", "tasks", "gptj"), ("gptj/train",)
CLIENT, TEXTS = ("frontend/src",), ("frontend/src/texts.ts",)
LONGEST_FUNCTION, LONG_FILE = 50, 200
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
COMMENTS = {".py": "#", ".lua": "--", ".ts": r"//|/?\*", ".tsx": r"//|/?\*|\{/\*", ".css": r"/?\*[ /*]"}


def files(folders: Sequence[str], pattern: str = "*.py", without: Sequence[str] = ()) -> Iterator[Path]:
    """The files of these folders, by name."""
    left_out = [ROOT / folder for folder in without]
    for folder in folders:
        for path in sorted((ROOT / folder).rglob(pattern)):
            if not any(path.is_relative_to(other) for other in left_out):
                yield path


def lines(paths: Iterator[Path]) -> int:
    """How many lines of code there are."""
    return sum(
        not re.match(rf"\s*({COMMENTS[path.suffix]}|$)", line)
        for path in paths
        for line in undocumented(path).splitlines()
    )


def undocumented(path: Path) -> str:
    """A file's text, without its docstrings where it is Python."""
    text = path.read_text()
    if path.suffix != ".py":
        return text
    kept = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            kept[node.body[0].lineno - 1 : node.body[0].end_lineno] = [""] * (_height(node.body[0]))
    return "\n".join(kept)


def _height(node: ast.stmt) -> int:
    return 1 + (node.end_lineno or node.lineno) - node.lineno


def functions(paths: Iterator[Path]) -> list[tuple[int, str]]:
    """The length of every function and where it is, the longest first."""
    found = [
        (_height(node), f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
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
        ("faults, Python", lines(files(("faults",))), 1500),
        ("protocol, Python", lines(files(("protocol",))), 800),
        ("bench, Python", lines(files(("bench",))), 1500),
        ("frontend without its texts", lines(files(CLIENT, "*.[tc]s*", without=TEXTS)), 2500),
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
