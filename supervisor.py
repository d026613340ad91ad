"""Keeps the parts of `make run` running and ends them together.

Each part runs in a process group of its own. A guardian, a small process that outlives the supervisor, ends the groups
when the supervisor is gone, however it went.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

FIRST_DELAY_S, LONGEST_DELAY_S, HEALTHY_S = 0.5, 10.0, 30.0
TICK_S = 0.05
COLOURS = {"web": "\033[36m", "worker": "\033[33m", "model": "\033[35m", "store": "\033[34m", "parley": "\033[1m"}

_one_line_at_a_time = threading.Lock()


class CannotStart(Exception):
    """Why Parley cannot start, in one line."""


def say(text: str, name: str = "parley") -> None:
    """Print a line with the name of the part that it comes from in front."""
    label = f"{name:<6} |"
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        label = f"{COLOURS.get(name, '')}{label}\033[0m"
    with _one_line_at_a_time:
        try:
            print(label, text, flush=True)
        except BrokenPipeError:
            # Whoever read this has gone (`make run | head`), and nobody can tell how Parley fares any more.
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
            os.kill(os.getpid(), signal.SIGTERM)


@dataclass
class Part:
    """A shell command that is to run, and a question that tells whether it serves by now."""

    name: str
    command: str
    env: Mapping[str, str]
    answers: Callable[[], bool] = lambda: True
    ends_within_s: float = 7.0
    delay_s: float = FIRST_DELAY_S
    next_start: float = 0.0
    started_at: float = 0.0
    process: "subprocess.Popen[str] | None" = None
    relay: threading.Thread | None = None

    def start(self, guardian: IO[str]) -> None:
        """Start the command; its output is printed line by line."""
        # The part itself tells the guardian its process group, before it becomes the command: so there is no moment
        # in which it runs and nobody knows of it.
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", f"echo $$ >&0; exec {self.command} </dev/null"],
            stdin=guardian, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            env=self.env, start_new_session=True,
        )  # fmt: skip
        self.started_at = time.monotonic()
        self.relay = threading.Thread(target=self._relay, args=(self.process.stdout,), daemon=True)
        self.relay.start()

    def _relay(self, lines: Iterable[str]) -> None:
        for line in lines:
            say(line.rstrip(), self.name)

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def fate(self) -> str:
        """How it ended, in words."""
        status = self.process.returncode if self.process else 0
        return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"

    def put_off(self) -> float:
        """Seconds until the next start: longer each time, unless it was healthy in between."""
        delay = FIRST_DELAY_S if time.monotonic() - self.started_at > HEALTHY_S else self.delay_s
        self.next_start, self.delay_s = time.monotonic() + delay, min(delay * 2, LONGEST_DELAY_S)
        return delay

    def ask_to_end(self) -> None:
        """Send SIGTERM to the leader alone: gunicorn tells its workers itself."""
        if self.runs and self.process:
            self.process.terminate()

    def clear_away(self, guardian: IO[str]) -> None:
        """Kill all that is left of the group: gunicorn's workers, say, would keep the port of a master that died."""
        if self.process and self.relay:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.relay.join(timeout=1)
            _tell(guardian, -self.process.pid)
            self.process = None


