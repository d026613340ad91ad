"""What the routes of one process share: the settings, the store and the hub."""

from dataclasses import dataclass, field
from threading import Lock

from flask import current_app

from app.hub import Hub
from app.readiness import Readiness
from chat.accounts import Accounts
from chat.config import Config
from chat.sessions import Sessions
from chat.store import Store


@dataclass
class Parts:
    """The parts of one application."""

    config: Config
    store: Store
    _hub: Hub | None = field(default=None, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    def __post_init__(self) -> None:
        self.readiness = Readiness(self.store)

    @property
    def accounts(self) -> Accounts:
        return Accounts(self.store)

    @property
    def sessions(self) -> Sessions:
        return Sessions(self.store)

    @property
    def hub(self) -> Hub:
        """The hub of this process, made at its first use: its threads would not survive gunicorn's fork."""
        with self._lock:
            if not self._hub:
                self._hub = Hub(self.store)
            return self._hub


def parts() -> Parts:
    """The parts of the application that serves this request."""
    found: Parts = current_app.extensions["parley"]
    return found
