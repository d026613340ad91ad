"""TCP proxies whose network can be made bad at any moment."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from threading import Thread

CHUNK_BYTES = 65536


@dataclass(frozen=True)
class Quality:
    """How good a network is; the best, if nothing else is said.

    A silent one lets nothing through, a deaf one nothing to the clients; `rewrite` changes what clients send.
    """

    latency_s: float = 0
    chunk_bytes: int = CHUNK_BYTES
    bytes_per_s: float = float("inf")
    silent: bool = False
    deaf: bool = False
    rewrite: Callable[[bytes], bytes] = bytes


# A connection through a proxy: the ways to the client and to the server.
Link = tuple[asyncio.StreamWriter, asyncio.StreamWriter]


class Proxy:
    """Passes on what comes to `port`, to a port of this machine or a unix socket, in a thread of its own.

    Its quality may be set at any time, from any thread.
    """

    def __init__(self, target: str | int) -> None:
        self.target, self.quality = target, Quality()
        # Over dead ones nothing passes, and neither end is told.
        self.links, self.dead = set[Link](), set[Link]()
        self.loop = asyncio.new_event_loop()
        Thread(target=self.loop.run_forever, daemon=True, name="proxy").start()
        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self.accept, "127.0.0.1"), self.loop).result()
        self.port: int = server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Break all connections."""
        for end in chain.from_iterable(set(self.links)):
            self.loop.call_soon_threadsafe(end.transport.abort)

    def spoil(self, quality: Quality, for_s: float) -> None:
        """Be bad for a while. Who has got no answers loses the connection too."""
        self.quality = quality
        time.sleep(for_s)
        self.quality = Quality()
        if quality.deaf:
            self.cut()

    def half_open(self) -> None:
        """Nothing passes over the present connections any more, and nobody is told."""
        self.dead |= self.links

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if isinstance(self.target, int):
                there = await asyncio.open_connection("127.0.0.1", self.target)
            else:
                there = await asyncio.open_unix_connection(self.target)
        except OSError:
            return writer.transport.abort()
        link = (writer, there[1])
        self.links.add(link)
        try:
            await asyncio.gather(self._pass_on(link, reader, there[1]), self._pass_on(link, there[0], writer))
        finally:
            self.links.discard(link)
            for end in link:
                end.transport.abort()

    async def _pass_on(self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_client = writer is link[0]
        try:
            while data := await reader.read(min(CHUNK_BYTES, self.quality.chunk_bytes * 64)):
                now = self.quality
                if now.silent or link in self.dead or (now.deaf and to_client):
                    continue
                await asyncio.sleep(now.latency_s)
                data = data if to_client else now.rewrite(data)
                for chunk in (data[n : n + now.chunk_bytes] for n in range(0, len(data), now.chunk_bytes)):
                    writer.write(chunk)
                    await writer.drain()
                    await asyncio.sleep(len(chunk) / now.bytes_per_s)
        except OSError:
            pass
        # Of a dead connection neither end hears that the other has gone.
        for end in link if link not in self.dead else ():
            end.close()
