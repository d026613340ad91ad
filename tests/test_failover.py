"""Redis with replicas: a conversation goes on when another server takes over, and what was lost is never hidden."""

import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from services import Process, wait_for

from chat import keys
from chat.config import Config
from chat.conversation import Conversation
from chat.errors import StoreUnavailable
from chat.events import Position
from chat.store import Store
from faults.checker import check
from faults.clients import Conversation as Client
from faults.failover import Replicated
from faults.replicated import Servers, Start
from faults.replies import Order
from faults.system import eventually
from faults.traffic import Traffic

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


@pytest.mark.parametrize(
    "kind, change",
    [
        ("sentinel", lambda kept, key: kept.switch(key, "COORDINATED")),
        ("cluster", lambda kept, key: kept.move(key, 0.1)),
    ],
)
def test_replies_go_on_when_what_they_are_kept_on_changes(
    kind: str, change: Callable[[Any, str], None], tmp_path: Path
) -> None:
    with Replicated(tmp_path, kind) as system:
        traffic = Traffic(system.address, kind, 0, Random(1))
        turns = traffic.turns(3, Order(pieces=40))
        for conversation in turns:
            wait_for(partial(_has_text, conversation), 30)
        change(system.redis, keys.bucket(turns[0].id))
        ends = [conversation.end_of(conversation.sent[0]) for conversation in turns]
        traffic.finish()
    assert [end and end["status"] for end in ends] == ["completed"] * 3
    assert [finding for conversation in turns for finding in check(conversation) if finding.kind != "late"] == []


def _has_text(conversation: Client) -> bool:
    return any(entry.kind == "delta" for log in conversation.logs for entry in log.entries)


@pytest.fixture
def pair(tmp_path: Path, start: Start) -> Iterator[tuple[Servers, int, int]]:
    """Servers, and the ports of a primary and its replica."""
    servers = Servers(tmp_path, start)
    primary = servers.add()
    replica = servers.add("--replicaof", f"127.0.0.1 {primary}")
    eventually(lambda: servers.follows(replica, primary))
    yield servers, primary, replica
    servers.close()


def test_a_message_counts_only_once_a_replica_has_it_and_so_does_its_repeat(pair: tuple[Servers, int, int]) -> None:
    servers, primary, replica = pair
    store = Store(Config(redis_url=f"redis://127.0.0.1:{primary}/0", redis_wait_replicas=1))
    chat = Conversation.create(store)
    servers.sever(replica)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            chat.accept("Hello", "m-1")
    servers.mend(replica)
    eventually(lambda: servers.follows(replica, primary))
    assert chat.accept("Hello", "m-1").outcome == "waiting" and len(chat.snapshot()["pending"]) == 1
    store.close()


def test_a_position_proves_nothing_where_two_failovers_have_lost_what_came_before_it(
    pair: tuple[Servers, int, int],
) -> None:
    servers, primary, replica = pair
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


def _promote(servers: Servers, replica: int, primary: int) -> None:
    servers.at(replica).execute_command("REPLICAOF", "NO", "ONE")
    servers.at(primary).execute_command("REPLICAOF", "127.0.0.1", replica)
