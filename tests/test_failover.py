"""Redis with replicas: a conversation goes on when another server takes over, and what was lost is never hidden."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from services import Process

from chat.config import Config
from chat.conversation import Conversation
from chat.events import Position
from chat.store import Store
from faults.replicated import Servers, Start, eventually

pytestmark = pytest.mark.slow


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Process] = []

    def begin(name: str, command: list[str]) -> Process:
        started.append(Process(command, tmp_path / f"{name}.log"))
        return started[-1]

    yield begin
    for process in started:
        process.end(signal.SIGKILL)


def test_a_position_proves_nothing_where_two_failovers_have_lost_what_came_before_it(
    tmp_path: Path, start: Start
) -> None:
    servers = Servers(tmp_path, start)
    primary = servers.add()
    replica = servers.add("--replicaof", f"127.0.0.1 {primary}")
    eventually(lambda: servers.follows(replica, primary))
    store = Store(Config(redis_url=f"redis://127.0.0.1:{primary}/0"))
    chat = Conversation.create(store)
    chat.accept("Hello", "m-1")
    eventually(lambda: store.execute("WAIT", 1, 1000))
    servers.sever(replica)
    lost = chat.accept("Hello?", "m-2").event
    _promote(servers, replica, primary)
    servers.mend(replica)
    # The first one, which was never restarted, is the primary again.
    eventually(lambda: servers.follows(primary, replica))
    _promote(servers, primary, replica)
    chat.accept("Hello again?", "m-3")
    assert [event.type for event in chat.read(lost or Position("", 0)).events] == ["reset"]
    store.close()
    servers.close()


def _promote(servers: Servers, replica: int, primary: int) -> None:
    servers.at(replica).execute_command("REPLICAOF", "NO", "ONE")
    servers.at(primary).execute_command("REPLICAOF", "127.0.0.1", replica)
