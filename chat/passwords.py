"""Passwords: argon2id with the first of OWASP's parameters, which use one core and less memory than RFC 9106's."""

import unicodedata
from collections.abc import Callable
from functools import cache
from secrets import token_urlsafe
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from gevent import monkey
from gevent.threadpool import ThreadPool

T = TypeVar("T")

# A hash takes 46 MiB and some 50 ms; more of them at once would cost a small machine its memory.
AT_ONCE = 2
_hasher = PasswordHasher(time_cost=1, memory_cost=46 * 1024, parallelism=1)


def hashed(password: str) -> str:
    """What is kept of a password."""
    return _aside(lambda: _hasher.hash(_plain(password)))


def matches(kept: str | None, password: str) -> bool:
    """Whether it is this password. Where there is none to compare with, that takes as long as a wrong one."""
    stand_in = _stand_in()
    return _aside(lambda: _verify(kept or stand_in, _plain(password))) and kept is not None


def _plain(password: str) -> str:
    """The same characters whichever way a keyboard composes them (NIST SP 800-63B, section 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def _verify(kept: str, password: str) -> bool:
    try:
        return _hasher.verify(kept, password)
    except (VerificationError, InvalidHashError):
        return False


@cache
def _stand_in() -> str:
    return hashed(token_urlsafe())


def _aside(call: Callable[[], T]) -> T:
    """Call in a thread of the system: in a greenlet's a hash would hold up everybody else's streams."""
    if not monkey.is_module_patched("threading"):
        return call()
    found: T = _threads().apply(call)
    return found


@cache
def _threads() -> ThreadPool:
    """Made in the process that uses it: threads do not survive gunicorn's fork."""
    return ThreadPool(AT_ONCE)
