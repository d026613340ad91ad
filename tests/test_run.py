"""`make run`: what it refuses in one line, and the whole service with its real parts."""

import os
import re
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
from services import ROOT, Process, free_port, python, valkey_binary, wait_for

import run
from chat.store import Store
from supervisor import CannotStart


def refusal(data: Path, **environ: str) -> str:
    """The one line with which run.py refuses to start."""
    env = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "MODEL_URL")}
    env |= {"DATA_DIR": str(data), "PORT": "0"} | environ
    done = subprocess.run(python("run.py"), cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    return done.stderr


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refusal(tmp_path, PORT=str(port))
    assert line.startswith(f"Parley cannot start: cannot listen on 127.0.0.1, port {port}: Address already in use.")


def test_an_address_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    assert "cannot listen on 192.0.2.1" in refusal(tmp_path, HOST="192.0.2.1")


def test_a_wrong_setting_is_refused(tmp_path: Path) -> None:
    line = refusal(tmp_path, PORT="eight")
    assert line == "Parley cannot start: PORT takes a whole number, not 'eight'.\n"


def test_a_data_directory_in_use_is_refused(tmp_path: Path) -> None:
    lock = run.take(tmp_path)
    line = refusal(tmp_path)
    os.close(lock)
    assert line == f"Parley cannot start: {tmp_path} is in use by another Parley (process {os.getpid()}).\n"


def test_a_data_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "DATA_DIR" in refusal(tmp_path / "file" / "data")


def test_a_redis_that_does_not_answer_is_refused(tmp_path: Path) -> None:
    line = refusal(tmp_path, REDIS_URL=f"redis://:secret@127.0.0.1:{free_port()}/0")
    assert line == "Parley cannot start: the Redis that REDIS_URL names does not answer.\n"


@pytest.fixture
def redis_without_json(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "bare.sock"
    command = [str(valkey_binary()), "--port", "0", "--unixsocket", str(path), "--save", ""]
    process = Process(command, tmp_path / "bare.log")
    wait_for(path.exists)
    yield f"unix://{path}"
    process.end()


def test_a_redis_without_json_commands_is_refused(tmp_path: Path, redis_without_json: str) -> None:
    assert "has no JSON commands" in refusal(tmp_path / "data", REDIS_URL=redis_without_json)


def test_a_python_without_the_packages_is_told_to_set_up(tmp_path: Path) -> None:
    bare = subprocess.run(
        python("-S", "run.py"), cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True
    )
    assert bare.returncode == 1
    assert bare.stderr.startswith("Parley cannot start: the module ")
    assert bare.stderr.endswith("is missing; run `make setup`, then `make run`.\n")


def test_a_platform_without_the_wheels_is_told_how_to_get_a_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CannotStart, match=r"start a Redis 8 .* and set REDIS_URL="):
        run.valkey_command(Path("/data"), Path("/data/valkey.sock"))


def test_the_private_valkey_frees_documents_in_its_main_thread(store: Store) -> None:
    assert set(store.client.config_get("lazyfree-lazy-*").values()) == {"no"}


def test_the_environment_wins_over_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_text("PORT=1\nHOST=0.0.0.0\nSECRET_KEY='a ${b} c'\nMODEL_URL\n")
    monkeypatch.setenv("PORT", "2")
    for name in ("HOST", "SECRET_KEY", "MODEL_URL"):
        monkeypatch.delenv(name, raising=False)
    env = run.environment(file)
    assert (env["PORT"], env["HOST"], env["SECRET_KEY"], env["MODEL_URL"]) == ("2", "0.0.0.0", "a ${b} c", "")


def test_the_secret_key_is_made_once_and_readable_by_its_user_alone(tmp_path: Path) -> None:
    key = run.kept_secret(tmp_path / "secret_key")
    assert len(key) >= 32
    assert run.kept_secret(tmp_path / "secret_key") == key
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600


def test_a_path_too_long_for_a_socket_is_replaced_by_a_private_folder(tmp_path: Path) -> None:
    path = run.socket_path(tmp_path / ("long" * 30))
    assert len(os.fsencode(path)) <= run.SOCKET_PATH_MAX
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.parent.rmdir()


def test_reset_asks_before_it_empties_the_data_directory(tmp_path: Path) -> None:
    run.kept_secret(tmp_path / "secret_key")
    (tmp_path / "appendonlydir").mkdir()
    env = os.environ | {"DATA_DIR": str(tmp_path)}

    def reset(answer: str) -> int:
        return subprocess.run(python("-m", "tools.reset"), cwd=ROOT, env=env, input=answer, text=True).returncode

    assert reset("") == 1
    assert reset("no\n") == 1
    assert (tmp_path / "secret_key").exists()
    assert reset("yes\n") == 0
    assert list(tmp_path.iterdir()) == []


class Service:
    """A `run.py` with all its real parts on a data directory, used from outside."""

    def __init__(self, data: Path, log: Path) -> None:
        log.unlink(missing_ok=True)
        env = {"DATA_DIR": str(data), "PORT": "0", "REDIS_URL": "", "MODEL_URL": "", "SECRET_KEY": ""}
        self.process = Process(python("run.py"), log, **env)
        self.url = wait_for(lambda: re.findall(r"Parley is ready: (\S+)", self.said()))[0]

    def said(self) -> str:
        return self.process.log.read_text()

    def parts(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def part(self, command: str) -> psutil.Process:
        """The leader of the part in whose command line this word is."""
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if command in " ".join(child.cmdline()))

    def kill(self, name: str, command: str) -> None:
        """Kill a part, and wait until that was said and the part runs again."""
        killed = self.part(command)
        killed.kill()
        wait_for(lambda: f"{name} was killed by SIGKILL; it starts again" in self.said())
        wait_for(lambda: any(command in " ".join(p.cmdline()) and p != killed for p in self.parts()))

    def converse(self) -> str:
        """Begin a conversation, send a message and wait for its reply; return the conversation's address."""
        conversation = requests.post(f"{self.url}/api/conversations", json={}, timeout=5).json()
        address = f"{self.url}/api/conversations/{conversation['id']}"
        say_hello(address)
        return address


def say_hello(address: str) -> None:
    """Send a message and read the stream of its turn until it is completed."""
    headers = {"Accept": "text/event-stream"}
    with requests.post(
        f"{address}/messages", json={"text": "Hello!"}, headers=headers, stream=True, timeout=20
    ) as turn:
        assert turn.status_code == 200
        assert "event: completed" in turn.iter_lines(decode_unicode=True)


class Home:
    """A data directory, on which one service runs after the other; each start takes seconds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._newest: Service | None = None

    def start(self) -> Service:
        self._newest = Service(self._folder / "a data folder", self._folder / "log")
        return self._newest

    def running(self) -> Service:
        """The service that an earlier test has left running, or a new one."""
        if self._newest and self._newest.process.popen.poll() is None:
            return self._newest
        return self.start()

    def close(self) -> None:
        if self._newest:
            self._newest.process.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("home"))
    yield home
    home.close()


def all_gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


@pytest.mark.slow
def test_conversations_survive_a_restart_that_takes_less_than_five_seconds(home: Home) -> None:
    first = home.running()
    path = first.converse().removeprefix(first.url)
    parts = first.parts()
    assert first.process.end(signal.SIGINT, within_s=20) == 0
    wait_for(lambda: all_gone(parts))

    began = time.monotonic()
    second = home.start()
    assert time.monotonic() - began < 10  # twice what was promised: the machine may be slow
    say_hello(second.url + path)
    assert len(requests.get(f"{second.url}{path}/messages", timeout=5).json()["messages"]) == 4


@pytest.mark.slow
def test_every_part_that_is_killed_comes_back_and_the_next_message_is_answered(home: Home) -> None:
    service = home.running()
    commands = {"worker": "celery", "model": "gptj.server", "web": "gunicorn", "store": "valkey-server"}
    for name, command in commands.items():
        service.kill(name, command)
        assert wait_for(lambda: is_ready(service.url))
        service.converse()


def is_ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/readyz", timeout=5).ok
    except requests.RequestException:
        return False


@pytest.mark.slow
def test_nothing_is_left_of_a_service_that_was_killed_and_it_can_start_at_once(home: Home) -> None:
    first = home.running()
    path = first.converse().removeprefix(first.url)
    parts = first.parts()
    first.process.end(signal.SIGKILL)
    second = home.start()
    assert all_gone(parts)  # its start has waited for that
    say_hello(second.url + path)
