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
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import redis
import requests

import run
from faults.proxy import Proxy

ROOT = Path(__file__).resolve().parents[1]
# What a platform needs to notice that a process has died and to start it again.
RESTART_S = 0.5


def wait_for(what: Callable[[], Any], within_s: float = 30) -> Any:
    """Ask every 20 ms until the answer is true, and return it; None when the time is over.

    A server that cannot answer yet is asked again.
    """
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        with suppress(redis.RedisError, requests.RequestException):
            if found := what():
                return found
        time.sleep(0.02)
    return None


def eventually(what: Callable[[], Any], within_s: float = 60) -> Any:
    """The same of what must come true. Raises TimeoutError."""
    if not (found := wait_for(what, within_s)):
        raise TimeoutError(f"waited {within_s} s in vain")
    return found


def workplace() -> str | None:
    """Where folders are made: in memory where that is possible, as a Redis that syncs each write measures the disk."""
    return os.environ.get("TMPDIR") or ("/dev/shm" if Path("/dev/shm").is_dir() else None)


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
        self.system.parts.append(self)
        print(self.popen.pid, file=self.system.guardian.stdin, flush=True)

    def end(self, number: int = signal.SIGKILL, within_s: float = 30) -> None:
        """Signal the leader alone, as platforms do, wait until it has gone, and clear away what it leaves behind."""
        self.popen.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            self.popen.wait(within_s)
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()
        self.system.parts.remove(self)
        print(-self.popen.pid, file=self.system.guardian.stdin, flush=True)

    def restart(self, number: int = signal.SIGKILL, after_s: float = RESTART_S) -> None:
        """End it and, as a platform would, start it again."""
        self.end(number)
        time.sleep(after_s)
        self.start()

    def freeze(self, for_s: float) -> None:
        self.popen.send_signal(signal.SIGSTOP)
        time.sleep(for_s)
        self.popen.send_signal(signal.SIGCONT)


class System:
    """All of it. A context: what it started ends with it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.parts = folder, list[Part]()
        self.environ = dict(run.environment(folder / "no-such-file"))
        guard = [sys.executable, str(ROOT / "supervisor.py")]
        self.guardian = subprocess.Popen(guard, stdin=subprocess.PIPE, text=True, start_new_session=True)
        self.store, self.redis = self._valkey("store")
        self.broker, self.rings = self._valkey("broker")
        lines = [Proxy(str(folder / name / "valkey.sock")) for name in ("store", "broker", "store", "store")]
        self.web_store, self.broker_line, *self.worker_store = lines
        model, self.web_port = run.free_port(), run.free_port()
        self.front, self.model = Proxy(self.web_port), f"http://127.0.0.1:{model}"
        self.address = f"http://127.0.0.1:{self.front.port}"
        self.environ |= {
            "BROKER_URL": f"redis://127.0.0.1:{self.broker_line.port}/0", "SECRET_KEY": "for the fault matrix",
            "MODEL_URL": f"{self.model}/generate_stream",
            # Longer than a worker is frozen: one that wakes up goes on with what its model has written meanwhile.
            "MODEL_READ_S": "15",
            # All clients come from one address.
            "RATE_MESSAGES": "0", "RATE_CONVERSATIONS": "0", "STREAMS_PER_ADDRESS": "0",
        }  # fmt: skip
        self.stub = Part("stub", [sys.executable, "-m", "faults.stub", str(model)], self)
        self.web = self.start_web("web", self.web_port, WEB_CONCURRENCY="2")
        urls = [self.redis_url(line) for line in self.worker_store]
        self.workers = [Part(f"worker-{n}", procfile("worker"), self, REDIS_URL=url) for n, url in enumerate(urls)]
        if not self.serves():
            raise SystemExit(f"the system under test does not start; see {folder}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.redis.close()
        self.rings.close()
        for part in list(self.parts):
            part.end()
        self.guardian.communicate()

    def start_web(self, name: str, port: int, **settings: str) -> Part:
        """A web process as the Procfile starts it."""
        store = self.redis_url(self.web_store)
        return Part(name, procfile("web"), self, REDIS_URL=store, HOST="127.0.0.1", PORT=str(port), **settings)

    def redis_url(self, line: Proxy) -> str:
        """Where a process whose line this is finds Redis."""
        return f"redis://127.0.0.1:{line.port}/0"

    def serves(self, port: int = 0) -> bool:
        """Whether a web process comes to answer, asked past the proxy."""
        address = f"http://127.0.0.1:{port or self.web_port}/healthz"
        return bool(wait_for(lambda: requests.get(address, timeout=2).ok))

    def set_fate(self, fate: str) -> None:
        """How the model's stub answers from now on."""
        requests.post(f"{self.model}/fate/{fate}", timeout=10)

    def hangups(self) -> dict[str, float]:
        """Whose replies were hung up on at the model's stub, by message, and when."""
        return dict(requests.get(f"{self.model}/hangups", timeout=10).json())

    def _valkey(self, name: str) -> tuple[Any, Any]:
        """A Valkey and a client for it. Any: redis-py has no types for `execute_command`."""
        path = self.folder / name / "valkey.sock"
        path.parent.mkdir()
        # What is acknowledged must be there after a crash; the default, everysec, may lose a second.
        part = Part(name, [*run.valkey_command(path.parent, path), "--appendfsync", "always"], self)
        client = redis.Redis(unix_socket_path=str(path), decode_responses=True)
        wait_for(client.ping)
        return part, client


def procfile(name: str) -> list[str]:
    """The command of one of the Procfile's processes, with its HOST as the environment has it."""
    lines = re.findall(r"^(\w+): (?:env \S+ )?(.+)$", (ROOT / "Procfile").read_text(), re.MULTILINE)
    return shlex.split(dict(lines)[name])
