"""Sessions of accounts in the store: each a text of its own that lives for SESSION_TTL_S after its last use."""

from collections.abc import Sequence
from dataclasses import dataclass

from chat import keys
from chat.store import Store


@dataclass(frozen=True)
class Login:
    """A session of an account: the key that it is kept under, and the generation in which it began."""

    account: str
    generation: int
    key: str


@dataclass(frozen=True)
class Sessions:
    """Reads and writes sessions, and knows which of them have ended."""

    store: Store

    def read(self, key: str) -> str | None:
        """What is kept of a session; reading is a use. It never brings a session back that was deleted meanwhile."""
        found: str | None = self.store.execute("GETEX", key, "EX", self.store.config.session_ttl_s)
        return found

    def write(self, login: Login, data: str) -> None:
        """Keep a new session, unless its account has ended all of them meanwhile."""
        index, ttl_s = keys.account(login.account).sessions, self.store.config.session_ttl_s
        self._prune(index)
        self.store.execute_all(("SADD", index, login.key), ("SET", login.key, data, "EX", ttl_s))
        if not self.alive([login])[0]:
            self.delete(login.key)

    def delete(self, key: str) -> None:
        """End one session. Its place in the account's index goes with the next login."""
        self.store.execute("UNLINK", key)

    def alive(self, logins: Sequence[Login]) -> list[bool]:
        """Which of these sessions have not ended, in one round trip. Asking is no use."""
        asked = ((("EXISTS", of.key), ("JSON.GET", keys.account(of.account).document, ".generation")) for of in logins)
        answers = self.store.execute_all(*(command for pair in asked for command in pair))
        return [
            bool(exists) and generation == str(login.generation)
            for login, exists, generation in zip(logins, answers[::2], answers[1::2], strict=True)
        ]

    def _prune(self, index: str) -> None:
        """Leave out of the index the sessions that have expired."""
        names = list(self.store.execute("SMEMBERS", index))
        kept = self.store.execute_all(*(("EXISTS", name) for name in names))
        gone = [name for name, exists in zip(names, kept, strict=True) if not exists]
        if gone:
            self.store.execute("SREM", index, *gone)
