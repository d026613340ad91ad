"""What simple-websocket and long streams need of the socket below them.

simple-websocket calls `sock.send` and ignores how much was taken: under gevent, where sockets do not block, a client
that is slow for a moment gets a torn stream of frames (its issue 45). It also reads frames without limit into a list,
and negotiates compression, whose windows cost 300 KB a socket. So each WebSocket request gets a socket that sends
whole frames one after the other and reads no faster than its messages are taken, and its offer of compression is
left out.
"""

import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Messages of up to 64 kB that wait in memory until a socket's handler takes them.
INBOX_MAX = 4
LINGER_S = 1.0
# After so long without an acknowledgement the kernel gives a connection up, also when the client's window is closed.
UNREAD_MAX_MS = 60_000
# What waits in the kernel for a client that does not read; by itself it takes in megabytes.
UNSENT_MAX_BYTES = 65_536


class Wire:
    """A WSGI layer that prepares the socket of each request."""

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ["parley.begun"] = time.monotonic()
        sock = environ.get("gunicorn.socket")
        if sock is not None:
            bound(sock)
            if environ.get("HTTP_UPGRADE", "").lower() == "websocket":
                environ["gunicorn.socket"] = SteadySocket(sock)
                environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
        return self._app(environ, start_response)


def bound(sock: socket.socket) -> None:
    """Let the kernel keep little for a client that does not read, and end its connection in the end."""
    if sock.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MAX_MS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_MAX_BYTES)


class SteadySocket:
    """A socket that sends all or fails, and reads only while few messages wait in `inbox`."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = Lock()
        self.inbox: Sequence[Any] = ()
        self.ended = False

    def send(self, data: bytes) -> int:
        """Send all of it, or raise OSError."""
        with self._lock:
            self._sock.sendall(data)
        return len(data)

    def recv(self, size: int) -> bytes:
        """Wait until the inbox has room, then receive; nothing when the handler has ended."""
        while len(self.inbox) > INBOX_MAX and not self.ended:
            time.sleep(0.02)
        return b"" if self.ended else self._sock.recv(size)

    def close(self) -> None:
        """Say that nothing follows and take in what is under way: an earlier close would destroy our last frame."""
        end = time.monotonic() + LINGER_S
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            self._sock.settimeout(LINGER_S)
            while self._sock.recv(65536) and time.monotonic() < end:
                pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)
