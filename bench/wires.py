"""The two wires that browsers have, as thin as they go: HTTP with event streams, and WebSockets."""

import asyncio
import os
import re
from collections.abc import Callable
from typing import TypeVar

LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
Hear = Callable[[bytes], None]
W = TypeVar("W", bound="Wire")


class Wire(asyncio.Protocol):
    """A connection. `opened` is done when the first thing came that belongs to what was asked for."""

    transport: asyncio.Transport

    def __init__(self, hear: Hear) -> None:
        self.hear, self.heard = hear, b""
        self.opened: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(f"closed before it was open: {self.heard[:200]!r}"))
            self.opened.exception()  # not everybody waits for it

    def tell(self, data: bytes) -> None:
        if not self.opened.done():
            self.opened.set_result(data)
        self.hear(data)


class Http(Wire):
    """A connection that is kept alive: hands on the status line of each answer, and its body."""

    def data_received(self, data: bytes) -> None:
        self.heard += data
        while (end := self.heard.find(b"\r\n\r\n")) >= 0:
            length = LENGTH.search(self.heard, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self.heard) < whole:
                return
            answer, self.heard = self.heard[9:12] + self.heard[end + 4 : whole], self.heard[whole:]
            self.tell(answer)

    def post(self, path: str, body: bytes) -> None:
        head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self.transport.write(head.encode() + b"\r\n\r\n" + body)


class EventStream(Wire):
    """Server-sent events: hands on each, as it stands. That chunks have their lengths in between does not matter."""

    def watch(self, path: str) -> None:
        self.transport.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        *events, self.heard = (self.heard + data).split(b"\n\n")
        for event in events:
            self.tell(event)


class WebSocket(Wire):
    """Hands on each text frame. What it sends is masked with zeros, which every server takes."""

    shaken = False

    def shake(self, path: str, headers: str = "") -> None:
        self.transport.write(
            f"GET {path} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{headers}"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self.heard += data
        if not self.shaken:
            end = self.heard.find(b"\r\n\r\n")
            if end < 0:
                return
            if b" 101 " not in self.heard[:20]:
                self.transport.close()
                return
            self.shaken, self.heard = True, self.heard[end + 4 :]
            self.tell(b"")
        while frame := self.frame():
            kind, payload = frame
            if kind == 9:
                self.send(payload, 10)
            elif kind == 8:
                raise ConnectionError(f"closed by the server: {payload!r}")
            else:
                self.tell(payload)

    def frame(self) -> tuple[int, bytes] | None:
        heard = self.heard
        if len(heard) < 2:
            return None
        length, begin = heard[1], 2
        if length > 125:
            begin = 4 if length == 126 else 10
            length = int.from_bytes(heard[2:begin], "big")
        if len(heard) < begin + length:
            return None
        self.heard = heard[begin + length :]
        return heard[0] & 15, heard[begin : begin + length]

    def send(self, payload: bytes, kind: int = 1) -> None:
        length = len(payload)
        size = bytes([128 | length]) if length < 126 else bytes([254]) + length.to_bytes(2, "big")
        self.transport.write(bytes([128 | kind]) + size + bytes(4) + payload)


async def connect(make: Callable[[Hear], W], hear: Hear, port: int, address: str) -> W:
    """A connection from an address of the user's own: limits for one address are for one user."""
    loop = asyncio.get_running_loop()
    _, wire = await loop.create_connection(lambda: make(hear), "127.0.0.1", port, local_addr=(address, 0))
    return wire


def address(n: int) -> str:
    """The address of the nth user, out of the millions that the loopback device has."""
    return f"127.{1 + n // 62_500}.{n // 250 % 250}.{1 + n % 250}"


def number() -> str:
    """A new name for a conversation, for lanes that let clients choose it."""
    return os.urandom(8).hex()
