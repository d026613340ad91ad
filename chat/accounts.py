"""Accounts: names, passwords, and the generation of their sessions."""

import time
import unicodedata
from dataclasses import dataclass, field
from itertools import chain

import orjson

from chat import keys, passwords, rates
from chat.errors import LoginFailed, NameTaken
from chat.events import dumps, iso
from chat.store import Store, guarded

# Attempts in ATTEMPTS_S: at one name from one address, at one name, from one address; and accounts made from one.
ATTEMPTS_S = 300
ATTEMPTS_MAX, AT_NAME_MAX, FROM_ADDRESS_MAX, MADE_MAX = 10, 100, 100, 20
_CLOSED = "closed"


@dataclass(frozen=True)
class Account:
    """An account as it was when it was read. `id` is its name in plain form; sessions of older generations are over."""

    id: str
    name: str
    created_at: str
    generation: int
    password: str = field(repr=False)


def plain(name: str) -> str:
    """The form in which names are compared: `Ada` and `ada` are one."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


@dataclass(frozen=True)
class Accounts:
    """The accounts in the store."""

    store: Store

    def find(self, name: str) -> Account | None:
        """The account of this name, however it is spelt."""
        found = self.store.execute("JSON.GET", keys.account(plain(name)).document)
        return Account(plain(name), **orjson.loads(found)) if found else None

    def names(self) -> list[str]:
        """The plain names of all accounts, by a scan of the whole store."""
        scans = [server.scan_iter("user:{*}", count=1000, _type="ReJSON-RL") for server in self.store.servers()]
        return sorted({key.removeprefix("user:{").removesuffix("}") for key in guarded(lambda: list(chain(*scans)))})

    def create(self, name: str, password: str, address: str = "") -> Account:
        """Make an account. Raises NameTaken, RateLimited."""
        if address:
            rates.count(self.store, {f"made|{address}": MADE_MAX}, ATTEMPTS_S)
        account = Account(plain(name), name, iso(time.time()), 1, passwords.hashed(password))
        document = {part: value for part, value in vars(account).items() if part != "id"}
        if not self.store.execute("JSON.SET", keys.account(account.id).document, "$", dumps(document), "NX"):
            raise NameTaken()
        return account

    def login(self, name: str, password: str, address: str) -> Account:
        """The account, if this is its password. Raises RateLimited, and LoginFailed, whose time tells no more."""
        at = plain(name)
        counted = {f"{at}|{address}": ATTEMPTS_MAX, f"{at}|": AT_NAME_MAX, f"|{address}": FROM_ADDRESS_MAX}
        rates.count(self.store, counted, ATTEMPTS_S)
        account = self.find(name)
        if not passwords.matches(account.password if account else None, password) or not account:
            raise LoginFailed()
        rates.forgive(self.store, counted, ATTEMPTS_S)
        return account

    def set_password(self, name: str, password: str) -> int:
        """Set the password and end all sessions. Returns the generation of those to come. Raises LoginFailed."""
        return self._renew(plain(name), passwords.hashed(password))

    def end_sessions(self, name: str) -> None:
        self._renew(plain(name))

    def close(self, name: str) -> None:
        """Let nobody in any more, while the account is being deleted. Raises LoginFailed when there is none."""
        self._renew(plain(name), _CLOSED)

    def forget(self, name: str) -> None:
        """Delete what is left of an account that was closed and whose conversations are gone."""
        self.store.execute("DEL", *keys.account(plain(name)))

    def _renew(self, name: str, password: str = "") -> int:
        on = keys.account(name)
        generation = int(self.store.run_on("renew_account", [on.document], password))
        if not generation:
            raise LoginFailed()
        # They are over by now; this only clears up.
        ended = self.store.execute("SMEMBERS", on.sessions)
        self.store.execute_all(*(("UNLINK", key) for key in (on.sessions, *ended)))
        return generation
