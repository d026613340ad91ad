"""The broker's address in kombu's words, where it is a Redis that was named in Parley's."""

from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from chat.config import Config


def address(config: Config) -> str:
    """BROKER_URL as it is; REDIS_URL translated, since kombu spells sockets, TLS and Sentinel in its own way."""
    if config.broker_url:
        return config.broker_url
    url = urlsplit(config.redis_url)
    if url.scheme == "unix":
        credentials = f"{url.netloc.rpartition('@')[0]}@" if "@" in url.netloc else ""
        db = parse_qs(url.query).get("db", ["0"])[0]
        return f"redis+socket://{credentials}{url.path}?virtual_host={db}"
    if url.scheme == "rediss":
        joint = "&" if url.query else "?"
        return f"{config.redis_url}{joint}ssl_cert_reqs={'required' if config.redis_tls_verify else 'none'}"
    if url.scheme.endswith("+sentinel"):
        credentials, _, hosts = url.netloc.rpartition("@")
        prefix = f"{credentials}@" if credentials else ""
        db = url.path.strip("/").partition("/")[2] or "0"
        return ";".join(f"sentinel://{prefix}{host}/{quote(db)}" for host in hosts.split(","))
    return config.redis_url


def transport_options(config: Config) -> dict[str, Any]:
    """Time limits for a Redis broker: without them a half-open connection is never noticed (kombu's default)."""
    if urlsplit(config.broker).scheme.split("+")[0] not in ("redis", "rediss", "unix", "sentinel"):
        return {}
    options: dict[str, Any] = {
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "health_check_interval": 5,
        # How often a ring is tried, not how often a worker reconnects: that one never gives up.
        "max_retries": 0,
        "interval_start": 0,
    }
    if not config.broker_url and urlsplit(config.redis_url).scheme.endswith("+sentinel"):
        options["master_name"] = urlsplit(config.redis_url).path.strip("/").split("/")[0]
    return options
