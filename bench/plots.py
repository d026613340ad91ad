"""The results as pictures: bars, drawn by hand in SVG, as a library for that would be 60 MB more to install."""

import re
from html import escape
from pathlib import Path

from bench.results import Results, number, unit

LANES = ("parley", "handbook", "channels", "naive", "floor")
BUSY = "200 users, no pause: replies/s"
# In the README's picture: metric, what it says there.
PICTURE = {
    "1 user: first text p50": "First text, 1 user, ms (less is better)",
    "100 users at once: first text p50": "First text, 100 users at once, ms (less is better)",
    BUSY: "Replies a second, 200 users (more is better)",
    "idle SSE: KB a stream": "Memory of an idle stream, KB (less is better)",
}
WIDTH, ROW, HEAD, LEFT, RIGHT = 420, 22, 34, 84, 70
STYLE = """<style>text{font:13px system-ui,sans-serif;fill:#57606a}.title{font-weight:600}.bar{fill:#8c959f}
.parley{fill:#0969da}.floor{fill:#d0d7de}@media(prefers-color-scheme:dark){text{fill:#9198a1}.floor{fill:#3d444d}}</style>"""


def panel(results: Results, metric: str, title: str, x: int, y: int) -> tuple[str, int]:
    """A bar for each lane that has the number, and how high all of it is."""
    values = {lane: value for lane in LANES if (value := results.median(metric, lane)) is not None}
    longest = max([*values.values(), 1e-9])
    drawn = [f'<text class="title" x="{x}" y="{y + 18}">{escape(title)}</text>']
    for n, (lane, value) in enumerate(values.items()):
        top, length = y + HEAD + n * ROW, max(1.0, (WIDTH - LEFT - RIGHT) * value / longest)
        drawn.append(f'<text x="{x}" y="{top + 13}">{escape(lane)}</text>')
        drawn.append(f'<rect class="bar {lane}" x="{x + LEFT}" y="{top}" width="{length:.1f}" height="16" rx="2"/>')
        drawn.append(f'<text x="{x + LEFT + length + 6:.1f}" y="{top + 13}">{number(value)}</text>')
    return "\n".join(drawn), HEAD + ROW * len(values) + 10


def svg(width: int, height: int, body: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">\n'
        f"{STYLE}\n{body}\n</svg>\n"
    )


def draw(results: Results, folder: Path) -> None:
    """A picture for each metric that several lanes have, and race.svg, the README's."""
    for metric in results.metrics():
        if len(results.lanes(metric)) > 1 and not re.search(": (cpu|redis|answered)", metric):
            body, height = panel(results, metric, f"{metric} ({unit(metric)})", 0, 0)
            (folder / f"{slug(metric)}.svg").write_text(svg(WIDTH, height, body))
    shown = [item for item in PICTURE.items() if len(results.lanes(item[0])) > 1]
    bodies, high = [], HEAD + ROW * len(LANES) + 20
    for n, (metric, title) in enumerate(shown):
        bodies.append(panel(results, metric, title, n % 2 * (WIDTH + 20), n // 2 * high)[0])
    if len(shown) == len(PICTURE):
        (folder / "race.svg").write_text(svg(2 * WIDTH + 20, 2 * high, "\n".join(bodies)))


def slug(metric: str) -> str:
    return "-".join("".join(char if char.isalnum() else " " for char in metric).split())
