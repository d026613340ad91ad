"""All settings: one frozen object, read from the environment in one place."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

from chat.errors import ConfigError


def setting(default: Any, about: str, at_least: float | None = None, secret: bool = False) -> Any:
    """A field of Config with the sentence that the documentation shows, and its smallest allowed value."""
    return field(default=default, repr=not secret, metadata={"about": about, "at_least": at_least})


@dataclass(frozen=True)
class Config:
    """Every setting with its default. In the environment a name is in upper case; lists are split at commas."""

    host: str = setting("127.0.0.1", "Address the web process listens on; 0.0.0.0 for all.")
    port: int = setting(8000, "Port the web process listens on.", 0)
    web_concurrency: int = setting(1, "Web processes (gunicorn workers).", 1)
    worker_concurrency: int = setting(200, "Turns that one worker process answers side by side.", 1)
    secret_key: str = setting("", "Hides session ids; a new one ends all sessions. A deployment needs it.", secret=True)
    data_dir: str = setting(".data", "Where `make run` keeps its private Valkey's data and the secret key.")
    redis_url: str = setting(
        "redis://127.0.0.1:6379/0",
        "Redis with JSON commands: redis://, rediss:// (TLS), unix://, or redis+sentinel://host:port,host:port/name/db,"
        " or redis+cluster://host:port,host:port. `make run` starts a private Valkey when it is not set.",
        secret=True,
    )
    redis_connections: int = setting(64, "Connections in a pool to Redis; a web process has one pool, a worker two.", 1)
    redis_tls_verify: bool = setting(True, "Verify the certificate of a rediss:// server; 0 for a self-signed one.")
    redis_wait_replicas: int = setting(0, "Replicas of Redis that must have a message before it counts; else 503.", 0)
    broker_url: str = setting("", "Celery's broker, of any kind that kombu knows; else REDIS_URL.", secret=True)
    cors_origins: tuple[str, ...] = setting((), "Origins of other sites whose pages may use this server.")
    registration: Literal["open", "closed"] = setting("open", "closed: only `flask accounts add` makes accounts.")
    session_ttl_s: int = setting(1_209_600, "Seconds that a login lasts after its last use.", 1)
    proxies: int = setting(0, "Proxies in front that add to X-Forwarded-For; limits go by the address before them.", 0)
    chat_ttl_s: int = setting(3600, "Seconds that a guest's conversation lives after its last use.", 30)
    message_max_chars: int = setting(4000, "Longest message, in characters.", 1)
    pending_max: int = setting(16, "Messages that may wait in one conversation.", 1)
    rate_messages: int = setting(120, "Messages a minute in a conversation, tenfold by one client; 0 for no limit.", 0)
    rate_conversations: int = setting(300, "Conversations made a minute by one account or address; 0: no limit.", 0)
    rate_searches: int = setting(300, "Searches a minute by one account or address; 0 for no limit.", 0)
    streams_per_conversation: int = setting(100, "Streams of one conversation in one web process; 0: no limit.", 0)
    streams_per_address: int = setting(1000, "Streams to one address in one web process; 0 for no limit.", 0)
    model_url: str = setting("", "The server that writes the replies; without one a tiny GPT-J is started.")
    model_protocol: Literal["", "huggingface", "openai-completions", "openai-chat"] = setting(
        "", "huggingface, openai-completions or openai-chat; unset: told by the end of MODEL_URL, else huggingface."
    )
    model_name: str = setting("", "The model's name; unset: the first that a server of OpenAI's protocols lists.")
    model_token: str = setting("", "Bearer token for MODEL_URL.", secret=True)
    model_context_tokens: int = setting(2048, "Tokens that the model can take in, prompt and reply together.", 64)
    model_max_new_tokens: int = setting(256, "Longest reply, in the model's tokens.", 1)
    model_temperature: float = setting(0.4, "Sampling temperature; 0 always takes the likeliest word.", 0)
    model_top_p: float = setting(0.9, "Nucleus sampling: share of the probability that is drawn from.", 0)
    model_parameters: str = setting("", 'More parameters of a request, as JSON: {"top_k": 40}; null takes one away.')
    model_connect_s: float = setting(3.0, "Seconds to wait for a connection to the model's server.", 0.01)
    model_read_s: float = setting(60.0, "Seconds that the model may stay silent.", 0.01)
    turn_limit_s: float = setting(120.0, "Seconds that one attempt at a reply may take, waiting included.", 0.1)
    gptj_path: str = setting("", "What gptj.server serves, made by `make model-convert`; unset: the tiny GPT-J.")
    gptj_device: Literal["auto", "cpu", "cuda"] = setting("auto", "Where gptj.server computes: auto, cpu or cuda.")
    gptj_compute: str = setting("default", "In what: int8, int8_float16, float16, float32, …; default: as stored.")
    gptj_threads: int = setting(0, "Replies that gptj.server computes at once; 0: by the model's size and device.", 0)
    gptj_threads_per_reply: int = setting(0, "Threads that compute one of its replies; 0: by the model's size.", 0)
    gptj_slots: int = setting(64, "Replies that gptj.server computes or lets wait; more get 429.", 1)
    lease_s: float = setting(5.0, "Seconds after which the turn of a silent worker is given to another one.", 0.2)
    renew_s: float = setting(0.4, "Seconds between two renewals of a lease; a stop is seen this soon.", 0.01)
    sweep_s: float = setting(1.0, "Seconds between two looks for work that no worker has heard of.", 0.01)
    log_level: Literal["debug", "info", "warning", "error"] = setting("info", "debug, info, warning or error.")
    log_format: Literal["text", "json"] = setting("text", "text, or json: one object per line, for machines.")
    metrics_token: str = setting("", "Bearer token that opens /metrics; there is none without it.", secret=True)

    @property
    def broker(self) -> str:
        """The broker's address as the user gave it."""
        return self.broker_url or self.redis_url

    @property
    def protocol(self) -> str:
        """What the model's server speaks."""
        path = urlsplit(self.model_url).path.rstrip("/")
        completions = "openai-completions" if path.endswith("/v1/completions") else "huggingface"
        return self.model_protocol or ("openai-chat" if path.endswith("/chat/completions") else completions)

    @property
    def sampling(self) -> dict[str, Any]:
        """How the model draws its words. Raises TypeError or ValueError if MODEL_PARAMETERS is no JSON object."""
        # TGI refuses a top_p of 1, which means "no limit", and 0.
        drawn = {"top_p": self.model_top_p} if self.model_temperature > 0 and 0 < self.model_top_p < 1 else {}
        return {"temperature": self.model_temperature, **drawn, **json.loads(self.model_parameters or "{}")}


