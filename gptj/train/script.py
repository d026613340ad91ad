"""Reads the dialogue files: what people say, what the bot replies, and what is kept back for the evaluation."""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

DIALOGUES = Path(__file__).with_name("dialogues")
_MARKS = {
    ">": "says",
    "<": "replies",
    ">>": "asks",
    "<<": "recalls",
    "<!": "unknown",
    "?": "held_out",
    "=": "rules",
    ":": "rows",
    "@": "rows_of",
}
_CHOICE = re.compile(r"\[([^\[\]]*\|[^\[\]]*)\]")


@dataclass
class Block:
    """One subject: ways to speak of it and ways to reply; the format is told in README.md."""

    name: str
    share: float = 1.0
    says: list[str] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    asks: list[str] = field(default_factory=list)
    recalls: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    held_out: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    rows_of: list[str] = field(default_factory=list)

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """The rows of a table as (key, value)."""
        return [(key.strip(), value.strip()) for key, _, value in (row.partition(" = ") for row in self.rows)]

    @cached_property
    def values(self) -> list[str]:
        """The rows of a list: what people tell of themselves."""
        return [value.strip() for row in self.rows for value in row.split(",")]


def blocks(name: str) -> list[Block]:
    """The blocks of `dialogues/<name>.txt`, in the file's order."""
    found = list(_parse((DIALOGUES / f"{name}.txt").read_text(encoding="utf-8")))
    rows = {block.name: block.rows for block in found}
    for block in found:
        block.rows += [row for other in block.rows_of for row in rows[other]]
    return found


def _parse(text: str) -> Iterator[Block]:
    block = None
    for line in filter(None, text.splitlines()):
        mark, _, rest = line.partition(" ")
        if mark == "#":
            if block:
                yield block
            name, _, share = rest.partition(" ")
            block = Block(name, float(share or 1))
        elif block and mark in _MARKS:
            getattr(block, _MARKS[mark]).append(rest.replace("\\n", "\n"))
        else:
            raise ValueError(f"not a line of a dialogue: {line!r}")
    if block:
        yield block


def expand(template: str, rng: random.Random) -> str:
    """Choose one of each `[a|b|c]`, the innermost first."""
    while match := _CHOICE.search(template):
        choice = rng.choice(match[1].split("|"))
        template = template[: match.start()] + choice + template[match.end() :]
    return template


def fill(template: str, **values: str) -> str:
    """Put values into `{slots}`; braces that are no slot (in code, in JSON) stay."""
    for name, value in values.items():
        template = template.replace("{" + name + "}", value)
    return template


def plain(text: str) -> str:
    """Only the words: two phrasings that differ in nothing else are the same."""
    return " ".join(re.findall(r"[\w{}]+", text.lower()))
