"""What the tests share: one Valkey with RedisJSON for the session, emptied before each test that uses it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from services import valkey

from chat.config import Config
from chat.store import Store


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("valkey")
    with valkey(folder) as url:
        yield url


@pytest.fixture
def config(redis_url: str) -> Config:
    return Config(redis_url=redis_url)


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    store = Store(config)
    store.client.flushall()
    yield store
    store.close()
