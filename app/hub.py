"""The hub: one pub/sub connection of this process to each server of Redis feeds every stream that it serves."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from threading import Event as Flag
from threading import Lock, Thread

from app.watch import Channel, Watch
from chat import keys
from chat.cluster import Server
from chat.conversation import Conversation
from chat.errors import StoreUnavailable, TooManyStreams
from chat.events import Event, Position
from chat.live import Live
from chat.sessions import Sessions
from chat.store import Store

LOOK_S = 5.0
CONFIRM_S = 5.0
AGAIN_S = 0.5

log = logging.getLogger(__name__)


class Hub:
    """All streams of this process. Made in the process that uses it: its threads do not survive a fork."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._channels: dict[str, Channel] = {}
        self._addresses: Counter[str] = Counter()
        self._lock = Lock()
        self._servers: list[Server] = []
        self._lives: dict[Server, Live] = {}
        self._threads: dict[Server | None, Thread] = {}
        self.left = Flag()
        self._first = Thread(target=self._keep_all, daemon=True, name="hub")
        self._first.start()

    def admit(self, conversation: Conversation) -> None:
        """Raise TooManyStreams when the conversation, or the address that it is watched from, has its share."""
        config, channel = self._store.config, self._channels.get(keys.live(conversation.id))
        here, there = len(channel.watches) if channel else 0, self._addresses[conversation.address]
        if 0 < config.streams_per_conversation <= here or 0 < config.streams_per_address <= there:
            raise TooManyStreams()

    def follow(
        self, conversation: Conversation, after: Position | None = None, ping_s: float = 15
    ) -> Generator[Event | None]:
        """Yield a conversation's events after a position, without end, and None every `ping_s` seconds without one.

        Without a position, or with one that proves nothing, the first event is a reset. Returns when the process
        shuts down. Raises ConversationGone, TooManyStreams, LoginRequired when the viewer's session ends, and
        StoreUnavailable when Redis is away at the beginning.
        """
        position, begun = after or Position("", 0), False
        # Subscribe before reading: the other way round loses what is published in between.
        with self._watching(conversation) as watch:
            while not self.left.is_set():
                try:
                    batch = conversation.read(position)
                except StoreUnavailable:
                    if not begun:
                        raise
                    yield None
                    time.sleep(AGAIN_S)
                    continue
                begun = True
                for event in batch.events:
                    position = event.position
                    yield event
                if batch.more:
                    # Whoever has much to catch up with shall not hold the others up.
                    time.sleep(0)
                    continue
                position = watch.newest = batch.newest
                for arrival in watch.arrivals(position, ping_s):
                    position = arrival.position if arrival else position
                    yield arrival
                    if self.left.is_set():
                        return

    def leave(self) -> None:
        """End all streams: this process shuts down."""
        self.left.set()
        with self._lock:
            for channel in self._channels.values():
                channel.confirmed.set()
                channel.look()
        with self._lock, suppress(StoreUnavailable):
            for live in self._lives.values():
                live.ping()

    def join(self) -> None:
        """Wait until the threads of a hub that was told to leave have ended."""
        self._first.join()
        for thread in self._threads.values():
            thread.join()

    @contextmanager
    def _watching(self, conversation: Conversation) -> Iterator[Watch]:
        watch, name = Watch(conversation.session), keys.live(conversation.id)
        with self._lock:
            self.admit(conversation)
            channel = self._channels.get(name)
            if not channel:
                channel = self._channels[name] = Channel(conversation.id)
                self._tell("subscribe", name)
            channel.watches.add(watch)
            self._addresses[conversation.address] += 1
        try:
            if not self.left.is_set() and not channel.confirmed.wait(CONFIRM_S):
                raise StoreUnavailable()
            yield watch
        finally:
            with self._lock:
                channel.watches.discard(watch)
                self._addresses[conversation.address] -= 1
                if not self._addresses[conversation.address]:
                    del self._addresses[conversation.address]
                if not channel.watches and self._channels.get(name) is channel:
                    del self._channels[name]
                    self._tell("unsubscribe", name)

    def _tell(self, what: str, name: str) -> None:
        """Subscribe or unsubscribe; without a connection the next one subscribes to all that is watched then."""
        try:
            if live := self._lives.get(self._store.at(name)):
                getattr(live, what)(name)
        except StoreUnavailable:
            log.warning("the hub's connection to Redis is lost")

    def _keep_all(self) -> None:
        """See to it that every server is heard, also those that join a cluster or take over, and that we look."""
        while not self.left.is_set():
            self._keep(None, self._look)
            with suppress(StoreUnavailable):
                self._servers = self._store.servers()
                for server in self._servers:
                    self._keep(server, self._hear, server)
            self.left.wait(AGAIN_S)

    def _keep(self, of: Server | None, work: Callable[..., None], *args: Server) -> None:
        """Start the thread, anew where a mistake has ended it: without it streams would hear of nothing."""
        if of not in self._threads or not self._threads[of].is_alive():
            self._threads[of] = Thread(target=work, args=args, daemon=True, name="hub")
            self._threads[of].start()

    def _hear(self, server: Server) -> None:
        """Keep a connection and hand out what comes over it, until the server has none of the keys any more."""
        while self._hears(server):
            try:
                live = Live(server)
                with self._lock:
                    self._lives[server] = live
                    # Also what other servers have: a slot may have moved to one of them, unnoticed until now.
                    for name in self._channels:
                        self._tell("subscribe", name)
                self._hand_out(server, live)
            except StoreUnavailable:
                self._store.forget()
                log.warning("the hub has lost Redis and tries again")
            finally:
                with self._lock:
                    dead = self._lives.pop(server, None)
                if dead:
                    dead.close()
            # Whoever watches reads again when its channel is confirmed.
            self.left.wait(AGAIN_S)

    def _hears(self, server: Server) -> bool:
        return not self.left.is_set() and server in self._servers

    def _hand_out(self, server: Server, live: Live) -> None:
        while self._hears(server):
            heard = live.hear(LOOK_S)
            channel = self._channels.get(heard.channel) if heard else None
            if not heard or not channel:
                continue
            if heard.event:
                channel.put(heard.event)
            elif not heard.subscribed:
                # Its slot has moved to another node.
                self._store.forget()
                with self._lock:
                    self._tell("subscribe", heard.channel)
            else:
                again = channel.confirmed.is_set()
                channel.confirmed.set()
                if again:
                    channel.look()

    def _look(self) -> None:
        """Every few seconds compare what arrived with what is stored; it also keeps watched conversations alive."""
        while not self.left.wait(LOOK_S):
            channels = list(self._channels.values())
            try:
                asked = (("look", keys.conversation(channel.conversation_id), ("*",)) for channel in channels)
                answers = self._store.run_all(asked)
                self._log_out([watch for channel in channels for watch in list(channel.watches) if watch.session])
            except StoreUnavailable:
                continue
            for channel, answer in zip(channels, answers, strict=True):
                channel.look(Position(*answer[1:]) if answer and answer[0] == "ok" else None)

    def _log_out(self, watches: list[Watch]) -> None:
        """End the streams whose sessions are over."""
        sessions = list({watch.session for watch in watches if watch.session})
        ended = {s for s, alive in zip(sessions, Sessions(self._store).alive(sessions), strict=True) if not alive}
        for watch in watches:
            if watch.session in ended:
                watch.log_out()
