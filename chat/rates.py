"""Rates: how often something may happen, counted in Redis, in windows that begin with the first time."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from chat.errors import RateLimited
from chat.store import Store


def count(store: Store, limits: Mapping[str, int], window_s: int = 60) -> None:
    """Count one more under each of these names. Raises RateLimited where that is one too many."""
    told = _change(store, "INCR", limits, window_s)
    waits = [ttl for n, ttl, most in zip(told[::3], told[2::3], limits.values(), strict=True) if n > most]
    if waits:
        raise RateLimited(max(*waits, 1))


def forgive(store: Store, names: Iterable[str], window_s: int = 60) -> None:
    """Take back what was counted."""
    _change(store, "DECR", names, window_s)


def _change(store: Store, how: str, names: Iterable[str], window_s: int) -> list[Any]:
    # A hash, as a counter outlives what it counts for, and names ids and addresses.
    named = [f"rate:{hashlib.sha256(name.encode()).hexdigest()}" for name in names]
    return store.execute_all(*(c for key in named for c in ((how, key), ("EXPIRE", key, window_s, "NX"), ("TTL", key))))
