"""What arrives for one stream, and for all streams of a conversation: the hub puts it in, the streams take it out."""

from collections.abc import Iterator
from queue import Empty, SimpleQueue
from threading import Event as Flag

from chat.errors import ConversationGone, LoginRequired
from chat.events import Event, Position
from chat.sessions import Login

QUEUE_MAX = 256


class Watch:
    """One stream's place in the hub: what arrived for it and was not yet sent.

    A stream that is slower than its conversation drops what does not fit; it reads that from the store
    when it has caught up, so a slow client costs no memory and misses nothing.
    """

    def __init__(self, session: Login | None) -> None:
        self.session = session
        self._logged_out = False
        self._arrived: SimpleQueue[Event | None] = SimpleQueue()
        self._incomplete = False
        self.newest: Position | None = None

    def put(self, event: Event) -> None:
        self.newest = event.position
        if self._arrived.qsize() < QUEUE_MAX:
            self._arrived.put(event)
        else:
            self._incomplete = True

    def look(self) -> None:
        """Make the stream read from the store: something may have been missed."""
        self._incomplete = True
        self._arrived.put(None)

    def log_out(self) -> None:
        """End the stream: its session is over."""
        self._logged_out = True
        self._arrived.put(None)

    def arrivals(self, after: Position, ping_s: float) -> Iterator[Event | None]:
        """Yield what arrives after a position, and None when nothing does, until something is missing.

        Raises ConversationGone, and LoginRequired when the session has ended.
        """
        while not (self._incomplete and self._arrived.empty()):
            try:
                event = self._arrived.get(timeout=ping_s)
            except Empty:
                yield None
                continue
            # A guest's conversation that has become an account's is open to guests no more.
            if self._logged_out or (event and event.type == "login" and not self.session):
                raise LoginRequired()
            if event is None:
                continue
            if event.type == "gone":
                raise ConversationGone()
            # A login bears the number of the newest event, which may itself be missing.
            if event.type == "login":
                break
            if event.position.epoch != after.epoch or event.position.n > after.n + 1:
                break
            if event.position.n == after.n + 1:
                after = event.position
                yield event
        self._incomplete = False


class Channel:
    """A conversation's channel: who watches it, and whether Redis has confirmed that we hear it."""

    def __init__(self, conversation_id: str) -> None:
        self.conversation_id = conversation_id
        self.watches: set[Watch] = set()
        self.confirmed = Flag()

    def put(self, event: Event) -> None:
        for watch in list(self.watches):
            watch.put(event)

    def look(self, newest: Position | None = None) -> None:
        """Make the streams read from the store, but for those that have the newest event already."""
        for watch in list(self.watches):
            if newest is None or watch.newest != newest:
                watch.look()
