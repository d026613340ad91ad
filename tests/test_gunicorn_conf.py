"""gunicorn's worker as gunicorn.conf.py has it, while it shuts down."""

import os
import runpy
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event
from services import ROOT


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A worker that was told to end and serves no socket."""
    monkeypatch.setenv("SECRET_KEY", "for tests")
    # The file sets it; other tests of this process shall not find it.
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kind = runpy.run_path(str(ROOT / "gunicorn.conf.py"))["Worker"]
    worker = kind.__new__(kind)
    worker.idle, worker.alive = {}, False
    return worker


def test_what_a_killed_master_has_left_is_removed_by_the_next(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    left, used = (tmp_path / f"parley-metrics-{pid}-x" for pid in (dead.pid, os.getppid()))
    for place in (left, used):
        place.mkdir()
        (place / "counter.db").touch()
    request.getfixturevalue("worker")
    assert used.exists() and not left.exists()


def test_a_request_that_comes_just_before_its_idle_connection_is_closed_is_answered(worker: Any) -> None:
    arrives, answered = Event(), []

    def serve() -> None:
        with worker.timeout_ctx():
            arrives.wait()
        gevent.sleep(0.01)  # for Redis, say
        answered.append(True)

    connection = gevent.spawn(serve)
    gevent.sleep(0)
    arrives.set()
    worker.close_idle()
    connection.get(timeout=10)
    assert answered


def test_a_connection_that_stays_idle_is_closed(worker: Any) -> None:
    def serve() -> bool:
        with worker.timeout_ctx():
            Event().wait()
        return True

    connection = gevent.spawn(serve)
    gevent.sleep(0)
    worker.close_idle()
    assert connection.get(timeout=10)
    assert worker.idle == {}
