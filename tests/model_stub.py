"""A model server that does as a test tells it: real HTTP, real threads, text that the test chose.

    with ModelStub() as stub:                         # or the fixture `model_stub`
        stub.say("Hello there!", piece_chars=3)       # this reply from now on (default: "You said: <message>")
        stub.answer = lambda prompt: [" a", " b"]     # or: pieces made from the prompt
        stub.hold_after(2)                            # replies wait after two pieces …
        stub.wait_held()                              # … and the test waits until one does
        stub.release()                                # … until they may go on
        stub.behave("loading", times=2)               # the next two requests fare badly, then all is well again
        stub.prompts, stub.bodies, stub.hangups       # what was seen
        stub.wait_for(lambda: stub.hangups == 1)

Behaviours before the reply: down (connection refused), refuse (422), quote (422, with the end of the
prompt), unauthorized (401), redirect, loading (503), too_many (429), error_500, silent, garbage (HTML), no_stream
(JSON in spite of "stream"). After two pieces of the reply: break_off, reset, error_in_stream,
garbage_in_stream. And endless.
"""

import json
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from typing import Any

import pytest
from services import PATIENCE_S

STATUSES: dict[str, tuple[int, dict[str, Any], dict[str, str]]] = {
    "refuse": (422, {"error": "inputs must not be that", "error_type": "validation"}, {}),
    "unauthorized": (401, {"error": "Authorization header is invalid"}, {}),
    "redirect": (307, {"error": "moved"}, {"Location": "/elsewhere"}),
    "loading": (503, {"error": "Model stub is currently loading", "estimated_time": 0.2}, {}),
    "too_many": (429, {"error": "Model is overloaded", "error_type": "overloaded"}, {"Retry-After": "0"}),
    "error_500": (500, {"error": "CUDA error", "error_type": "generation"}, {}),
}


class HungUp(Exception):
    """The client closed the connection before the reply's end."""


def echo(prompt: str) -> list[str]:
    """The newest human message, word by word."""
    message = prompt.rsplit("Human:", 1)[-1].removesuffix("Bot:").strip()
    return [f" {word}" for word in f"You said: {message}".split(" ")]


