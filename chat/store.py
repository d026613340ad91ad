"""The way to Redis: connecting, and running the atomic scripts in chat/lua."""

import logging
import ssl
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import redis
from redis.backoff import ConstantBackoff, NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from chat import errors, keys
from chat.config import Config

T = TypeVar("T")

log = logging.getLogger(__name__)

TIMEOUT_S, AGAIN_S, CONNECTIONS_MAX = 2, 0.2, 64

_LUA = Path(__file__).with_name("lua")
# What stands before each script; the scripts themselves are all other files.
_SHARED = ("common", "conversation")
# Scripts that find or make conversations; all others work on one that must exist.
_BARE = ("create", "sweep", "renew_account", "note", "index")
# Scripts that need no memory; all others are refused as a whole when Redis has none left.
_FRUGAL = ("delete", "look", "page", "read", "snapshot")
# How Redis begins an answer that says that it cannot do what it is asked just now.
_NOT_NOW = ("BUSY ", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "READONLY", "TRYAGAIN")
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
        self.client = connect(config)
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
        return guarded(lambda: self._scripts[script](on, args))

    def run_all(self, calls: Iterable[tuple[str, list[str], tuple[str | int, ...]]]) -> list[Any]:
        """Run scripts in one round trip, each given as name, keys and arguments, and return their bare answers.

        One that fails answers an empty list: a broken conversation must not stand in the way of the others.
        """
        pipeline = self.client.pipeline(transaction=False)
        for script, on, args in calls:
            self._scripts[script](on, args, client=pipeline)
        answers: list[Any] = guarded(lambda: pipeline.execute(raise_on_error=False))
        for n, answer in enumerate(answers):
            if isinstance(answer, redis.RedisError):
                if _passes(answer):
                    raise errors.StoreUnavailable() from answer
                log.error("a script failed: %s", type(answer).__name__)
                answers[n] = []
        return answers

    def execute(self, *command: str | int) -> Any:
        """Send one command and return its answer.

        `client.json()` is used nowhere: it changes what JSON.GET answers to everybody who uses the client.
        """
        send: Any = self.client.execute_command
        return guarded(lambda: send(*command))

    def execute_all(self, *commands: tuple[str | int, ...]) -> list[Any]:
        """Send commands in one round trip and return their answers."""
        pipeline: Any = self.client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        answers: list[Any] = guarded(pipeline.execute)
        return answers

    def close(self) -> None:
        self.client.close()


def guarded(call: Callable[[], T]) -> T:
    """Call Redis; its being away, full, read-only or loading becomes StoreUnavailable."""
    # The class says enough: the message may hold an address with a password.
    try:
        return call()
    except redis.RedisError as error:
        if _passes(error):
            raise errors.StoreUnavailable() from error
        raise


def _passes(error: redis.RedisError) -> bool:
    """Whether it is only for now that Redis cannot do this. A pipeline puts its own words before Redis' answer."""
    away = redis.ConnectionError | redis.TimeoutError | redis.ReadOnlyError | redis.OutOfMemoryError
    return isinstance(error, away) or str(error).split("caused error: ")[-1].startswith(_NOT_NOW)


def connect(config: Config) -> "redis.Redis":
    """A client for REDIS_URL with time limits on every call. Nothing is sent yet. Raises ConfigError."""
    url = urlsplit(config.redis_url)
    options: dict[str, Any] = {
        "decode_responses": True,
        "protocol": 2,  # every server and proxy speaks it, and pub/sub needs no more
        "socket_timeout": TIMEOUT_S,
        "socket_connect_timeout": TIMEOUT_S,
        "retry": Retry(ConstantBackoff(0.05), 1),
    }
    if url.scheme in ("rediss", "rediss+sentinel") and not config.redis_tls_verify:
        options |= {"ssl_cert_reqs": ssl.CERT_NONE, "ssl_check_hostname": False}
    try:
        if url.scheme in ("redis+sentinel", "rediss+sentinel"):
            return _through_sentinel(config.redis_url, options)
        # Who finds all connections busy waits for one: each call is brief, and Redis serves one at a time anyway.
        pool = redis.BlockingConnectionPool.from_url(
            config.redis_url, max_connections=CONNECTIONS_MAX, timeout=TIMEOUT_S, **options
        )
        return redis.Redis.from_pool(pool)
    except ValueError:
        raise errors.ConfigError(
            "REDIS_URL takes redis://, rediss://, unix:// or redis+sentinel://host:port,host:port/name/db."
        ) from None


def _through_sentinel(address: str, options: dict[str, Any]) -> "redis.Redis":
    """redis+sentinel://[user:password@]host:port,host:port/name[/db][?sentinel_password=…], or rediss+sentinel://."""
    url = urlsplit(address)
    credentials, _, hosts = url.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    name, _, db = url.path.strip("/").partition("/")
    sentinels = [(host, int(port or 26379)) for host, _, port in (h.partition(":") for h in hosts.split(","))]
    if not name:
        raise ValueError("no service name")
    options = options | {"db": int(db or 0), "ssl": url.scheme.startswith("rediss")}
    if password:
        options |= {"password": unquote(password), "username": unquote(user) or None}
    # One that does not answer is passed over at once: there are others.
    own = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S, "retry": Retry(NoBackoff(), 0)}
    own |= {name: value for name, value in options.items() if name.startswith("ssl")}
    if secret := parse_qs(url.query).get("sentinel_password"):
        own["password"] = secret[0]
    # redis-py has no types for its Sentinel.
    found: Any = Sentinel(sentinels, sentinel_kwargs=own)  # type: ignore[no-untyped-call]
    client: redis.Redis = found.master_for(name, **options)
    return client


def check(client: "redis.Redis") -> None:
    """Raise StoreUnavailable when Redis does not answer, StoreUnsuitable when it lacks JSON or sharded pub/sub."""
    try:
        # Not the name of a key that exists, such as that of the Celery queue.
        send: Any = client.execute_command
        guarded(lambda: send("JSON.GET", "parley:no-such-document"))
        guarded(lambda: client.spublish("parley:nobody-listens", ""))
    except redis.exceptions.NoPermissionError as error:
        raise errors.StoreUnsuitable(f"This user of Redis may not do what is needed: {error}.") from error
    except redis.ResponseError as error:
        raise errors.StoreUnsuitable() from error


@cache
def _source(name: str) -> str:
    parts = ["common", name] if name in _BARE else [*_SHARED, name]
    # With a first line like this Redis refuses a script before it begins, not in the middle of its work.
    first = "#!lua flags=allow-oom" if name in _FRUGAL else "#!lua"
    return "\n".join([first, *((_LUA / f"{part}.lua").read_text() for part in parts)])
