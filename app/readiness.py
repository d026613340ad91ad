"""Which of the parts that a reply needs answer at this moment."""

import socket
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from urllib.parse import urlsplit

from chat import keys
from chat.errors import ChatError
from chat.store import Store, check
from tasks import bell

# A part that takes longer counts as down: whoever asks gets an answer within a second.
WITHIN_S = 0.8


class Readiness:
    """Asks every part at the same time, each by one thread at the most: a part that hangs is not asked twice.

    Each ask returns what is wrong, or None, or raises.
    """

    def __init__(self, store: Store) -> None:
        self._asks: dict[str, Callable[[], str | None]] = {
            "redis": lambda: check(store),
            "broker": bell.reach,
            "worker": lambda: None if store.execute("EXISTS", keys.WORKER) else "silent",
        }
        if store.config.model_url:
            self._asks["model"] = lambda: _connect(store.config.model_url)
        self._pool = ThreadPoolExecutor(len(self._asks), "readiness")
        self._asked: dict[str, Future[str | None]] = {}

    def states(self) -> dict[str, str]:
        """Of each part `ok` or what is wrong: timeout, unreachable, silent, or the code of an error of ours."""
        for name, ask in self._asks.items():
            if name not in self._asked or self._asked[name].done():
                self._asked[name] = self._pool.submit(ask)
        asked = dict(self._asked)
        wait(asked.values(), WITHIN_S)
        return {name: _state(future) for name, future in asked.items()}


def _state(future: Future[str | None]) -> str:
    if not future.done():
        return "timeout"
    error = future.exception()
    if error:
        return error.code if isinstance(error, ChatError) else "unreachable"
    return future.result() or "ok"


def _connect(address: str) -> None:
    url = urlsplit(address)
    socket.create_connection((url.hostname or "", url.port or (443 if url.scheme == "https" else 80)), WITHIN_S).close()
