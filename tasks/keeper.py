"""What a worker does beside answering: it renews the leases of its turns, hears of stops, and sweeps for lost work."""

import logging
import time
from collections.abc import Callable
from threading import Event as Flag
from threading import Thread
from typing import Protocol

from chat import turns
from chat.config import Config
from chat.errors import StoreUnavailable
from chat.store import Store
from chat.turns import Turn

log = logging.getLogger(__name__)


class Writer(Protocol):
    """Somebody who writes a turn and can be told to end."""

    turn: Turn

    def told(self, what: str) -> None:
        """Take note of `stop`, `fenced` or `leave`. Never blocks."""


class Keeper:
    """Watches over the turns that this worker writes, each known by its fence."""

    def __init__(self, config: Config, ring: Callable[[str], None]) -> None:
        self._config = config
        self._ring = ring
        # A connection of its own: a renewal must not wait until a busy pool has one to spare.
        self._store = Store(config)
        self._writers: dict[str, Writer] = {}
        self.leaving = Flag()

    def start(self) -> None:
        """Begin to renew and to sweep, until the process ends."""
        for work, every_s in ((self._renew, self._config.renew_s), (self._sweep, self._config.sweep_s)):
            Thread(target=self._forever, args=(work, every_s), daemon=True, name=work.__name__).start()

    def add(self, writer: Writer) -> None:
        self._writers[writer.turn.fence] = writer

    def remove(self, writer: Writer) -> None:
        del self._writers[writer.turn.fence]

    def _forever(self, work: Callable[[], None], every_s: float) -> None:
        while True:
            try:
                work()
            except StoreUnavailable:
                log.warning("Redis cannot be reached")
            time.sleep(every_s)

    def _renew(self) -> None:
        writers = dict(self._writers)
        if self.leaving.is_set():
            for writer in writers.values():
                writer.told("leave")
        elif writers:
            for what, found in turns.renew(self._store, [writer.turn for writer in writers.values()]).items():
                for turn in found:
                    writers[turn.fence].told(what)

    def _sweep(self) -> None:
        # A full worker rings nobody: the ring would wait here while another worker is free.
        if self.leaving.is_set() or len(self._writers) >= self._config.worker_concurrency:
            return
        for conversation_id in turns.sweep(self._store):
            self._ring(conversation_id)
