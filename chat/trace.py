"""What the logs tell of a turn, from the request that brings its message to its last event."""

import hashlib
import logging
from contextvars import ContextVar

# The id of the HTTP request that is being served; every line that is logged meanwhile has it.
request_id: ContextVar[str] = ContextVar("request_id", default="")

log = logging.getLogger(__name__)


def note(what: str, conversation_id: str, message_id: str) -> None:
    """Log what became of a turn, under a name that leads nobody to the conversation."""
    turn = hashlib.sha256(f"{conversation_id} {message_id}".encode()).hexdigest()[:8]
    log.info("turn %(turn)s %(what)s", {"turn": turn, "what": what})
