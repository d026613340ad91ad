"""One pub/sub connection that carries the events of many conversations."""

from threading import Lock
from typing import Any, NamedTuple

from chat.cluster import Server
from chat.errors import StoreUnavailable
from chat.events import Event
from chat.store import guarded


class Heard(NamedTuple):
    """What came in: an event of a conversation, or None for the confirmation that it is subscribed to, or no more."""

    channel: str
    event: Event | None = None
    subscribed: bool = True


class Live:
    """Subscriptions on one connection to a server. One thread reads; any may subscribe and unsubscribe.

    Sharded pub/sub (Redis 7) costs the same on a single server, and on a cluster it stays on its node. Not redis-py's
    PubSub: that one reconnects by itself, in whichever thread it happens to fail, and does not tell that events
    were missed. Every method raises StoreUnavailable when the connection is lost; then make a new Live.
    """

    def __init__(self, server: Server) -> None:
        pool: Any = server.connection_pool
        self._pool, self._connection = pool, guarded(pool.get_connection)
        # One that lay in the pool may be half-open, which only a long silence would show.
        self._connection.disconnect()
        try:
            guarded(self._connection.connect)
        except StoreUnavailable:
            pool.release(self._connection)
            raise
        self._sending = Lock()
        self._silent = False

    def subscribe(self, channel: str) -> None:
        """Ask for the events of a channel; the confirmation is heard later."""
        self._send("SSUBSCRIBE", channel)

    def unsubscribe(self, channel: str) -> None:
        self._send("SUNSUBSCRIBE", channel)

    def hear(self, timeout_s: float) -> Heard | None:
        """The next thing that comes in, or None when nothing does in time.

        A connection that is silent for so long is asked for a sign of life, and lost when none comes: nothing else
        would notice that the other end is gone.
        """
        if not guarded(lambda: self._connection.can_read(timeout=timeout_s)):
            if self._silent:
                raise StoreUnavailable()
            self._silent = True
            self.ping()
            return None
        self._silent = False
        match guarded(self._connection.read_response):
            case ["smessage", channel, payload]:
                return Heard(channel, Event.published(payload))
            case ["ssubscribe", channel, _]:
                return Heard(channel)
            case ["sunsubscribe", channel, _]:
                return Heard(channel, subscribed=False)
        return None

    def ping(self) -> None:
        """Make `hear` return soon."""
        self._send("PING")

    def close(self) -> None:
        """Hang up; by the thread that hears."""
        self._connection.disconnect()
        self._pool.release(self._connection)

    def _send(self, *command: str) -> None:
        # Past redis-py's own sending: that hangs up and reconnects by itself when it fails, under the feet of the
        # thread that hears.
        packed = b"".join(self._connection.pack_command(*command))
        with self._sending:
            sock = self._connection._sock
            if sock is None:
                raise StoreUnavailable()
            try:
                sock.sendall(packed)
            except OSError as error:
                raise StoreUnavailable() from error