def from_environ(environ: Mapping[str, str] = os.environ) -> Config:
    """Read the settings that are set and not empty. Raises ConfigError that names the setting and what it takes."""
    values = {
        f.name: _parse(f, environ[f.name.upper()]) for f in fields(Config) if environ.get(f.name.upper(), "").strip()
    }
    config = Config(**values)
    if "+cluster:" in config.redis_url and not config.broker_url:
        raise ConfigError("REDIS_URL names a cluster, which Celery cannot use: BROKER_URL must name another Redis.")
    if config.port > 65535:
        raise ConfigError("PORT takes a number of at most 65535.")
    if config.renew_s * 3 > config.lease_s:
        raise ConfigError("RENEW_S must be at most a third of LEASE_S, or a living worker could lose its turn.")
    if config.model_max_new_tokens >= config.model_context_tokens:
        raise ConfigError("MODEL_MAX_NEW_TOKENS must be smaller than MODEL_CONTEXT_TOKENS.")
    if config.model_url and urlsplit(config.model_url).scheme not in ("http", "https"):
        raise ConfigError("MODEL_URL takes an http:// or https:// address.")
    if urlsplit(config.model_url).path.rstrip("/").endswith("/v1") and not config.model_protocol:
        raise ConfigError("MODEL_URL ends in /v1: MODEL_PROTOCOL must be openai-chat or openai-completions.")
    try:
        _ = config.sampling
    except (TypeError, ValueError):
        raise ConfigError('MODEL_PARAMETERS takes a JSON object, such as {"top_k": 40}.') from None
    return config


def _parse(f: Any, raw: str) -> Any:
    name, raw = f.name.upper(), raw.strip()
    if f.type is bool:
        if raw.lower() not in ("1", "0", "true", "false", "yes", "no"):
            raise ConfigError(f"{name} takes 1 or 0, not {raw!r}.")
        return raw.lower() in ("1", "true", "yes")
    if get_origin(f.type) is tuple:
        return tuple(part.strip() for part in raw.split(",") if part.strip())
    if get_origin(f.type) is Literal and raw not in get_args(f.type):
        raise ConfigError(f"{name} takes {' or '.join(filter(None, get_args(f.type)))}, not {raw!r}.")
    if f.type not in (int, float):
        return raw
    try:
        value = f.type(raw)
    except ValueError:
        raise ConfigError(f"{name} takes a {'whole ' if f.type is int else ''}number, not {raw!r}.") from None
    # Written as "not (a >= b)" so that NaN is refused too.
    if f.metadata["at_least"] is not None and not (f.metadata["at_least"] <= value < float("inf")):
        raise ConfigError(f"{name} takes a number of at least {f.metadata['at_least']:g}, not {raw!r}.")
    return value
