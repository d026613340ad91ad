"""A lane, started as its Procfile says, with a Valkey of its own; everything else is an environment variable."""

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

import run

ROOT = Path(__file__).resolve().parents[1]
BARE = ROOT / ".venv-bench" / "floor" / "bin" / "python"
START_S = 60


@dataclass(frozen=True)
class Lane:
    """A system in the race: what it is called, and where its Procfile and its environment are."""

    name: str
    users: str
    folder: Path
    venv: Path
    procfile: str = "Procfile"

    def commands(self) -> dict[str, str]:
        text = (self.folder / self.procfile).read_text()
        return dict(re.findall(r"^(\w+): *(.+)$", text, re.MULTILINE))


def peer(name: str, folder: str, procfile: str = "Procfile") -> Lane:
    return Lane(name, folder, ROOT / "bench" / "lanes" / folder, ROOT / ".venv-bench" / folder, procfile)


LANES = {
    lane.name: lane
    for lane in (
        Lane("parley", "parley", ROOT, ROOT / ".venv"),
        peer("floor", "floor"),
        peer("handbook", "handbook", "Procfile.repaired"),
        peer("handbook as published", "handbook"),
        peer("channels", "channels", "Procfile.best"),
        peer("channels as published", "channels"),
        peer("naive", "naive"),
    )
}


@dataclass
class Running:
    """A lane that runs. Users of later measurements come from other addresses than those of earlier ones."""

    lane: Lane
    port: int
    redis: str
    folder: Path
    parts: dict[str, list["subprocess.Popen[bytes]"]] = field(default_factory=dict)
    met: int = 0

    def pids(self) -> dict[str, list[int]]:
        """The processes of each part, with all that they have started."""
        return {
            part: [process.pid for leader in leaders for process in family(leader.pid)]
            for part, leaders in self.parts.items()
        }

    def load(self, do: str, as_users: str = "", **how: Any) -> dict[str, float]:
        """Have the load generator do this, and return what it measured. Raises CalledProcessError."""
        order = {
            "users": as_users or self.lane.users, "port": self.port, "redis": self.redis, "first": self.met,
            "pids": self.pids(), "do": do, "with": how,
        }  # fmt: skip
        self.met += 20_000
        command = [str(BARE), "-m", "bench.load", json.dumps(order)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=600)
        found: dict[str, float] = json.loads(done.stdout)
        return found


def family(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return []


@contextmanager
def process(command: str, cwd: Path, log: Path, env: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """A command in a process group of its own, which ends with it."""
    with log.open("ab") as out:
        started = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"], cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield started
    finally:
        # At once: how well a lane ends is not what is measured, and what it leaves behind is in its own folder.
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def wait_for_port(port: int, started: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + START_S
    while started.poll() is None and time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"nobody listens on port {port}; {log} says:\n{log.read_text()[-2000:]}")


@contextmanager
def model(folder: Path) -> Iterator[str]:
    """The fake model. Yields its address."""
    port = run.free_port()
    with process(f"{BARE} -m bench.model {port}", ROOT, folder / "model.log", os.environ) as started:
        wait_for_port(port, started, folder / "model.log")
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def valkey(folder: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A Valkey as `make run` starts it, append-only file and all, but on TCP, which every lane can reach."""
    port, data = run.free_port(), folder / "data"
    data.mkdir()
    command = [*run.valkey_command(data, folder / "valkey.sock"), "--port", str(port), "--bind", "127.0.0.1"]
    with process(" ".join(command), ROOT, folder / "valkey.log", os.environ) as started:
        wait_for_port(port, started, folder / "valkey.log")
        yield f"redis://127.0.0.1:{port}/0", started


@contextmanager
def running(lane: Lane, model_url: str, workers: int = 1, **settings: str) -> Iterator[Running]:
    """Start a lane, wait until it has answered a message, and end it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        redis_url, store = stack.enter_context(valkey(folder))
        ran = Running(lane, run.free_port(), redis_url, folder, {"redis": [store]})
        env = os.environ | {
            "PATH": f"{lane.venv / 'bin'}:{os.environ['PATH']}", "HOST": "127.0.0.1", "PORT": str(ran.port),
            "REDIS_URL": redis_url, "MODEL_URL": model_url, "SECRET_KEY": secrets.token_urlsafe(), "DATA": str(folder),
            "TMPDIR": str(folder),
        } | settings  # fmt: skip
        commands = lane.commands()
        if release := commands.pop("release", ""):
            subprocess.run(["/bin/sh", "-c", release], cwd=lane.folder, env=env, check=True, timeout=START_S)
        for part, command in commands.items():
            log = folder / f"{part}.log"
            ran.parts[part] = [
                stack.enter_context(process(command, lane.folder, log, env))
                for _ in range(workers if part == "worker" else 1)
            ]
        wait_for_port(ran.port, ran.parts["web"][0], folder / "web.log")
        try:
            ran.load("up")
            yield ran
        except subprocess.SubprocessError:
            for log in folder.glob("*.log"):
                print(f"--- {lane.name}, {log.name}, its end:\n{log.read_text()[-2000:]}", file=sys.stderr)
            raise
