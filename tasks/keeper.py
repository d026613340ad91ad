"""What a worker does beside answering: it renews the leases of its turns, hears of stops, and sweeps for lost work."""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event as Flag
from threading import Semaphore, Thread

from chat import keys, turns
from chat.config import Config
from chat.errors import StoreRefused, StoreUnavailable
from chat.store import Store
from tasks.writing import Writing

# A worker that is told to end has 25 seconds, of which Celery's own end takes up to five.
LEAVE_S = 18.0
# For so long a conversation that was rung for counts as rung for.
HEARD_S = 10

log = logging.getLogger(__name__)


class Keeper:
    """Watches over what this worker writes, each known by its turn's fence."""

    def __init__(self, config: Config, ring: Callable[[str], None], answer: Callable[[str], None]) -> None:
        self._config = config
        self._ring, self._answer = ring, answer
        # A connection of its own: a renewal must not wait until a busy pool has one to spare.
        self._store = Store(config)
        self._writings: dict[str, Writing] = {}
        self._left_at = 0.0
        # Whoever answers holds one of them, whether Celery has brought the ring or the sweep.
        self.seats = Semaphore(config.worker_concurrency)
        self.leaving = Flag()

    def leave(self) -> None:
        """Have all turns given back, and see to it that the process ends. Runs in a signal handler."""
        self._left_at = time.monotonic()
        self.leaving.set()

    def start(self) -> None:
        """Begin to renew and to sweep, until the process ends."""
        for work, every_s in ((self._renew, self._config.renew_s), (self._sweep, self._config.sweep_s)):
            Thread(target=self._forever, args=(work, every_s), daemon=True, name=work.__name__).start()

    @contextmanager
    def watching(self, writing: Writing) -> Iterator[None]:
        """Keep the lease of a turn while it is written, and tell the writing what it must hear of."""
        self._writings[writing.turn.fence] = writing
        try:
            yield
        finally:
            del self._writings[writing.turn.fence]

    def _forever(self, work: Callable[[], None], every_s: float) -> None:
        try:
            while True:
                try:
                    work()
                except StoreUnavailable:
                    log.warning("Redis cannot be reached")
                except StoreRefused:
                    log.exception("%s failed", work.__name__)
                time.sleep(every_s)
        finally:
            # A mistake of ours: turns would lose their leases, or lost work stay lost. This process shall begin anew.
            os.kill(os.getpid(), signal.SIGTERM)

    def _renew(self) -> None:
        writings = dict(self._writings)
        if self.leaving.is_set():
            for writing in writings.values():
                writing.told("leave")
            if time.monotonic() - self._left_at > LEAVE_S:
                log.error("a turn or the broker could not be left in time")
                os._exit(1)
        elif writings:
            for what, found in turns.renew(self._store, [writing.turn for writing in writings.values()]).items():
                for turn in found:
                    writings[turn.fence].told(what)

    def _sweep(self) -> None:
        if self.leaving.is_set():
            return
        self._store.execute("SET", keys.WORKER, "here", "EX", int(5 + 3 * self._config.sweep_s))
        # A full worker rings nobody: the ring would wait here while another worker is free.
        free = self._config.worker_concurrency - len(self._writings)
        if free <= 0:
            return
        for conversation_id in turns.sweep(self._store):
            mark = f"{keys.conversation(conversation_id)[0]}:rung"
            if free > 0 and not self._store.execute("SET", mark, "", "EX", HEARD_S, "NX"):
                # Rung for, by whichever worker, and nobody came: the broker is away, or has lost the ring.
                free -= 1
                Thread(target=self._answer, args=(conversation_id,), daemon=True, name="answer").start()
            else:
                self._ring(conversation_id)
