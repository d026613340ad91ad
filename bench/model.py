"""The fake model, the same for every lane: speaks the text-generation protocol, as fast as the message asks.

A message that has `#<pieces>@<rate>` in it is answered with so many pieces, each " tok", so many a second; at rate 0 as
fast as they are taken, ten in one write, as they come from a model that is faster than its network.
"""

import asyncio
import json
import re
import sys
from functools import cache

import uvloop

PIECE, AT_A_TIME = " tok", 10
ORDER = re.compile(rb"#(\d+)@(\d+)")
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
STREAMED = re.compile(rb'"stream": ?true')
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(text: str, special: bool = False, whole: str | None = None, pieces: int = 0) -> bytes:
    details = None if whole is None else {"finish_reason": "eos_token", "generated_tokens": pieces, "seed": None}
    token = {"id": 1, "text": text, "logprob": -0.1, "special": special}
    said = {"index": 1, "token": token, "generated_text": whole, "details": details}
    data = b"data:" + json.dumps(said).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


DELTA = event(PIECE)


@cache
def last(pieces: int) -> bytes:
    return event("</s>", True, PIECE * pieces, pieces) + b"0\r\n\r\n"


@cache
def whole(pieces: int) -> bytes:
    body = json.dumps([{"generated_text": PIECE * pieces}]).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


class Model(asyncio.Protocol):
    """One connection, on which one reply at a time is given."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.heard, self.left, self.pieces = b"", 0, 0
        self.rate, self.due, self.full = 0, 0.0, False
        self.timer: asyncio.Handle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard += data
        end = self.heard.find(b"\r\n\r\n")
        length = LENGTH.search(self.heard, 0, end) if end >= 0 else None
        if not length or len(self.heard) < end + 4 + int(length[1]):
            return
        body, self.heard = self.heard[end + 4 :], b""
        orders = ORDER.findall(body)
        self.pieces, self.rate = map(int, orders[-1]) if orders else (8, 0)
        self.left, self.due = self.pieces, self.loop.time()
        if STREAMED.search(body):
            self.transport.write(HEAD)
            self.say()
        else:
            took = (self.pieces - 1) / self.rate if self.rate else 0.0
            self.timer = self.loop.call_later(took, self.transport.write, whole(self.pieces))

    def say(self) -> None:
        """Write what is due, and come back for the rest."""
        now = min(self.left, 1 if self.rate else AT_A_TIME)
        self.left -= now
        self.transport.write(DELTA * now + (b"" if self.left else last(self.pieces)))
        if self.left and self.rate:
            self.due += 1 / self.rate
            self.timer = self.loop.call_at(self.due, self.say)
        elif self.left and not self.full:
            self.timer = self.loop.call_soon(self.say)

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        if self.left and not self.rate:
            self.say()

    def connection_lost(self, error: Exception | None) -> None:
        if self.timer:
            self.timer.cancel()


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Model, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
