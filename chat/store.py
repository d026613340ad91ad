"""The way to Redis: running the atomic scripts in chat/lua, and plain commands, on the server that has the keys."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import redis

from chat import errors, keys
from chat.cluster import Server
from chat.config import Config
from chat.connect import cluster, connect

T = TypeVar("T")

log = logging.getLogger(__name__)

AGAIN_S, WAIT_MS = 0.2, 1000

_LUA = Path(__file__).with_name("lua")
# What stands before each script; the scripts themselves are all other files.
_SHARED = ("common", "conversation")
# Scripts that find or make conversations; all others work on one that must exist.
_BARE = ("create", "sweep", "renew_account", "note", "index")
# Scripts that need no memory; all others are refused as a whole when Redis has none left.
_FRUGAL = ("delete", "look", "page", "read", "snapshot")
# Scripts whose answer tells a client that something is kept.
_LASTING = ("accept", "adopt", "create", "delete", "rename", "retry", "stop")
# How Redis begins an answer that says that it cannot do what it is asked just now.
_NOT_NOW = ("BUSY ", "LOADING", "MISCONF", "NOREPLICAS", "OOM", "READONLY")
_AWAY = (
    redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError, redis.OutOfMemoryError, redis.exceptions.AskError,
    redis.exceptions.ClusterDownError, redis.exceptions.TryAgainError,
)  # fmt: skip
_REFUSALS: dict[str, type[errors.ChatError]] = {
    e.code: e for e in (errors.SchemaTooNew, errors.FencedOff, errors.NotLastTurn, errors.Busy)
} | {
    "gone": errors.ConversationGone,
    "fenced": errors.FencedOff,
    "full": errors.QueueFull,
    "conflict": errors.MessageConflict,
    "unknown": errors.MessageUnknown,
}


class Store:
    """Runs the scripts. A worker's may be repeated as they stand, so that it asks again when an answer was lost.

    `patience_s` says for how long: not at all for a web process, whose clients ask again themselves; for a while
    for a worker, which would lose the reply that it is writing.
    """

    def __init__(self, config: Config, patience_s: float = 0) -> None:
        self.config = config
        self.patience_s = patience_s
        self.client, self._cluster = connect(config), cluster(config)
        names = (path.stem for path in _LUA.glob("*.lua") if path.stem not in _SHARED)
        self._scripts = {name: self.client.register_script(_source(name)) for name in names}

    def run(self, script: str, conversation_id: str, *args: str | int) -> list[Any]:
        """Run a script on a conversation and return what it answers: a word, then what the script's head says.

        Raises ConversationGone, SchemaTooNew or another error of `_REFUSALS`, and StoreUnavailable.
        """
        begun = time.monotonic()
        while True:
            try:
                answer: list[Any] = self.run_on(script, keys.conversation(conversation_id), *args)
                break
            except errors.StoreUnavailable:
                if time.monotonic() - begun >= self.patience_s:
                    raise
                time.sleep(AGAIN_S)
        if answer[0] in _REFUSALS:
            raise _REFUSALS[answer[0]]()
        return answer

    def run_on(self, script: str, on: list[str], *args: str | int) -> Any:
        """Run a script on these keys and return its bare answer."""
        if script in _LASTING and self.config.redis_wait_replicas:
            return self._ask(lambda: self._run_and_wait(script, on, args))
        return self._ask(lambda: self._scripts[script](on, args, client=self.at(on[0])))

    def _run_and_wait(self, script: str, on: list[str], args: tuple[str | int, ...]) -> Any:
        pipeline: Any = self.at(on[0]).pipeline(transaction=False)
        self._scripts[script](on, args, client=pipeline)
        # WAIT is for what this connection has written, and the repeat of a call writes nothing; what it repeats may
        # not have reached a replica yet.
        pipeline.set(f"{on[0]}:waited", "", px=WAIT_MS)
        pipeline.execute_command("WAIT", wanted := self.config.redis_wait_replicas, WAIT_MS)
        answer, _, reached = pipeline.execute()
        if reached < wanted:
            raise errors.StoreUnavailable()
        return answer

    def run_all(self, calls: Iterable[tuple[str, list[str], tuple[str | int, ...]]]) -> list[Any]:
        """Run scripts in one round trip, each given as name, keys and arguments, and return their bare answers.

        None where a node of a cluster cannot answer just now. One that fails answers an empty list: a broken
        conversation must not stand in the way of the others.
        """
        asked = [(on[0], partial(self._scripts[script], on, args)) for script, on, args in calls]
        answers: list[Any] = self._ask(lambda: self._queue_all(asked))
        for n, answer in enumerate(answers):
            if isinstance(answer, redis.RedisError):
                if _passes(answer):
                    answers[n] = None
                    self.forget()
                else:
                    answers[n] = []
                    log.error("a script failed: %s", type(answer).__name__)
        if answers and all(answer is None for answer in answers):
            raise errors.StoreUnavailable()
        return answers

    def execute(self, *command: str | int, key: str = "") -> Any:
        """Send one command and return its answer. On a cluster it goes by its first argument, or by `key`.

        `client.json()` is used nowhere: it changes what JSON.GET answers to everybody who uses the client.
        """
        return self._ask(lambda: _send(command, self.at(key or str(command[1]))))

    def execute_all(self, *commands: tuple[str | int, ...]) -> list[Any]:
        """Send commands in one round trip, each to where its first argument is, and return their answers."""
        asked = [(str(command[1]), partial(_send, command)) for command in commands]
        return self._ask(lambda: self._queue_all(asked, may_fail=False))

    def at(self, key: str) -> Server:
        """The client for the server that has this key."""
        return guarded(partial(self._cluster.at, key)) if self._cluster else self.client

    def servers(self) -> list[Server]:
        """Clients for all servers that share the keys."""
        return guarded(self._cluster.primaries) if self._cluster else [self.client]

    def forget(self) -> None:
        """Forget which node of a cluster has which keys: it has changed."""
        if self._cluster:
            self._cluster.forget()

    def _ask(self, call: Callable[[], T]) -> T:
        try:
            return guarded(call)
        except errors.StoreUnavailable as error:
            self.forget()
            if not isinstance(error.__cause__, redis.exceptions.MovedError):
                raise
            return guarded(call)

    def _queue_all(self, asked: Sequence[tuple[str, Callable[..., Any]]], may_fail: bool = True) -> list[Any]:
        """Call each with a pipeline to the server that has its key, and return the answers; they may be errors."""
        places: dict[Server, list[int]] = defaultdict(list)
        for n, (key, _) in enumerate(asked):
            places[self.at(key)].append(n)
        answers: list[Any] = [None] * len(asked)
        for server, numbers in places.items():
            pipeline = server.pipeline(transaction=False)
            for n in numbers:
                asked[n][1](client=pipeline)
            try:
                found = pipeline.execute(raise_on_error=not may_fail)
            except redis.RedisError as error:
                if not may_fail:
                    raise
                found = [error] * len(numbers)
            for n, answer in zip(numbers, found, strict=True):
                answers[n] = answer
        return answers

    def close(self) -> None:
        self.client.close()
        if self._cluster:
            self._cluster.close()


def _send(command: tuple[str | int, ...], client: Any) -> Any:
    return client.execute_command(*command)


def guarded(call: Callable[[], T]) -> T:
    """Call Redis; its being away, full, read-only or loading becomes StoreUnavailable, all else StoreRefused."""
    # The class says enough: the message may hold an address with a password.
    try:
        return call()
    except redis.RedisError as error:
        raise (errors.StoreUnavailable if _passes(error) else errors.StoreRefused)() from error


def _passes(error: redis.RedisError) -> bool:
    """Whether it is only for now that Redis cannot do this. A pipeline puts its own words before Redis' answer."""
    return isinstance(error, _AWAY) or str(error).split("caused error: ")[-1].startswith(_NOT_NOW)


def check(store: Store) -> None:
    """Raise StoreUnavailable when Redis does not answer, StoreUnsuitable when it lacks JSON or sharded pub/sub."""
    try:
        # Not the name of a key that exists, such as that of the Celery queue.
        store.execute("JSON.GET", "parley:no-such-document")
        store.execute("SPUBLISH", "parley:nobody-listens", "")
    except errors.StoreRefused as error:
        denied = error.__cause__ if isinstance(error.__cause__, redis.exceptions.NoPermissionError) else None
        told = f"This user of Redis may not do what is needed: {denied}." if denied else ""
        raise errors.StoreUnsuitable(told) from error


@cache
def _source(name: str) -> str:
    parts = ["common", name] if name in _BARE else [*_SHARED, name]
    # With a first line like this Redis refuses a script before it begins, not in the middle of its work.
    first = "#!lua flags=allow-oom" if name in _FRUGAL else "#!lua"
    return "\n".join([first, *((_LUA / f"{part}.lua").read_text() for part in parts)])
