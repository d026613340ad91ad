"""What a worker does beside answering: it renews the leases of its turns, hears of stops, and sweeps for lost work."""

import logging
import os
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

# A worker that is told to end has 25 seconds, of which Celery's own end takes up to five.
LEAVE_S = 18.0
# For so long a conversation that was rung for counts as rung for.
HEARD_S = 10.0

log = logging.getLogger(__name__)


class Writer(Protocol):
    """Somebody who writes a turn and can be told to end."""

    turn: Turn

    def told(self, what: str) -> None:
        """Take note of `stop`, `fenced` or `leave`. Never blocks."""


class Keeper:
    """Watches over the turns that this worker writes, each known by its fence."""

    def __init__(self, config: Config, ring: Callable[[str], None], answer: Callable[[str], None]) -> None:
        self._config = config
        self._ring, self._answer = ring, answer
        # A connection of its own: a renewal must not wait until a busy pool has one to spare.
        self._store = Store(config)
        self._writers: dict[str, Writer] = {}
        self._rung: dict[str, float] = {}
        self._left_at = 0.0
        self.leaving = Flag()

    def leave(self) -> None:
        """Have all writers give their turns back, and see to it that the process ends. Runs in a signal handler."""
        self._left_at = time.monotonic()
        self.leaving.set()

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
            except Exception:
                # Whatever it was: without this loop every turn of this worker would lose its lease.
                log.exception("%s failed", work.__name__)
            time.sleep(every_s)

    def _renew(self) -> None:
        writers = dict(self._writers)
        if self.leaving.is_set():
            for writer in writers.values():
                writer.told("leave")
            if time.monotonic() - self._left_at > LEAVE_S:
                log.error("a turn or the broker could not be left in time")
                os._exit(1)
        elif writers:
            for what, found in turns.renew(self._store, [writer.turn for writer in writers.values()]).items():
                for turn in found:
                    writers[turn.fence].told(what)

    def _sweep(self) -> None:
        # A full worker rings nobody: the ring would wait here while another worker is free.
        if self.leaving.is_set() or len(self._writers) >= self._config.worker_concurrency:
            return
        now = time.monotonic()
        self._rung = {name: at for name, at in self._rung.items() if now - at < HEARD_S}
        for conversation_id in turns.sweep(self._store):
            if conversation_id in self._rung:
                # Rung for, and nobody came: the broker is away, or this worker's connection to it.
                Thread(target=self._answer, args=(conversation_id,), daemon=True, name="answer").start()
            else:
                self._rung[conversation_id] = now
                self._ring(conversation_id)
