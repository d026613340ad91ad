"""Takes the README's pictures: the real client in Chromium, in conversations with the tiny GPT-J."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs/pictures"
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
TALKS = (
    ("What is the capital of France?",),
    ("What is a queue?",),
    ("Hi, I am Ada.", "What is my name?", "What is 7 plus 5?"),
)
DESK = {"viewport": {"width": 1120, "height": 700}, "color_scheme": "light"}
PHONE = {"viewport": {"width": 390, "height": 780}, "color_scheme": "dark", "has_touch": True, "is_mobile": True}


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with parley() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name, screen in (("chat", DESK), ("phone", PHONE)):
            page = browser.new_context(locale="en-GB", device_scale_factor=1.5, **screen).new_page()
            page.goto(address)
            for talk in TALKS:
                converse(page, talk)
            take(page, PICTURES / f"{name}.png")
        browser.close()


@contextmanager
def parley() -> Iterator[str]:
    """The whole service with data of its own, on a free port. Yields its address."""
    with TemporaryDirectory() as data:
        ours = {"DATA_DIR": data, "PORT": "0", "REDIS_URL": "", "MODEL_URL": "", "MODEL_TEMPERATURE": "0"}
        command = [sys.executable, str(ROOT / "run.py")]
        with subprocess.Popen(command, env=os.environ | ours, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield ready(process)
            finally:
                process.terminate()
                process.communicate()


def ready(process: "subprocess.Popen[str]") -> str:
    for line in process.stdout or ():
        if found := re.search(r"Parley is ready: (\S+)", line):
            return found[1]
    sys.exit("Parley did not start.")


def converse(page: Page, talk: tuple[str, ...]) -> None:
    """Say one thing after the other in a new chat, each when the reply to the last one is whole."""
    page.goto(page.url.partition("/c/")[0])
    for count, text in enumerate(talk):
        page.get_by_label("Message", exact=True).fill(text)
        page.get_by_role("button", name="Send").click()
        page.get_by_role("article", name="Parley").nth(count).wait_for()
        page.get_by_role("button", name="Answer again").wait_for()


def take(page: Page, picture: Path) -> None:
    # Rest the mouse, and let what fades in be there.
    page.mouse.move(600, 5)
    page.wait_for_timeout(500)
    page.screenshot(path=picture)
    print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