class Supervisor:
    """Starts parts stage by stage, starts again what dies, and ends them, the last stage first.

    `ready` is said once every part answers. The file descriptor `lock` stays open until the last part is gone, and
    its file is emptied when only the guardian is left.
    """

    def __init__(self, stages: Sequence[Sequence[Part]], ready: str, lock: int | None = None) -> None:
        self.stages, self.ready, self.lock = stages, ready, lock
        self.started: list[Part] = []
        self.is_ready = False
        self.interrupts = 0
        self.parent = os.getppid()
        self.guardian = self._hire()

    def run(self) -> None:
        """Return when SIGINT, SIGTERM or SIGHUP has come and every part has ended. Raises CannotStart."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # nohup has SIGHUP ignored, and so it stays.
            if signal.getsignal(number) != signal.SIG_IGN or number != signal.SIGHUP:
                signal.signal(number, self._interrupt)
        try:
            for stage in self.stages:
                if not self.ending:
                    self._start(stage)
            if not self.ending:
                self.is_ready = True
                say(self.ready)
            while not self.ending:
                self._tick()
        finally:
            self._end()

    def _interrupt(self, *_: Any) -> None:
        self.interrupts += 1

    @property
    def ending(self) -> bool:
        """Whether the end was asked for, or make, which started us, was killed."""
        return self.interrupts > 0 or ("MAKELEVEL" in os.environ and os.getppid() != self.parent)

    def _hire(self) -> "subprocess.Popen[str]":
        """Start a guardian and tell it of the parts that run."""
        guardian = subprocess.Popen(
            [sys.executable, __file__, *([str(self.lock)] if self.lock is not None else [])],
            stdin=subprocess.PIPE, text=True, start_new_session=True,
            pass_fds=[self.lock] if self.lock is not None else [],
        )  # fmt: skip
        for part in self.started:
            if part.process and part.runs:
                _tell(_inbox(guardian), part.process.pid)
        return guardian

    def _start(self, stage: Sequence[Part]) -> None:
        for part in stage:
            part.start(_inbox(self.guardian))
            self.started.append(part)
        while not self.ending and not all(part.answers() for part in stage):
            self._tick()

    def _tick(self) -> None:
        time.sleep(TICK_S)
        if self.guardian.poll() is not None:
            self.guardian = self._hire()
            say("The guardian, which ends the parts if need be, had died; there is a new one.")
        for part in self.started:
            if part.process and not part.runs:
                # What fails by itself at the start would fail for ever; what was killed may be started again.
                if not self.is_ready and part.process.returncode > 0:
                    raise CannotStart(f"{part.name} {part.fate} before all was ready; what it said is above.")
                say(f"{part.name} {part.fate}; it starts again in {part.put_off():g} s.")
                part.clear_away(_inbox(self.guardian))
            elif not part.process and time.monotonic() >= part.next_start:
                part.start(_inbox(self.guardian))

    def _end(self) -> None:
        say("Ending; another Ctrl-C ends it at once.")
        for stage in reversed(self.stages):
            self._end_stage([part for part in stage if part.process])
        _inbox(self.guardian).close()
        self.guardian.wait()
        say("All parts have ended.")

    def _end_stage(self, stage: Sequence[Part]) -> None:
        for part in stage:
            part.ask_to_end()
        deadline = time.monotonic() + max((part.ends_within_s for part in stage), default=0)
        while any(part.runs for part in stage) and time.monotonic() < deadline and self.interrupts < 2:
            time.sleep(TICK_S)
        for part in stage:
            if part.runs:
                say(f"{part.name} did not end in time and was killed.")
            part.clear_away(_inbox(self.guardian))


def _inbox(guardian: "subprocess.Popen[str]") -> IO[str]:
    assert guardian.stdin
    return guardian.stdin


def _tell(guardian: IO[str], group: int) -> None:
    # A guardian that was killed is replaced at the next tick.
    with suppress(BrokenPipeError):
        print(group, file=guardian, flush=True)


def guard(messages: Iterable[str], lock: int | None) -> None:
    """Keep account of process groups (n: begins; -n: has ended) and end those that remain when the messages do."""
    groups: set[int] = set()
    for number in map(int, messages):
        groups.add(number) if number > 0 else groups.discard(-number)
    if lock is not None:
        os.ftruncate(lock, 0)
    for number, patience_s in ((signal.SIGTERM, 6.0), (signal.SIGKILL, 2.0)):
        deadline = time.monotonic() + patience_s
        for group in groups:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)
        while any(map(_exists, groups)) and time.monotonic() < deadline:
            time.sleep(TICK_S)


def _exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    guard(sys.stdin, int(sys.argv[1]) if len(sys.argv) > 1 else None)
