"""WebSockets: who may open one, how it is served in both directions, and how it is closed."""

from collections.abc import Callable, Generator
from contextlib import closing, suppress
from contextvars import copy_context
from functools import wraps
from threading import Thread
from typing import Any, Protocol

from flask import Blueprint, Flask, current_app
from flask_sock import Sock
from simple_websocket import ConnectionClosed
from wsproto.utilities import LocalProtocolError

from app.cors import may_connect
from app.metrics import counted
from app.wire import SteadySocket
from chat.errors import ChatError, LoginRequired
from chat.events import Event

POLICY, BROKEN, AGAIN, LOGIN = 1008, 1011, 1013, 4001
# So soon after its client has gone a socket is given up.
PING_S = 5
CLOSE_S = 2
# What simple-websocket raises when the connection has ended or is just ending.
CLOSED = (ConnectionClosed, LocalProtocolError, OSError)


class WebSocket(Protocol):
    """What we use of simple_websocket.Server, which has no types."""

    connected: bool
    sock: SteadySocket
    input_buffer: list[str | bytes]
    thread: Thread

    def send(self, data: str) -> None: ...
    def receive(self, timeout: float | None = None) -> Any: ...
    def close(self, reason: int, message: str) -> None: ...


def route(blueprint: Blueprint, rule: str) -> Callable[[Callable[..., None]], None]:
    """Serve a WebSocket with this function; when it returns the process shuts down, so the client shall come back.

    A refusal comes after the handshake too: of a refused handshake a browser tells its page no reason.
    """

    def decorate(serve: Callable[..., None]) -> None:
        @wraps(serve)
        def handle(ws: WebSocket, **arguments: str) -> None:
            ws.sock.inbox = ws.input_buffer
            code, reason = AGAIN, "The server is restarting."
            try:
                if may_connect():
                    serve(ws, **arguments)
                else:
                    code, reason = POLICY, "Pages of this origin may not connect."
            except LoginRequired as error:
                code, reason = LOGIN, error.detail
            except ChatError as error:
                code, reason = AGAIN if error.retryable else POLICY, error.detail
            except CLOSED:
                return
            finally:
                _close(ws, code, reason)

        Sock().route(rule, bp=blueprint)(handle)

    return decorate


def converse(
    ws: WebSocket, events: Generator[Event | None], tell: Callable[[Event], None], hear: Callable[[str | bytes], None]
) -> None:
    """Tell a socket the events while hearing its frames, until one of the two ends."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    # What is logged of its frames has the id of its request.
    Thread(target=copy_context().run, args=(_listen, app, ws, hear), daemon=True, name="socket").start()
    with closing(counted("websocket", events)) as events:
        for event in events:
            if event:
                tell(event)
            elif not ws.connected:
                raise ConnectionClosed()


def _listen(app: Flask, ws: WebSocket, hear: Callable[[str | bytes], Any]) -> None:
    try:
        with app.app_context(), suppress(*CLOSED):
            while True:
                hear(ws.receive())
    finally:
        # Only after an error of ours is it open still; a deaf socket would be worse than none.
        if ws.connected:
            _close(ws, BROKEN, "Something went wrong here.")


def _close(ws: WebSocket, code: int, reason: str) -> None:
    with suppress(*CLOSED):
        ws.close(code, reason)
    # The client's answer to the closing, or its silence, ends the thread that reads.
    ws.thread.join(CLOSE_S)
    ws.sock.ended = True
