"""What the protocols share: a request read, a reply written whole or as a stream, an error told in the right form."""

import json
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from multiprocessing.connection import wait
from typing import Any

from flask import Response, current_app, request

from gptj.server.engine import Engine, Generation, Token
from gptj.server.parameters import OPENAI, Refused, Request

SEND_S = 30.0  # a client that takes nothing for so long is gone
_STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

Json = dict[str, Any]
log = logging.getLogger(__name__)


def engine() -> Engine:
    """The one of this application."""
    engine: Engine = current_app.extensions["engine"]
    return engine


def asked(read: Callable[[Any], Request]) -> Request:
    """The request's body, as this protocol reads it. Raises Refused."""
    try:
        return read(json.loads(request.get_data()))
    except (ValueError, RecursionError) as error:
        raise Refused("validation", "the body must be JSON") from error


def write(asked: Request) -> tuple[Generation, list[Token]]:
    """A reply and all of its tokens; only some where the client has hung up, and nobody reads them."""
    with closing(_begin(asked)) as generation:
        return generation, [token for token in generation if token]


def stream(asked: Request, tell: Callable[[Generation], Iterator[Json | str | None]]) -> Response:
    """A reply as events, while it is written; None is told as a comment, that the connection may not seem dead."""
    generation = _begin(asked)
    # The status has been sent when the model fails.
    failure = problem("generation", "Request failed during generation")

    def events() -> Iterator[bytes]:
        try:
            for event in tell(generation):
                yield b": still here\n\n" if event is None else _event(event)
        except (RuntimeError, ValueError) as error:
            log.error("generation failed: %s", error)
            yield _event(failure)

    response = Response(events(), mimetype="text/event-stream", headers=_STREAM_HEADERS)
    # Not in the generator: one that was never begun does not run its clean-up.
    response.call_on_close(generation.close)
    return response


def problem(kind: str, message: str) -> Json:
    """An error in the form, and with the names, of the protocol in which it was asked."""
    if not request.path.startswith("/v1/"):
        return {"error": message, "error_type": kind}
    for ours, theirs in OPENAI.items():
        message = message.replace(f"`{ours}`", f"`{theirs}`")
    kind = "invalid_request_error" if kind == "validation" else kind
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def _begin(asked: Request) -> Generation:
    connection: socket.socket = request.environ["gunicorn.socket"]
    connection.settimeout(SEND_S)
    return engine().open(asked, lambda: _is_here(connection))


def _is_here(connection: socket.socket) -> bool:
    """Whether the client has not hung up: also one that waits in silence is seen to go."""
    with suppress(OSError):
        return not wait([connection], 0) or connection.recv(1, socket.MSG_PEEK) != b""
    return False


def _event(value: Json | str) -> bytes:
    data = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"data: {data}\n\n".encode()
