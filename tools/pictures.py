"""Takes the README's picture: the real page in Chromium, in a conversation with the tiny GPT-J."""

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
PICTURE = ROOT / "docs/pictures/chat.png"
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
TALK = ("Hi, I am Ada.", "What is my name?", "What is a queue?", "What is 7 plus 5?")


def main() -> None:
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    with parley() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 760, "height": 720}, device_scale_factor=2, color_scheme="light")
        page.goto(address)
        converse(page)
        page.screenshot(path=PICTURE)
        browser.close()
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size // 1000} kB")


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


def converse(page: Page) -> None:
    """Say one thing after the other, each when the reply to the last one is whole."""
    for count, text in enumerate(TALK):
        page.get_by_label("Message", exact=True).fill(text)
        page.keyboard.press("Enter")
        page.locator(".bot.completed").nth(count).wait_for()


if __name__ == "__main__":
    main()
