"""The routes of the model server: requests in, tokens out, in the shapes of Text Generation Inference (TGI)."""

import json
import logging
import select
import socket
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Flask, Response, current_app, jsonify, request
from werkzeug.exceptions import HTTPException

from chat import VERSION
from gptj.server.engine import Engine, Generation, Loading, Overloaded, Token
from gptj.server.parameters import Invalid, Request, read

MAX_BODY_BYTES = 1_000_000
SEND_S = 30.0  # a client that takes nothing for so long is gone
_STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

Json = dict[str, Any]
log = logging.getLogger(__name__)
routes = Blueprint("generation", __name__)


def create_app(engine: Engine) -> Flask:
    """The server as a WSGI application."""
    app = Flask("gptj.server", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.extensions["engine"] = engine
    app.register_blueprint(routes)
    return app


def _engine() -> Engine:
    engine: Engine = current_app.extensions["engine"]
    return engine


@routes.post("/")
@routes.post("/models/<path:_name>")
def root(_name: str = "") -> Response:
    """The old endpoint: a list comes back, the prompt is part of the text unless that is declined."""
    asked = _asked(full=True)
    return _stream(asked) if asked.stream else jsonify([_whole(asked)])


@routes.post("/generate")
def generate() -> Response:
    return jsonify(_whole(_asked()))


@routes.post("/generate_stream")
def generate_stream() -> Response:
    return _stream(_asked())


@routes.get("/health")
def health() -> Response:
    _engine().check_loaded()
    return Response(status=200)


@routes.get("/info")
def info() -> Response:
    engine = _engine()
    engine.check_loaded()
    return jsonify(
        model_id=engine.name,
        model_dtype=engine.model.compute_type,
        model_device_type=engine.model.device,
        max_input_length=engine.context_tokens - 1,
        max_input_tokens=engine.context_tokens - 1,
        max_total_tokens=engine.context_tokens,
        max_concurrent_requests=engine.options.slots,
        version=VERSION,
    )


def _asked(full: bool = False) -> Request:
    try:
        return read(json.loads(request.get_data()), full)
    except (ValueError, RecursionError) as error:
        raise Invalid("the body must be JSON") from error


def _whole(asked: Request) -> Json:
    connection, generation = _connection(), _engine().open(asked)
    try:
        # Whoever has hung up reads nothing of what this returns then.
        tokens = [token for token in _while_connected(generation, connection) if token]
    finally:
        generation.close()
    answer: Json = {"generated_text": asked.before + generation.text}
    if asked.details and tokens:
        shown = [_shape(token) for token in tokens]
        answer["details"] = _details(tokens[-1], generation) | {"prefill": [], "tokens": shown}
    return answer


def _stream(asked: Request) -> Response:
    connection, generation = _connection(), _engine().open(asked)
    events = _events(_while_connected(generation, connection), generation)
    response = Response(events, mimetype="text/event-stream", headers=_STREAM_HEADERS)
    # Not in the generator: one that was never begun does not run its clean-up.
    response.call_on_close(generation.close)
    return response


def _events(tokens: Iterator[Token | None], generation: Generation) -> Iterator[bytes]:
    try:
        for index, token in enumerate(tokens, start=1):
            if token is None:
                yield b": still here\n\n"
                continue
            event = {"index": index, "token": _shape(token), "generated_text": None, "details": None}
            if token.finish:
                event["generated_text"] = generation.asked.before + generation.text
                event["details"] = _details(token, generation)
            yield _event(event)
    except RuntimeError as error:
        # The model's; the status has been sent.
        yield _event(_failed(error)[0])


def _connection() -> socket.socket:
    connection: socket.socket = request.environ["gunicorn.socket"]
    connection.settimeout(SEND_S)
    return connection


def _while_connected(generation: Generation, connection: socket.socket) -> Iterator[Token | None]:
    """The tokens, as long as the client is there: also one that waits in silence is seen to go."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    for token in generation:
        if poll.poll(0) and connection.recv(1, socket.MSG_PEEK) == b"":
            return
        yield token


def _event(value: Json) -> bytes:
    return b"data:" + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def _shape(token: Token) -> Json:
    return {"id": token.id, "text": token.text, "logprob": token.logprob, "special": token.special}


def _details(last: Token, generation: Generation) -> Json:
    return {
        "finish_reason": last.finish,
        "generated_tokens": generation.tokens,
        "input_length": generation.input_tokens,
        "seed": generation.asked.seed,
    }


@routes.app_errorhandler(Invalid)
def _invalid(error: Invalid) -> tuple[Json, int]:
    return {"error": f"Input validation error: {error}", "error_type": "validation"}, 422


@routes.app_errorhandler(Overloaded)
def _overloaded(_: Overloaded) -> tuple[Json, int, dict[str, str]]:
    return {"error": "Model is overloaded", "error_type": "overloaded"}, 429, {"Retry-After": "1"}


@routes.app_errorhandler(Loading)
def _loading(error: Loading) -> tuple[Json, int]:
    return {"error": f"Model {_engine().name} is currently loading", "estimated_time": error.estimated_s}, 503


@routes.app_errorhandler(RuntimeError)
def _failed(error: RuntimeError) -> tuple[Json, int]:
    log.error("generation failed: %s", error)
    return {"error": "Request failed during generation", "error_type": "generation"}, 500


@routes.app_errorhandler(HTTPException)
def _other(error: HTTPException) -> tuple[Json, int]:
    status = error.code or 500
    kind = "validation" if status < 500 else "generation"
    return {"error": error.description or error.name, "error_type": kind}, status
