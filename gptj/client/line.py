"""The connection to the model's server, made so that any thread can hang up at any moment."""

import socket
import threading
from contextlib import suppress
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool

_sending = threading.local()  # .line: of the request that this thread or greenlet is sending


class Line:
    """What one request runs over. It is known before the server answers, so that a silent server can be left too."""

    def __init__(self) -> None:
        self.reused: bool | None = None  # None until the request has been sent
        self._connection: _Tied | None = None
        self._ended = False

    def tie(self, connection: "_Tied") -> None:
        self.reused = connection.line is not None
        with connection.lock:
            connection.line = self
        self._connection = connection
        if self._ended:
            self.hang_up()

    def hang_up(self) -> None:
        """End the request, from any thread: a read that waits for the server returns at once.

        Only the reader may close the socket: its number could be given to another one while it still reads.
        """
        self._ended = True
        connection = self._connection
        if connection is None:
            return
        with connection.lock, suppress(OSError):
            # The connection may be back in the pool, and another request be on it.
            if connection.line is self and connection.wire is not None:
                connection.wire.shutdown(socket.SHUT_RDWR)

    def drain(self, response: requests.Response, limit_s: float) -> None:
        """Read what little may follow the reply's last piece: then the connection serves the next request.

        Otherwise closing the response closes the connection, which costs the next request a moment.
        """
        if self._connection and self._connection.wire:
            # OSError: the server, which keeps no connection, has ended it already.
            with suppress(urllib3.exceptions.HTTPError, OSError):
                self._connection.wire.settimeout(limit_s)
                for _ in range(4):
                    response.raw.read1(1024, decode_content=True)


class _Tied:
    """Mixed into a connection: ties it to the line of the request that it sends."""

    sock: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lock = threading.Lock()
        self.line: Line | None = None
        self.wire: socket.socket | None = None

    def getresponse(self) -> Any:
        # Not `sock` later: http.client forgets it when the server announces to close.
        self.wire = self.sock
        _sending.line.tie(self)
        return super().getresponse()  # type: ignore[misc]


def _tied(pool: Any) -> type:
    """The same kind of pool, of connections that are tied to lines."""
    return type("TiedPool", (pool,), {"ConnectionCls": type("Tied", (_Tied, pool.ConnectionCls), {})})


_POOLS = {"http": _tied(HTTPConnectionPool), "https": _tied(HTTPSConnectionPool)}


def open_session(token: str, connections: int) -> requests.Session:
    """A session that keeps so many connections, and sends and stores nothing but what it is told to."""
    session = requests.Session()
    session.trust_env = False  # no proxy and no .netrc from the surroundings
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # A compressed stream would be held back by whoever compresses it.
    session.headers.update({"Accept": "text/event-stream, application/json", "Accept-Encoding": "identity"})
    if token:
        session.headers["Authorization"] = f"Bearer {token}"
    for scheme in ("http://", "https://"):
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections)
        adapter.poolmanager.pool_classes_by_scheme = _POOLS
        session.mount(scheme, adapter)
    return session


def send(session: requests.Session, line: Line, url: str, body: Any, wait: tuple[float, float]) -> requests.Response:
    """POST the body as JSON over this line, or GET without one; the answer's body is not yet read.

    Raises as `requests` does.
    """
    _sending.line = line
    return session.request("POST" if body else "GET", url, json=body, timeout=wait, stream=True, allow_redirects=False)
