"""The system under test: the real processes, and proxies between them.

clients ─▶ front ─▶ gunicorn, 2 workers ─▶ web_store ──────┐
                        └─▶ broker_line ─▶ broker          ├─▶ Valkey with RedisJSON
          Celery worker, 2 of them ─▶ worker_store[n] ─────┘
                        └─▶ broker_line, and the model's stub
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import redis
import requests

import run
from faults.proxy import Network, Proxy

ROOT = Path(__file__).resolve().parents[1]
# What a platform needs to notice that a process has died and to start it again.
RESTART_S = 0.5


def workplace() -> str | None:
    """Where folders are made: in memory where that is possible, as a Redis that syncs each write measures the disk."""
    return os.environ.get("TMPDIR") or ("/dev/shm" if Path("/dev/shm").is_dir() else None)


def wait_for(what: Callable[[], Any], within_s: float = 30) -> bool:
    """Ask every 20 ms until the answer is true; whether it came in time."""
    end = time.monotonic() + within_s
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


class Part:
    """A process in a group of its own, which the guardian ends when we are gone."""

    def __init__(self, name: str, command: list[str], system: "System", **environ: str) -> None:
        self.name, self.command, self.system, self.environ = name, command, system, environ
        self.start()

    def start(self) -> None:
        with (self.system.folder / f"{self.name}.log").open("ab") as out:
            self.popen = subprocess.Popen(
                self.command, cwd=ROOT, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True,
                env=self.system.environ | self.environ,
            )  # fmt: skip
        self.system.tell_guardian(self.popen.pid)

    def send(self, number: int) -> None:
        """Send a signal to the leader alone, as platforms do."""
        self.popen.send_signal(number)

    def end(self, number: int = signal.SIGKILL, within_s: float = 30) -> None:
        """Signal the leader, wait until it has gone, and clear away what it leaves behind."""
        self.send(number)
        with suppress(subprocess.TimeoutExpired):
            self.popen.wait(within_s)
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()
        self.system.tell_guardian(-self.popen.pid)

    def restart(self, number: int = signal.SIGKILL) -> None:
        """End it and, as a platform would, start it again."""
        self.end(number)
        time.sleep(RESTART_S)
        self.start()

    def children(self) -> list[int]:
        """The processes that it has started, the oldest first."""
        return [child.pid for child in psutil.Process(self.popen.pid).children()]


class System:
    """All of it. A context: what it started ends with it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.network = folder, Network()
        self.environ = dict(run.environment(folder / "no-such-file"))
        self._guardian = subprocess.Popen(
            [sys.executable, str(ROOT / "supervisor.py")], stdin=subprocess.PIPE, text=True, start_new_session=True
        )
        self.store, self.redis = self._valkey("store")
        self.broker, self.rings = self._valkey("broker")
        self.stub_port, self.web_port = run.free_port(), run.free_port()
        self.stub = Part("stub", [sys.executable, "-m", "faults.stub", str(self.stub_port)], self)
        self.web_store, self.broker_line, *self.worker_store = (
            self.network.proxy(str(folder / name / "valkey.sock")) for name in ("store", "broker", "store", "store")
        )
        self.front = self.network.proxy(self.web_port)
        self.address = f"http://127.0.0.1:{self.front.port}"
        self.environ |= {
            "BROKER_URL": f"redis://127.0.0.1:{self.broker_line.port}/0", "SECRET_KEY": "for the fault matrix",
            "MODEL_URL": f"http://127.0.0.1:{self.stub_port}/generate_stream",
            # Longer than a worker is frozen: one that wakes up goes on with what its model has written meanwhile.
            "MODEL_READ_S": "15",
            # All clients come from one address.
            "RATE_MESSAGES": "0", "RATE_CONVERSATIONS": "0", "STREAMS_PER_ADDRESS": "0",
        }  # fmt: skip
        self.web = self.start_web("web", self.web_port, WEB_CONCURRENCY="2")
        self.workers = [self._worker(n) for n in range(len(self.worker_store))]
        if not wait_for(self.serves):
            raise SystemExit(f"the system under test does not start; see {folder}")

    def __enter__(self) -> "System":
        return self

    def __exit__(self, *_: object) -> None:
        self._guardian.communicate()

    def tell_guardian(self, group: int) -> None:
        assert self._guardian.stdin
        print(group, file=self._guardian.stdin, flush=True)

    def start_web(self, name: str, port: int, **settings: str) -> Part:
        """A web process as the Procfile starts it."""
        store = self.redis_url(self.web_store)
        return Part(name, procfile("web"), self, REDIS_URL=store, HOST="127.0.0.1", PORT=str(port), **settings)

    def redis_url(self, line: Proxy) -> str:
        """Where a process whose line this is finds Redis."""
        return f"redis://127.0.0.1:{line.port}/0"

    def serves(self) -> bool:
        """Whether the web process answers, asked past the proxy."""
        try:
            return requests.get(f"http://127.0.0.1:{self.web_port}/healthz", timeout=2).ok
        except requests.RequestException:
            return False

    def set_fate(self, fate: str) -> None:
        """How the model's stub answers from now on."""
        requests.post(f"http://127.0.0.1:{self.stub_port}/fate", json={"fate": fate}, timeout=10)

    def hangups(self) -> list[dict[str, Any]]:
        """Who hung up on the model's stub: message and time."""
        found: list[dict[str, Any]] = requests.get(f"http://127.0.0.1:{self.stub_port}/log", timeout=10).json()
        return found

    @contextmanager
    def skewed(self, n: int, seconds: float) -> Iterator[None]:
        """Let one worker's clock be off for a while."""
        worker, command = self.workers[n], self.workers[n].command
        worker.end(signal.SIGTERM)
        celery = command.index("celery")
        worker.command = [sys.executable, "-m", "faults.skewed", str(seconds), *command[celery + 1 :]]
        worker.start()
        yield
        worker.command = command
        worker.restart(signal.SIGTERM)

    def start_store(self) -> None:
        """Start Redis again, and wait until it has read its data."""
        self.store.start()
        wait_for(lambda: run.pings(self.folder / "store" / "valkey.sock"))

    def _valkey(self, name: str) -> tuple[Part, Any]:
        folder = self.folder / name
        folder.mkdir()
        path = folder / "valkey.sock"
        # What is acknowledged must be there after a crash; the default, everysec, may lose a second.
        command = [*run.valkey_command(folder, path), "--appendfsync", "always"]
        part = Part(name, command, self)
        wait_for(lambda: run.pings(path))
        # Any: redis-py has no types for `execute_command`.
        return part, redis.Redis(unix_socket_path=str(path), decode_responses=True)

    def _worker(self, n: int) -> Part:
        return Part(f"worker-{n}", procfile("worker"), self, REDIS_URL=self.redis_url(self.worker_store[n]))


def procfile(name: str) -> list[str]:
    """The command of one of the Procfile's processes, with its HOST as the environment has it."""
    found = re.search(rf"^{name}: (?:env \S+ )?(.+)$", (ROOT / "Procfile").read_text(), re.MULTILINE)
    assert found, f"the Procfile has no {name}"
    return shlex.split(found[1])
