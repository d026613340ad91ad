"""The scripted model: speaks the text-generation protocol, fares as it is told, and notes who hung up when.

python -m faults.stub <port>     POST /fate/reset · GET /hangups · any other POST is a prompt
"""

import errno
import json
import socket
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from secrets import token_hex
from typing import Any

from gevent.pywsgi import WSGIHandler, WSGIServer
from gevent.select import select

from faults.replies import ENDLESS, Order, words

# What answers in one piece: status, content type, body.
ANSWERS = {
    "error": ("500 -", "application/json", '{"error": "CUDA error", "error_type": "generation"}'),
    "loading": ("503 -", "application/json", '{"error": "Model is loading", "estimated_time": 0.5}'),
    "garbage": ("200 -", "text/html", "<html>Welcome to nginx!</html>"),
}
# What goes wrong after so many pieces. Before the first one a client has not even an answer's head.
BREAKS = {"hang": 0, "hang_within": 3, "reset": 3, "garbage_within": 3}


class Handler(WSGIHandler):  # type: ignore[misc]  # gevent has no types
    """Tells the application which socket its client is on. Closes it without another word at a ConnectionResetError."""

    def get_environ(self) -> dict[str, Any]:
        return {**super().get_environ(), "socket": self.socket}


class Stub:
    """The application. `fate` is how requests fare from now on: well, one of ANSWERS or BREAKS, hang, slow, endless."""

    def __init__(self) -> None:
        self.fate = "well"
        self.hangups: dict[str, float] = {}

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        path, body = environ["PATH_INFO"], environ["wsgi.input"].read()
        if path.startswith("/fate/"):
            self.fate = path.removeprefix("/fate/")
        own = ("200 -", "application/json", json.dumps(self.hangups))
        if answer := own if path.startswith(("/fate/", "/hangups")) else ANSWERS.get(self.fate):
            start(answer[0], [("Content-Type", answer[1])])
            return [answer[2].encode()]
        message = json.loads(body)["inputs"].rsplit("Human:", 1)[-1].removesuffix("Bot:").strip()
        start("200 -", [("Content-Type", "text/event-stream")])
        return self.reply(message, self.fate, environ["socket"])

    def reply(self, message: str, fate: str, client: socket.socket) -> Iterator[bytes]:
        order, take = Order.read(message), f"{ENDLESS if fate == 'endless' else 'take'}-{token_hex(4)}"
        pause_s, text = {"slow": 1.0, "endless": 0.005}.get(fate, order.pause_ms / 1000), ""
        try:
            _pause(client, order.first_ms / 1000)
            for n, word in enumerate(islice(words(message, take), None if fate == "endless" else order.pieces)):
                if n == BREAKS.get(fate):
                    yield from self.break_off(fate, client)
                text += word
                yield _event(word)
                _pause(client, pause_s)
            _pause(client, order.last_ms / 1000)
            yield _event("</s>", text)
        except (ConnectionError, GeneratorExit):
            # The clock that all processes of this machine share.
            self.hangups[message] = time.monotonic()
            raise

    def break_off(self, fate: str, client: socket.socket) -> Iterator[bytes]:
        while fate.startswith("hang"):
            # Silent until all is well again, and then gone.
            _pause(client, 0.1)
            if self.fate == "well":
                raise ConnectionResetError(errno.ECONNRESET, "all is well again")
        if fate == "garbage_within":
            yield b'data:["what", "is", "this"]\n\n'
        # To linger for no time at all: closing sends RST.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionResetError(errno.ECONNRESET, "broken off")


def _pause(client: socket.socket, seconds: float) -> None:
    """Wait, and raise ConnectionResetError as soon as the client hangs up."""
    if select([client], [], [], seconds)[0]:
        raise ConnectionResetError(errno.ECONNRESET, "hung up")


def _event(piece: str, text: str | None = None) -> bytes:
    """An event as Text Generation Inference writes it; `text`, the whole reply, only in the last one."""
    details = {"finish_reason": "eos_token", "generated_tokens": 1, "seed": None} if text else None
    token = {"id": 1, "text": piece, "logprob": -0.1, "special": text is not None}
    event = {"index": 1, "token": token, "generated_text": text, "details": details}
    return f"data:{json.dumps(event)}\n\n".encode()


if __name__ == "__main__":
    WSGIServer(("127.0.0.1", int(sys.argv[1])), Stub(), log=None, handler_class=Handler).serve_forever()
