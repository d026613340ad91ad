"""The web process: messages in, events out."""

from typing import Any

import orjson
from flask import Flask
from flask.json.provider import JSONProvider
from werkzeug.middleware.proxy_fix import ProxyFix

from app import about, accounts, api, channels, commands, cors, handbook, logins, metrics, pages, problems, socket_api
from app.parts import Parts
from app.smorest import Api
from app.wire import Wire
from chat import VERSION
from chat.config import Config
from chat.store import Store

BODY_MAX_BYTES = 64 * 1024
# A character takes up to twelve bytes in JSON: two escaped surrogates.
BYTES_PER_CHAR = 12


class Json(JSONProvider):
    """orjson: quick, keeps the order of fields, and refuses nesting on which Python's json runs out of stack."""

    def dumps(self, obj: Any, **_: Any) -> str:
        return orjson.dumps(obj, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:
        return orjson.loads(s)


def create_app(config: Config, store: Store | None = None) -> Flask:
    """Make the application. Nothing is asked of Redis yet. Raises ConfigError."""
    app = Flask(__name__)
    app.json = Json(app)
    body_max = max(BODY_MAX_BYTES, BYTES_PER_CHAR * config.message_max_chars + 4096)
    app.config.from_mapping(
        SECRET_KEY=config.secret_key or None,
        MAX_CONTENT_LENGTH=body_max,
        MAX_FORM_MEMORY_SIZE=body_max,
        API_TITLE="Parley",
        API_VERSION=VERSION,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        SESSION_COOKIE_NAME=logins.COOKIE,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=logins.COOKIE_LIFE,
        SOCK_SERVER_OPTIONS={"max_message_size": body_max, "ping_interval": 25},
    )
    app.extensions["parley"] = Parts(config, store or Store(config))
    metrics.register(app)
    app.session_interface = logins.SessionInterface(app)
    smorest = Api(app)
    for documented in (api, accounts, about):
        smorest.register_blueprint(documented.blueprint)
    for part in (socket_api, handbook, channels, commands, metrics, pages):
        app.register_blueprint(part.blueprint)
    smorest.describe_others(app)
    problems.register(app)
    cors.register(app, config.cors_origins)
    if config.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, config.proxies, 0, 0)  # type: ignore[method-assign]
    app.wsgi_app = Wire(app.wsgi_app)  # type: ignore[method-assign]
    return app


def leave(app: Flask) -> None:
    """End all streams and sockets of this process, so that their clients come back to another one.

    It blocks for a moment, so a signal handler under gevent must call it from a greenlet of its own.
    """
    found: Parts = app.extensions["parley"]
    found.hub.leave()
