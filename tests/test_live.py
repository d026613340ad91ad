"""The connection that carries the events of many conversations."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from chat import keys
from chat.config import Config
from chat.live import Live
from chat.store import Store
from faults.proxy import Proxy


@pytest.fixture
def line(redis_url: str) -> Iterator[Proxy]:
    """A network to the store that can be made bad."""
    proxy = Proxy(redis_url.removeprefix("unix://"))
    yield proxy
    proxy.cut()


def test_a_new_connection_does_not_begin_with_one_that_has_died_unnoticed(config: Config, line: Proxy) -> None:
    store, channel = Store(replace(config, redis_url=f"redis://127.0.0.1:{line.port}")), keys.live("a")
    assert store.client.ping()  # and keeps the connection
    line.half_open()
    live = Live(store.client)
    try:
        live.subscribe(channel)
        heard = live.hear(5)
        assert heard and heard.channel == channel
    finally:
        live.close()
        store.close()
