"""What may happen in which exploration: each fault so many times or MANY."""

from typing import NamedTuple

from protocol.world import MANY

_ANY = {"crash": MANY, "pause": MANY, "answer lost": MANY}
_ONE = {"crash": 1, "pause": 1, "answer lost": MANY}
_END = {"expiry": 1, "delete": 1}
_SMALL = {"log_max": 4, "queue_max": 2, "read_max": 2}


class Scenario(NamedTuple):
    """What may happen, and how large things are."""

    faults: dict[str, int]
    messages: str = "a"
    pieces: int = 1
    watched: bool = False
    limits: dict[str, int] = {}  # noqa: RUF012  (never changed)


SCENARIOS = {
    "two messages": Scenario(_ANY | {"stop": MANY}, "ab"),
    "a full queue": Scenario(_ANY | {"stop": 1}, "ab", limits={"pending_max": 1}),
    "a failing model": Scenario(
        _ANY | {"stop": MANY, "the model fails": 1, "the model breaks off": MANY, "shutdown": 2}
    ),
    "late calls": Scenario({"late": 1, "answer lost": 1, "pause": 1, "stop": 1}, "ab"),
    "late calls, longer": Scenario({"late": 2, "answer lost": 1, "pause": 1}, pieces=2),
    "retries": Scenario(_ANY | {"retry": MANY, "stop": MANY}),
    "a late retry": Scenario({"late": 1, "pause": 1, "retry": MANY, "stop": 1}),
    "a retry of two": Scenario(_ONE | {"retry": 1, "stop": 1}, "ab"),
    "expiry, deletion": Scenario(_ONE | _END | {"late": 1, "stop": 1}, pieces=2),
    "a restart": Scenario({"restart": 1, "pause": 1, "answer lost": 1}, "ab"),
    "a restart, late calls": Scenario({"restart": 1, "pause": 1, "late": 1}),
    "two restarts": Scenario({"restart": 2, "stop": 1}),
    "readers": Scenario({"events lost": MANY, "reader leaves": MANY, "crash": 1}, "a", 2, True, _SMALL),
    "readers, two messages": Scenario({"events lost": 1, "stop": 1}, "ab", 1, True, _SMALL),
    "readers, a retry": Scenario({"events lost": 1, "retry": 1, "stop": 1}, "a", 1, True, _SMALL),
    "readers, a restart": Scenario({"events lost": 1, "restart": 1, "reader leaves": 1}, "a", 1, True),
    "readers, deletion": Scenario({"events lost": 1, "reader leaves": 1} | _END, "a", 1, True, _SMALL),
}
