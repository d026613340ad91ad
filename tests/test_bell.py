"""Ringing: a courtesy to a worker, never a condition."""

import socket
import time
from collections.abc import Callable

import pytest
import requests
from model_stub import ModelStub
from services import Process, free_port, wait_for

from chat import keys
from chat.config import Config
from chat.conversation import Conversation
from chat.store import Store
from tasks.broker import address, transport_options


@pytest.mark.slow
def test_a_message_is_taken_in_and_answered_later_when_the_broker_is_away(
    store: Store,
    start_web: Callable[..., tuple[str, Process]],
    model_stub: ModelStub,
    start_worker: Callable[..., Process],
) -> None:
    away = f"redis://127.0.0.1:{free_port()}"
    server, web = start_web(BROKER_URL=away)
    chat = Conversation.create(store)
    for text in ("one", "two"):
        answer = requests.post(f"{server}/api/conversations/{chat.id}/messages", json={"text": text}, timeout=20)
        assert answer.status_code == 202
    wait_for(lambda: "the broker cannot be reached" in web.log.read_text())
    start_worker(MODEL_URL=model_stub.url)
    wait_for(lambda: chat.snapshot()["total"] == 4)


def test_a_broker_that_hangs_delays_no_answer(store: Store, start_web: Callable[..., tuple[str, Process]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server, _ = start_web(BROKER_URL=f"redis://127.0.0.1:{silent.getsockname()[1]}")
        chat = Conversation.create(store)
        address = f"{server}/api/conversations/{chat.id}/messages"
        begun = time.monotonic()
        for n in range(12):
            assert requests.post(address, json={"text": f"m{n}"}, timeout=20).status_code == 202
        events = {"Accept": "text/event-stream"}
        with requests.post(address, json={"text": "Hi"}, headers=events, stream=True, timeout=20) as answer:
            assert "accepted" in next(line for line in answer.iter_lines() if line.startswith(b"event")).decode()
        assert time.monotonic() - begun < 12  # less than a second each, though a ring takes two at least


def test_the_ring_is_quicker_than_the_sweep(
    store: Store, server: str, model_stub: ModelStub, start_worker: Callable[..., Process]
) -> None:
    start_worker(MODEL_URL=model_stub.url, SWEEP_S="60")
    wait_for(lambda: store.client.exists(keys.WORKER))  # it has swept, and a ring lasts some seconds only
    chat = Conversation.create(store)
    address = f"{server}/api/conversations/{chat.id}/messages"
    begun = time.monotonic()
    with requests.post(address, json={"text": "Hi"}, headers={"Accept": "text/event-stream"}, timeout=60) as answer:
        assert "completed" in answer.text
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    ("given", "broker"),
    [
        ({"redis_url": "redis://host:1/2"}, "redis://host:1/2"),
        ({"redis_url": "unix:///run/valkey.sock"}, "redis+socket:///run/valkey.sock?virtual_host=0"),
        ({"redis_url": "unix://:pw@/run/v.sock?db=2"}, "redis+socket://:pw@/run/v.sock?virtual_host=2"),
        ({"redis_url": "rediss://host:1/2"}, "rediss://host:1/2?ssl_cert_reqs=required"),
        ({"redis_url": "rediss://host:1", "redis_tls_verify": False}, "rediss://host:1?ssl_cert_reqs=none"),
        ({"redis_url": "redis+sentinel://:pw@a:1,b:2/main/3"}, "sentinel://:pw@a:1/3;sentinel://:pw@b:2/3"),
        ({"redis_url": "redis://host:1", "broker_url": "amqp://other"}, "amqp://other"),
    ],
)
def test_the_brokers_address_is_spelled_as_kombu_wants_it(given: dict[str, str], broker: str) -> None:
    assert address(Config(**given)) == broker  # type: ignore[arg-type]


def test_a_sentinel_broker_is_told_which_service_to_ask_for() -> None:
    assert transport_options(Config(redis_url="redis+sentinel://a:1/main"))["master_name"] == "main"
    assert transport_options(Config(broker_url="amqp://other")) == {}
