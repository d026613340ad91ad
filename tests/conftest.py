"""What the tests share: one Valkey with RedisJSON for the session, emptied before each test that uses it."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import hypothesis
import pytest
import requests
from flask import Flask
from model_stub import ModelStub
from services import Process, free_port, python, valkey, wait_for

from app import create_app, leave
from chat.config import Config
from chat.store import Store

pytest_plugins = ["browser"]
# The same examples each time, so that a change fails for what it changed; `make fuzz` takes new ones.
hypothesis.settings.register_profile("parley", deadline=None, derandomize="FUZZ" not in os.environ)
hypothesis.settings.load_profile("parley")

WORKER = python(*"-m celery -A tasks -q worker -P gevent --without-gossip --without-mingle --without-heartbeat".split())
WEB = python("-m", "gunicorn", "wsgi:app")

# Another site, whose pages may use the server.
SITE = "https://friend.example"


def broker(redis_url: str) -> str:
    return redis_url.replace("unix://", "redis+socket://") + "?virtual_host=1"


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("valkey")
    with valkey(folder) as url:
        yield url


@pytest.fixture
def config(redis_url: str) -> Config:
    # Nobody renews the leases of turns that a test begins by itself, and it may be slow.
    return Config(redis_url=redis_url, lease_s=60.0)


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    store = Store(config)
    store.client.flushdb()
    yield store
    store.close()


@pytest.fixture
def app(config: Config, store: Store) -> Iterator[Flask]:
    app = create_app(replace(config, cors_origins=(SITE,), secret_key="for tests"), store)
    yield app
    leave(app)
    app.extensions["parley"].hub.join()


@pytest.fixture
def model_stub() -> Iterator[ModelStub]:
    with ModelStub() as stub:
        yield stub


@pytest.fixture
def start_worker(redis_url: str, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts workers as the Procfile does; settings by name. Their rings are kept apart from the emptied store."""
    started: list[Process] = []

    def start(may_fail: bool = False, **settings: str) -> Process:
        started.append(worker(redis_url, tmp_path / f"worker-{len(started)}.log", **settings))
        started[-1].may_fail = may_fail
        return started[-1]

    yield start
    for process in started:
        process.end(signal.SIGKILL)
        assert process.may_fail or "Traceback" not in process.log.read_text(), process.log.read_text()


@pytest.fixture(scope="class")
def shared_stub() -> Iterator[ModelStub]:
    with ModelStub() as stub:
        yield stub


@pytest.fixture(scope="class")
def shared_worker(
    request: pytest.FixtureRequest, redis_url: str, shared_stub: ModelStub, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Process]:
    """A worker that the tests of a class share, with the class's SETTINGS. Nobody else may have one meanwhile."""
    log = tmp_path_factory.mktemp("worker") / "worker.log"
    process = worker(redis_url, log, MODEL_URL=shared_stub.url, **request.cls.SETTINGS)
    yield process
    process.end(signal.SIGKILL)
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture
def answering(store: Store, shared_stub: ModelStub, shared_worker: Process) -> ModelStub:
    """The model that the shared worker asks, as new."""
    shared_stub.reset()
    return shared_stub


@pytest.fixture
def start_web(redis_url: str, tmp_path: Path) -> Iterator[Callable[..., tuple[str, Process]]]:
    """Starts web processes as the Procfile does; settings by name. Gives the address and the process."""
    started: list[Process] = []

    def start(served: str = "wsgi:app", **settings: str) -> tuple[str, Process]:
        started.append(web(redis_url, tmp_path / f"web-{len(started)}.log", served, **settings))
        return started[-1].address, started[-1]

    yield start
    for process in started:
        process.end(signal.SIGKILL)
        assert "Traceback" not in process.log.read_text(), process.log.read_text()


@pytest.fixture(scope="session")
def server(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a web process that the session's tests share."""
    process = web(redis_url, tmp_path_factory.mktemp("web") / "web.log")
    yield process.address
    process.end()
    assert "Traceback" not in process.log.read_text(), process.log.read_text()


@pytest.fixture(scope="session")
def befriended(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Another one, which the pages of two other sites may use."""
    sites = f"{SITE}/,http://localhost:3000"
    process = web(redis_url, tmp_path_factory.mktemp("befriended") / "web.log", CORS_ORIGINS=sites)
    yield process.address
    process.end()
    assert "Traceback" not in process.log.read_text(), process.log.read_text()


def worker(redis_url: str, log: Path, **settings: str) -> Process:
    return Process(WORKER, log, **({"REDIS_URL": redis_url, "BROKER_URL": broker(redis_url)} | settings))


def web(redis_url: str, log: Path, served: str = "wsgi:app", **settings: str) -> Process:
    port = settings.setdefault("PORT", str(free_port()))
    given = {"REDIS_URL": redis_url, "BROKER_URL": broker(redis_url), "SECRET_KEY": "for tests"}
    given["TMPDIR"] = str(log.parent)  # so that nothing is left of one that was killed
    process = Process([*WEB[:-1], served], log, **(given | settings))
    process.address = f"http://127.0.0.1:{port}"
    wait_for(lambda: process.popen.poll() is not None or answers(process.address))
    return process


def answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/healthz", timeout=5).ok
    except requests.RequestException:
        return False