class ModelStub:
    """Speaks the text-generation protocol on any path of `url`."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.held = 0
        self._closed = self._down = False
        self._port = 0
        self.reset()
        self._listen()

    def reset(self) -> None:
        """Forget what was told and seen, for the next of the tests that share a stub."""
        self.behave("answer")
        self.release()
        self.answer: Callable[[str], Iterable[str]] = echo
        self.prompts: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.hangups = self.connections = 0
        self._delay_s = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/generate_stream"

    def say(self, text: str, delay_s: float = 0.0, piece_chars: int = 4) -> None:
        """Answer everything with this text, in pieces of so many characters, with a pause before each."""
        self._delay_s = delay_s
        self.answer = lambda _: [text[i : i + piece_chars] for i in range(0, len(text), piece_chars)]

    def behave(self, name: str, times: int | None = None) -> None:
        """Fare like this from the next request on, or for the next `times` requests; "answer" is the good way."""
        was_down, self._down = self._down, name == "down"
        self._behaviours = repeat(name) if times is None else iter([name] * times)
        if self._down and not was_down:
            self._stop_listening()
        elif was_down and not self._down:
            self._listen()

    def hold_after(self, pieces: int) -> None:
        """Let every reply, running ones too, wait after so many pieces until `release`."""
        self._hold_after = pieces

    def release(self) -> None:
        with self.changed:
            self._hold_after = None
            self.changed.notify_all()

    def wait_held(self, replies: int = 1) -> None:
        """Wait until so many replies are held."""
        self.wait_for(lambda: self.held >= replies)

    def wait_for(self, condition: Callable[[], bool], limit_s: float = PATIENCE_S) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, limit_s), f"not within {limit_s} s"

    def note(self, **counts: int) -> None:
        with self.changed:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)
            self.changed.notify_all()

    def close(self) -> None:
        self._closed = True
        if not self._down:
            self._stop_listening()

    def __enter__(self) -> "ModelStub":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _listen(self) -> None:
        handler = type("Handler", (_Handler,), {"stub": self})
        self._server = _Server(("127.0.0.1", self._port), handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def _stop_listening(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 1024
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that vanish are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    stub: ModelStub

    def setup(self) -> None:
        super().setup()
        self.stub.note(connections=1)

    def log_message(self, *_: Any) -> None:
        """Silence."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.stub.changed:
            self.stub.bodies.append(body)
            self.stub.headers.append(dict(self.headers))
            self.stub.prompts.append(body["inputs"])
            self.stub.changed.notify_all()
        try:
            self._fare(next(self.stub._behaviours, "answer"), body)
        except (HungUp, ConnectionError):
            self.stub.note(hangups=1)
            self.close_connection = True

    def _fare(self, name: str, body: dict[str, Any]) -> None:
        if name == "down":
            self.close_connection = True
        elif name in STATUSES:
            self._send(*STATUSES[name])
        elif name == "quote":
            self._send(422, {"error": f"inputs: invalid near {body['inputs'][-24:]}", "error_type": "validation"}, {})
        elif name == "silent":
            self._wait(lambda: False)
        elif name == "garbage":
            self._send(200, "<html>Welcome to nginx!</html>", {"Content-Type": "text/html"})
        elif body.get("stream") and name != "no_stream":
            self._stream(name, body["inputs"])
        else:
            self._send(200, [{"generated_text": "".join(self.stub.answer(body["inputs"]))}], {})

    def _send(self, status: int, body: Any, headers: dict[str, str]) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json", "Content-Length": str(len(data))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, name: str, prompt: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        pieces, text, count = self.stub.answer(prompt), "", -1
        for count, piece in enumerate(repeat(" and on") if name == "endless" else pieces):
            self._hold(count)
            text += piece
            self._event(_token(piece))
            if count == 1 and name in ("break_off", "reset", "error_in_stream", "garbage_in_stream"):
                return self._fail(name)
        self._hold(count + 1)
        self._event(_token("</s>", special=True, text=text))
        self.wfile.write(b"0\r\n\r\n")

    def _fail(self, name: str) -> None:
        if name == "reset":  # SO_LINGER with 0 seconds: close() sends RST
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if name == "error_in_stream":
            self._event({"error": "Request failed during generation", "error_type": "generation"})
        if name == "garbage_in_stream":
            self._event(["what", "is", "this"])
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR) if name != "reset" else self.connection.close()

    def _event(self, event: Any) -> None:
        if self._hung_up():
            raise HungUp
        data = b"data:" + json.dumps(event).encode() + b"\n\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _hold(self, count: int) -> None:
        time.sleep(self.stub._delay_s)
        if self.stub._hold_after is not None and count >= self.stub._hold_after:
            self.stub.note(held=1)
            try:
                self._wait(lambda: self.stub._hold_after is None or count < self.stub._hold_after)
            finally:
                self.stub.note(held=-1)

    def _wait(self, condition: Callable[[], bool]) -> None:
        """Wait for the condition; a client that hangs up meanwhile is noticed, as is the end of the stub."""
        while not condition():
            with self.stub.changed:
                self.stub.changed.wait(0.05)
            if self._hung_up() or self.stub._closed:
                raise HungUp

    def _hung_up(self) -> bool:
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        return bool(poll.poll(0)) and self.connection.recv(1, socket.MSG_PEEK) == b""


def _token(piece: str, special: bool = False, text: str | None = None) -> dict[str, Any]:
    """An event in the shape of Text Generation Inference; `text`, the whole reply, only in the last one."""
    details = None if text is None else {"finish_reason": "eos_token", "generated_tokens": 1, "seed": None}
    token = {"id": 1, "text": piece, "logprob": -0.1, "special": special}
    return {"index": 1, "token": token, "generated_text": text, "details": details}


@pytest.fixture
def model_stub() -> Iterator[ModelStub]:
    with ModelStub() as stub:
        yield stub
