"""The browser client is built by `make client`, with or without Node.js on the machine, and by Heroku's buildpack."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from services import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def checked_out(folder: Path) -> Path:
    """What git has of the client and of what builds it."""
    listed = ["git", "ls-files", "frontend", "tools", "package.json", "requirements-node.txt"]
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines():
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def without_node(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A checkout in which the client was built on a machine without Node.js, and what `make client` printed there."""
    checkout, tools = checked_out(tmp_path_factory.mktemp("checkout")), tmp_path_factory.mktemp("bin")
    for name in ("sh", "env"):
        (tools / name).symlink_to(shutil.which(name) or "")
    return checkout, build(checkout, str(tools))


@pytest.fixture
def checkout(without_node: tuple[Path, str]) -> Iterator[Path]:
    """The same checkout, whose sources a test may change."""
    checkout, _ = without_node
    yield checkout
    checked_out(checkout)


def build(checkout: Path, path: str = os.environ["PATH"]) -> str:
    """What `make client` prints."""
    command = [sys.executable, "-m", "tools.frontend", "build"]
    done = subprocess.run(command, cwd=checkout, env=os.environ | {"PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_built_again_only_when_its_sources_have_changed(checkout: Path) -> None:
    build(checkout)  # another test may have changed them
    assert build(checkout) == ""
    texts = checkout / "frontend/src/texts.ts"
    texts.write_text(texts.read_text().replace("What is on your mind?", "What is it now?"))
    assert build(checkout) == "Building the browser client.\n"
    assert any("What is it now?" in script.read_text() for script in checkout.glob("frontend/dist/assets/*.js"))


def test_a_mistake_in_the_sources_is_shown_and_ends_the_build(checkout: Path) -> None:
    (checkout / "frontend/src/main.tsx").write_text("import './no-such-file';")
    done = subprocess.run(
        [sys.executable, "-m", "tools.frontend", "build"], cwd=checkout, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "no-such-file" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_machine_without_node_takes_it_from_pypi(without_node: tuple[Path, str]) -> None:
    checkout, said = without_node
    assert "Building" in said
    assert 'type="module"' in (checkout / "frontend/dist/index.html").read_text()


@pytest.mark.skipif(not shutil.which("npm"), reason="needs Node.js")
def test_herokus_buildpack_builds_it_and_leaves_nothing_behind(tmp_path: Path) -> None:
    checkout = checked_out(tmp_path)
    env = os.environ | {"NODE_ENV": "production"}
    done = subprocess.run(["npm", "run", "build"], cwd=checkout, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (checkout / "frontend/dist/index.html").exists()
    assert not (checkout / "frontend/node_modules").exists()
