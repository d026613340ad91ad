"""Both processes' way to Redis: the handbook's src/redis/config.py, stream.py, producer.py and cache.py."""

import os
from datetime import datetime
from uuid import uuid4

import redis
import redis.asyncio
from redis.commands.json.path import Path

URL = os.environ["REDIS_URL"]


async def create_connection() -> redis.asyncio.Redis:
    # aioredis waited without end; redis-py gives up after five seconds unless told not to.
    return redis.asyncio.from_url(URL, db=0, socket_timeout=None)


def create_rejson_connection():
    """A client that blocks, as in the handbook."""
    return redis.Redis.from_url(URL).json()


def message(text: str) -> dict[str, str]:
    return {"id": str(uuid4()), "msg": text, "timestamp": str(datetime.now())}


class Stream:
    """A Redis stream, to which one side adds, and which the other side reads and empties."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.client = client

    async def add(self, data: dict[str, str], stream: str) -> bytes:
        return await self.client.xadd(name=stream, id="*", fields=data)

    async def consume(self, stream: str, count: int | None, after: bytes | str = "0-0"):
        return await self.client.xread(streams={stream: after}, count=count, block=0)

    async def delete(self, stream: str, message_id: bytes) -> None:
        await self.client.xdel(stream, message_id)


class Cache:
    """The conversations, as JSON documents."""

    def __init__(self, json_client) -> None:
        self.json_client = json_client

    def history(self, token: str):
        return self.json_client.get(str(token), Path.root_path())

    def add(self, token: str, source: str, data: dict[str, str]) -> None:
        data["msg"] = f"{'Human' if source == 'human' else 'Bot'}: {data['msg']}"
        self.json_client.arrappend(str(token), Path(".messages"), data)
