"""Ringing for a worker. All that the web process needs of this package."""

import logging
from queue import SimpleQueue
from threading import Lock, Thread

from kombu.exceptions import KombuError

from tasks import celery

RING_EXPIRES_S = 5
WAITING_MAX = 1000

# Whatever the broker is, kombu knows how its failures look. Asking it connects to nothing.
_AWAY: tuple[type[BaseException], ...] = (OSError, KombuError, *celery.connection_for_write().connection_errors)

_waiting: SimpleQueue[str] = SimpleQueue()
_started = Lock()

log = logging.getLogger(__name__)


def ring(conversation_id: str) -> None:
    """Tell some worker that there may be work in this conversation. Returns at once, whatever the broker does.

    A ring that fails, finds too many before it or gets lost is no error: the sweep rings again.
    """
    if not _started.locked() and _started.acquire(blocking=False):
        Thread(target=_ring_on, daemon=True, name="bell").start()
    if _waiting.qsize() < WAITING_MAX:
        _waiting.put(conversation_id)


def reach() -> None:
    """Connect to the broker. Raises whatever keeps it from that, at once."""
    with celery.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)


def _ring_on() -> None:
    while True:
        conversation_id = _waiting.get()
        try:
            celery.send_task("tasks.answer", (conversation_id,), expires=RING_EXPIRES_S, retry=False, argsrepr="(…)")
        except _AWAY as error:
            log.warning("the broker cannot be reached (%s); the sweep will ring later", type(error).__name__)
