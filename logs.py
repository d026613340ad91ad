"""How the processes log: one line each, as text for people or as JSON for machines (LOG_FORMAT).

No conversation's id is written in full, whoever logs it: to guests' conversations it is the key.
"""

import json
import logging
import re
import threading
from typing import Any

from gevent.hub import Hub

from chat.config import Config
from chat.events import iso
from chat.trace import request_id

OURS = ("app", "chat", "gptj", "tasks", "wsgi")
_ID = re.compile(r"\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")

log = logging.getLogger(__name__)


def catch() -> None:
    """Have what ends a thread or a greenlet logged like all else; by themselves they print it on many lines."""
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    Hub.print_exception = lambda hub, context, *error: _uncaught(*error)


def _uncaught(*error: Any) -> None:
    log.error("a thread was ended by a mistake", exc_info=error)


def _scrubbed(text: str) -> str:
    """The text without ids in full, but for the request's own, which some routers give the same form."""
    return _ID.sub(lambda found: found[0] if found[0] == request_id.get() else f"{found[1]}…", text)


class Text(logging.Formatter):
    """`2026-11-20T10:00:15.845Z INFO chat.trace: turn 5c3e90b1 accepted [request 9f86d081]`"""

    def format(self, record: logging.LogRecord) -> str:
        return _scrubbed(super().format(record))

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return iso(record.created)

    def formatMessage(self, record: logging.LogRecord) -> str:
        request = request_id.get()
        return super().formatMessage(record) + (f" [request {request}]" if request else "")


class Json(Text):
    """The same as an object: at, level, logger, process, message; request, and what else a line of ours names."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if request := request_id.get():
            line["request"] = request
        if isinstance(record.args, dict) and record.name.partition(".")[0] in OURS:
            line |= record.args
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _scrubbed(json.dumps(line, ensure_ascii=False, default=str))


def settings(config: Config) -> dict[str, Any]:
    """What logging.config.dictConfig wants: of our own the lines from LOG_LEVEL on, of libraries the warnings."""
    level = config.log_level.upper()
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "text": {"()": Text, "format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
            "json": {"()": Json},
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": config.log_format}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        # Not gunicorn's lines of each request: its address may hold a name, or the words of a search.
        "loggers": {name: {"level": level, "propagate": True} for name in OURS}
        | {"gunicorn.error": {"level": "INFO" if level == "DEBUG" else level, "propagate": True}}
        | {"gunicorn.access": {"level": "WARNING"}},
    }
