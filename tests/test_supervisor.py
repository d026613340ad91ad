"""Parts that die, parts that will not end, and a supervisor that is killed; the parts are stand-ins."""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from services import ROOT, Process, python, wait_for

from supervisor import FIRST_DELAY_S, HEALTHY_S, LONGEST_DELAY_S, Part

# Tests that run under nohup hand its deafness to SIGHUP on, which the supervisor would heed.
CODE = """
import os, signal, sys
from supervisor import CannotStart, Part, Supervisor
signal.signal(signal.SIGHUP, signal.SIG_DFL)
def answers():
    return os.environ["ANSWERS"] == "yes"
parts = [Part(f"part{n}", command, os.environ, answers, ends_within_s=1) for n, command in enumerate(sys.argv[1:])]
try:
    Supervisor([[part] for part in parts], "ready").run()
except CannotStart as error:
    sys.exit(f"cannot start: {error}")
"""
SLEEPER = "sleep 1000"
DEAF = "sh -c 'trap : TERM; echo up; while :; do sleep 0.1; done'"
WITH_A_CHILD = "sh -c 'sleep 1000 & sleep 1000'"

Supervise = Callable[..., Process]


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Supervise]:
    """Start a supervisor of these commands, one a stage; if they answer, wait until it says that it is ready."""
    begun: list[Process] = []

    def start(*commands: str, answers: bool = True) -> Process:
        process = Process(python("-c", CODE, *commands), tmp_path / "log", ANSWERS="yes" if answers else "no")
        begun.append(process)
        if answers:
            wait_for(lambda: "| ready" in process.log.read_text())
            # What catches signals does so only after its first steps, and then says that it is up.
            wait_for(lambda: process.log.read_text().count("| up") == sum("echo up" in one for one in commands))
        return process

    yield start
    for process in begun:
        process.send(signal.SIGKILL)
        process.popen.wait()


def descendants(process: Process) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def part(process: Process, number: int) -> psutil.Process:
    """The leader of part `number`; the guardian is the first child."""
    return psutil.Process(process.pid).children()[number + 1]


def all_gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def test_a_killed_part_is_started_again_and_that_is_said_while_the_others_go_on(supervise: Supervise) -> None:
    process = supervise(SLEEPER, SLEEPER)
    other, killed = part(process, 0), part(process, 1)
    killed.kill()
    wait_for(lambda: "part1 was killed by SIGKILL; it starts again in 0.5 s." in process.log.read_text())
    wait_for(lambda: len(psutil.Process(process.pid).children()) == 3)
    assert other.is_running()


def test_a_part_that_ends_by_itself_is_started_again(supervise: Supervise, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    process = supervise(f"sh -c 'while ! rm {mark} 2>/dev/null; do sleep 0.05; done; exit 7'")
    mark.touch()
    assert wait_for(lambda: "part0 ended with status 7; it starts again in 0.5 s." in process.log.read_text())


def test_what_a_killed_part_leaves_behind_is_killed_before_it_starts_again(supervise: Supervise) -> None:
    process = supervise(WITH_A_CHILD)
    wait_for(lambda: len(descendants(process)) == 4)
    leader = part(process, 0)
    children = leader.children()
    leader.kill()
    wait_for(lambda: all_gone(children))
    assert wait_for(lambda: len(descendants(process)) == 4)


def test_starts_are_put_off_longer_each_time_until_the_part_was_healthy() -> None:
    part = Part("part", SLEEPER, {}, started_at=time.monotonic())
    assert [part.put_off() for _ in range(7)] == [FIRST_DELAY_S, 1, 2, 4, 8, LONGEST_DELAY_S, LONGEST_DELAY_S]
    part.started_at -= HEALTHY_S + 1
    assert part.put_off() == FIRST_DELAY_S


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_parts_the_last_stage_first(supervise: Supervise, tmp_path: Path, number: int) -> None:
    ends = tmp_path / "ends"
    stages = [
        f"""sh -c 'trap "echo {n} >> {ends}; exit" TERM; echo up; while :; do sleep 0.05; done'""" for n in range(3)
    ]
    process = supervise(*stages)
    processes = descendants(process)
    assert process.end(number) == 0
    assert ends.read_text().split() == ["2", "1", "0"]
    wait_for(lambda: all_gone(processes))


def test_a_part_that_does_not_end_in_time_is_killed_with_its_children(supervise: Supervise) -> None:
    process = supervise(DEAF, SLEEPER)
    processes = descendants(process)
    assert process.end(signal.SIGINT) == 0
    wait_for(lambda: all_gone(processes))
    assert "part0 did not end in time and was killed." in process.log.read_text()


def test_a_second_interrupt_kills_at_once(supervise: Supervise) -> None:
    process = supervise(DEAF, DEAF, DEAF, DEAF, DEAF, DEAF)
    processes = descendants(process)
    process.send(signal.SIGINT)
    wait_for(lambda: "Ending" in process.log.read_text())
    assert process.end(signal.SIGINT, within_s=5) == 0  # a second each would be six
    wait_for(lambda: all_gone(processes))


def test_nothing_is_left_behind_when_the_supervisor_is_killed(supervise: Supervise) -> None:
    process = supervise(SLEEPER, WITH_A_CHILD, DEAF)
    wait_for(lambda: len(descendants(process)) >= 5)
    processes = descendants(process)
    process.end(signal.SIGKILL)
    assert wait_for(lambda: all_gone(processes))


def test_a_guardian_that_was_killed_is_replaced(supervise: Supervise) -> None:
    process = supervise(SLEEPER, SLEEPER)
    psutil.Process(process.pid).children()[0].kill()
    wait_for(lambda: "there is a new one" in process.log.read_text())
    processes = descendants(process)
    process.end(signal.SIGKILL)
    assert wait_for(lambda: all_gone(processes))


def test_a_part_that_fails_before_all_is_ready_ends_the_start_with_one_line(supervise: Supervise) -> None:
    process = supervise("sh -c 'echo no such file; exit 3'", answers=False)
    assert process.popen.wait(60) == 1
    lines = process.log.read_text().splitlines()
    assert "part0  | no such file" in lines
    assert lines[-1] == "cannot start: part0 ended with status 3 before all was ready; what it said is above."


def test_the_output_of_a_part_is_printed_with_its_name(supervise: Supervise) -> None:
    process = supervise("sh -c 'echo hello; sleep 1000'")
    assert wait_for(lambda: "part0  | hello\n" in process.log.read_text())


def test_the_supervisor_ends_when_nobody_reads_what_it_says(tmp_path: Path) -> None:
    command = python("-c", CODE, "sh -c 'while echo tick; do sleep 0.05; done'")
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"ANSWERS": "yes"}, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout
    process.stdout.readline()
    processes = psutil.Process(process.pid).children(recursive=True)
    process.stdout.close()
    assert process.wait(60) == 0
    wait_for(lambda: all_gone(processes))


def test_the_supervisor_ends_when_make_was_killed(tmp_path: Path) -> None:
    command = shlex.join(python("-c", CODE, SLEEPER))
    make = Process(["sh", "-c", f"{command}; true"], tmp_path / "log", ANSWERS="yes", MAKELEVEL="1")
    wait_for(lambda: "| ready" in make.log.read_text())
    processes = descendants(make)
    make.popen.kill()
    make.popen.wait()
    assert wait_for(lambda: all_gone(processes))
