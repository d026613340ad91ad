"""Writes the table in docs/configuration.md and .env.example from chat/config.py: `make settings`."""

from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from chat.config import Config

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- settings -->\n", "<!-- end of the settings -->\n"
EXAMPLE_HEAD = (
    "# Settings of Parley: copy this file to .env and set what you need. The values shown are the defaults.\n"
)


def default(setting: Field[Any]) -> str:
    """The default as one writes it in the environment."""
    if isinstance(setting.default, bool):
        return str(int(setting.default))
    if isinstance(setting.default, tuple):
        return ",".join(setting.default)
    return format(setting.default, "g") if isinstance(setting.default, float) else str(setting.default)


def table() -> str:
    rows = [
        f"| `{f.name.upper()}` | {f'`{default(f)}`' if default(f) else 'none'} | {f.metadata['about']} |\n"
        for f in fields(Config)
    ]
    return "| Setting | Default | Meaning |\n|---|---|---|\n" + "".join(rows)


def example() -> str:
    entries = [f"\n# {f.metadata['about']}\n# {f.name.upper()}={default(f)}\n" for f in fields(Config)]
    return EXAMPLE_HEAD + "".join(entries)


def page() -> str:
    """docs/configuration.md with the table as it should be."""
    text = (ROOT / "docs/configuration.md").read_text()
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    (ROOT / "docs/configuration.md").write_text(page())
    (ROOT / ".env.example").write_text(example())
