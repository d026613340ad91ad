"""The scripted model: speaks the text-generation protocol, fares as it is told, and notes who hung up when.

python -m faults.stub <port>     POST /fate {"fate": "reset"} · GET /log · any other POST is a prompt
"""

import asyncio
import json
import socket
import struct
import sys
import time
from itertools import islice
from secrets import token_hex
from typing import Any

from faults.replies import ENDLESS, Order, words

# What answers in one piece: status, headers, body.
ANSWERS = {
    "error": (500, "application/json", '{"error": "CUDA error", "error_type": "generation"}'),
    "loading": (503, "application/json", '{"error": "Model is loading", "estimated_time": 0.5}'),
    "garbage": (200, "text/html", "<html>Welcome to nginx!</html>"),
}
# What begins well and goes wrong after a few pieces.
BREAKS = ("reset", "hang_within", "garbage_within")
BROKEN_AFTER = 3


class HungUp(Exception):
    """The client closed the connection before the reply's end."""


class Stub:
    """The server. `fate` is how requests fare from now on: well, a name of ANSWERS or BREAKS, hang, slow, endless."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.fate = "well"
        self.log: list[dict[str, Any]] = []

    async def run(self) -> None:
        async with await asyncio.start_server(self.serve, "127.0.0.1", self.port) as server:
            await server.serve_forever()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                head = request.decode().lower()
                length = int(head.partition("content-length:")[2].partition("\r\n")[0] or 0)
                await self.answer(head.split()[1], await reader.readexactly(length), reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, HungUp):
            pass
        finally:
            writer.transport.abort()

    async def answer(self, path: str, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if path == "/log":
            _send(writer, 200, "application/json", json.dumps(self.log))
        elif path == "/fate":
            self.fate = json.loads(body)["fate"]
            _send(writer, 200, "application/json", "{}")
        elif self.fate in ANSWERS:
            _send(writer, *ANSWERS[self.fate])
        else:
            message = json.loads(body)["inputs"].rsplit("Human:", 1)[-1].removesuffix("Bot:").strip()
            try:
                await self.write(message, self.fate, reader, writer)
            except (HungUp, ConnectionError):
                # The clock that all processes of this machine share.
                self.log.append({"message": message, "at": time.monotonic(), "what": "hung up"})
                raise

    async def write(self, message: str, fate: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        order, take = Order.read(message), f"{ENDLESS if fate == 'endless' else 'take'}-{token_hex(4)}"
        pause_s = {"slow": 1.0, "endless": 0.005}.get(fate, order.pause_ms / 1000)
        text = ""
        if fate == "hang":
            await self.hang(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await _pause(reader, order.first_ms / 1000)
        for n, word in enumerate(islice(words(message, take), None if fate == "endless" else order.pieces)):
            if n == BROKEN_AFTER and fate in BREAKS:
                return await self.break_off(fate, reader, writer)
            text += word
            _event(writer, _token(word))
            await _pause(reader, pause_s)
        await _pause(reader, order.last_ms / 1000)
        _event(writer, _token("</s>", special=True, text=text))
        writer.write(b"0\r\n\r\n")

    async def hang(self, reader: asyncio.StreamReader) -> None:
        """Be silent until all is well again, and then gone."""
        while self.fate != "well":
            await _pause(reader, 0.1)
        raise ConnectionResetError

    async def break_off(self, fate: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if fate == "hang_within":
            await self.hang(reader)
        if fate == "garbage_within":
            _event(writer, ["what", "is", "this"])
            await writer.drain()
        # To linger for no time at all: closing sends RST.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionResetError


async def _pause(reader: asyncio.StreamReader, seconds: float) -> None:
    """Wait, and raise HungUp as soon as the client hangs up."""
    try:
        async with asyncio.timeout(seconds):
            await reader.read(1)
    except TimeoutError:
        return
    raise HungUp


def _send(writer: asyncio.StreamWriter, status: int, kind: str, body: str) -> None:
    data = body.encode()
    writer.write(f"HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)


def _event(writer: asyncio.StreamWriter, event: Any) -> None:
    data = b"data:" + json.dumps(event).encode() + b"\n\n"
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))


def _token(piece: str, special: bool = False, text: str | None = None) -> dict[str, Any]:
    """An event as Text Generation Inference writes it; `text`, the whole reply, only in the last one."""
    details = {"finish_reason": "eos_token", "generated_tokens": 1, "seed": None} if text else None
    token = {"id": 1, "text": piece, "logprob": -0.1, "special": special}
    return {"index": 1, "token": token, "generated_text": text, "details": details}


if __name__ == "__main__":
    asyncio.run(Stub(int(sys.argv[1])).run())
