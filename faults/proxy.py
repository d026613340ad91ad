"""TCP proxies whose network can be made bad at any moment."""

import asyncio
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

CHUNK_BYTES = 65536


@dataclass(eq=False)
class Link:
    """A connection through a proxy. Over a dead one nothing passes, and neither end is told."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    dead: bool = False

    def cut(self) -> None:
        for writer in (self.client, self.server):
            writer.transport.abort()


@dataclass(eq=False)
class Proxy:
    """Passes on what comes to `port`. Its fields may be set at any time, from any thread; `heal` undoes them all.

    A silent one lets nothing through, a deaf one nothing to the clients; `rewrite` changes what clients send.
    """

    network: "Network"
    target: str | int
    port: int = 0
    latency_s: float = 0
    chunk_bytes: int = CHUNK_BYTES
    bytes_per_s: float = math.inf
    silent: bool = False
    deaf: bool = False
    rewrite: Callable[[bytes], bytes] = bytes
    links: set[Link] = field(default_factory=set)

    def cut(self) -> None:
        """Break all connections."""
        for link in set(self.links):
            self.network.soon(link.cut)

    def half_open(self) -> None:
        """Nothing passes over the present connections any more, and nobody is told."""
        for link in set(self.links):
            link.dead = True

    def heal(self) -> None:
        self.latency_s, self.chunk_bytes, self.bytes_per_s = 0, CHUNK_BYTES, math.inf
        self.silent, self.deaf, self.rewrite = False, False, bytes

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await (
                asyncio.open_connection("127.0.0.1", self.target)
                if isinstance(self.target, int)
                else asyncio.open_unix_connection(self.target)
            )
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, there[1])
        self.links.add(link)
        try:
            await asyncio.gather(self._pass_on(link, reader, there[1]), self._pass_on(link, there[0], writer))
        finally:
            self.links.discard(link)
            link.cut()

    async def _pass_on(self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_client = writer is link.client
        try:
            while data := await reader.read(min(CHUNK_BYTES, self.chunk_bytes * 64)):
                if self.silent or link.dead or (self.deaf and to_client):
                    continue
                await asyncio.sleep(self.latency_s)
                await self._write(writer, data if to_client else self.rewrite(data))
        except OSError:
            pass
        # Of a dead connection neither end hears that the other has gone.
        if not link.dead:
            link.client.close()
            link.server.close()

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        size = self.chunk_bytes
        for start in range(0, len(data), size):
            chunk = data[start : start + size]
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(len(chunk) / self.bytes_per_s)


class Network:
    """The proxies' event loop, in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True, name="network").start()

    def proxy(self, target: str | int) -> Proxy:
        """A proxy in front of a port of this machine or a unix socket."""
        proxy = Proxy(self, target)
        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(proxy.accept, "127.0.0.1"), self._loop).result()
        proxy.port = server.sockets[0].getsockname()[1]
        return proxy

    def soon(self, call: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(call)
