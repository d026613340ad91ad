"""Ringing for a worker. All that the web process needs of this package."""

import logging

from kombu.exceptions import KombuError

from tasks import celery

RING_EXPIRES_S = 5

# Whatever the broker is, kombu knows how its failures look. Asking it connects to nothing.
_AWAY: tuple[type[BaseException], ...] = (OSError, KombuError, *celery.connection_for_write().connection_errors)

log = logging.getLogger(__name__)


def ring(conversation_id: str) -> None:
    """Tell some worker that there may be work in this conversation.

    A ring that fails or gets lost is no error: the sweep rings again.
    """
    try:
        celery.send_task("tasks.answer", (conversation_id,), expires=RING_EXPIRES_S, retry=False, argsrepr="(…)")
    except _AWAY as error:
        log.warning("the broker cannot be reached (%s); the sweep will ring later", type(error).__name__)
