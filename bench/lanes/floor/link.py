"""A bare connection to Redis: commands are written once for each turn of the loop, hiredis packs and parses."""

import asyncio
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlsplit

import hiredis


def pack(*words: bytes | str) -> bytes:
    """A command as Redis wants it."""
    return cast(bytes, hiredis.pack_command(words))  # type: ignore[arg-type]


class Link(asyncio.Protocol):
    """Hands every answer, in the order of the commands, and every published message to `hear`."""

    transport: asyncio.Transport

    def __init__(self, hear: Callable[[Any], None]) -> None:
        self.hear = hear
        self.reader = hiredis.Reader()
        self.unsent: list[bytes] = []
        self.loop = asyncio.get_running_loop()

    @classmethod
    async def open(cls, url: str, hear: Callable[[Any], None]) -> "Link":
        where = urlsplit(url)
        loop = asyncio.get_running_loop()
        _, link = await loop.create_connection(lambda: cls(hear), where.hostname or "", where.port or 6379)
        return link

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def send(self, *words: bytes | str) -> None:
        self.write(pack(*words))

    def write(self, packed: bytes) -> None:
        if not self.unsent:
            self.loop.call_soon(self.flush)
        self.unsent.append(packed)

    def flush(self) -> None:
        self.transport.write(b"".join(self.unsent))
        self.unsent.clear()

    def data_received(self, data: bytes) -> None:
        self.reader.feed(data)
        while (answer := self.reader.gets()) is not False:
            self.hear(answer)
