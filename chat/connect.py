"""Connecting to Redis: one server, the primary that Sentinels name, or the nodes of a cluster."""

import ssl
from functools import partial
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import redis
from redis.backoff import ConstantBackoff, NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from chat import errors
from chat.cluster import Cluster, Server
from chat.config import Config

TIMEOUT_S = 2


def cluster(config: Config) -> Cluster | None:
    """The cluster that REDIS_URL names with some of its nodes, if it does: redis+cluster://host:port,host:port."""
    url = urlsplit(config.redis_url)
    hosts = url.netloc.rpartition("@")[2].split(",")
    return Cluster(hosts, partial(connect, config)) if url.scheme.endswith("+cluster") else None


def connect(config: Config, host: str = "") -> Server:
    """A client for REDIS_URL, of a cluster for one host, with time limits on every call. Nothing is sent yet.

    Raises ConfigError.
    """
    url = urlsplit(config.redis_url)
    scheme, _, kind = url.scheme.partition("+")
    credentials, at, hosts = url.netloc.rpartition("@")
    address = config.redis_url
    if kind == "cluster":
        address = url._replace(scheme=scheme, netloc=credentials + at + (host or hosts.split(",")[0])).geturl()
    options: dict[str, Any] = {
        "decode_responses": True,
        "protocol": 2,  # every server and proxy speaks it, and pub/sub needs no more
        "socket_timeout": TIMEOUT_S,
        "socket_connect_timeout": TIMEOUT_S,
        "retry": Retry(ConstantBackoff(0.05), 1),
    }
    if scheme == "rediss" and not config.redis_tls_verify:
        options |= {"ssl_cert_reqs": ssl.CERT_NONE, "ssl_check_hostname": False}
    try:
        if kind == "sentinel":
            return _through_sentinel(address, options)
        # Who finds all connections busy waits for one: each call is brief, and Redis serves one at a time anyway.
        limits = {"max_connections": config.redis_connections, "timeout": TIMEOUT_S}
        return redis.Redis.from_pool(redis.BlockingConnectionPool.from_url(address, **limits, **options))
    except ValueError:
        raise errors.ConfigError(
            "REDIS_URL takes redis://, rediss://, unix://, redis+cluster://host:port,host:port or"
            " redis+sentinel://host:port,host:port/name/db."
        ) from None


def _through_sentinel(address: str, options: dict[str, Any]) -> Server:
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
    client: Server = found.master_for(name, **options)
    return client
