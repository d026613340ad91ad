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
from gptj.server.parameters import Invalid, Parameters, read

MAX_BODY_BYTES = 1_000_000
SEND_S = 30.0  # a client that takes nothing for so long is gone

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
    prompt, parameters, stream = _request()
    full = parameters.return_full_text is not False
    if stream:
        return _stream(prompt, parameters, prompt if full else "")
    return jsonify([_whole(prompt, parameters, prompt if full else "")])


@routes.post("/generate")
def generate() -> Response:
    prompt, parameters, _ = _request()
    return jsonify(_whole(prompt, parameters, prompt if parameters.return_full_text else ""))


@routes.post("/generate_stream")
def generate_stream() -> Response:
    prompt, parameters, _ = _request()
    return _stream(prompt, parameters, prompt if parameters.return_full_text else "")


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


def _request() -> tuple[str, Parameters, bool]:
    try:
        return read(json.loads(request.get_data()))
    except (ValueError, RecursionError) as error:
        raise Invalid("the body must be JSON") from error


def _whole(prompt: str, parameters: Parameters, before: str) -> dict[str, Any]:
    connection, generation = _connection(), _engine().open(prompt, parameters)
    try:
        # Whoever has hung up reads nothing of what this returns then.
        tokens = [token for token in _while_connected(generation, connection) if token]
    finally:
        generation.close()
    answer: dict[str, Any] = {"generated_text": before + generation.text}
    if parameters.details and tokens:
        shown = [_shape(token) for token in tokens]
        answer["details"] = _details(tokens[-1], generation, parameters) | {"prefill": [], "tokens": shown}
    return answer


def _stream(prompt: str, parameters: Parameters, before: str) -> Response:
    connection, generation = _connection(), _engine().open(prompt, parameters)
    tokens = _while_connected(generation, connection)
    response = Response(_events(tokens, generation, parameters, before), mimetype="text/event-stream")
    response.headers.update({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    # Not in the generator: one that was never begun does not run its clean-up.
    response.call_on_close(generation.close)
    return response


def _events(
    tokens: Iterator[Token | None], generation: Generation, parameters: Parameters, before: str
) -> Iterator[bytes]:
    try:
        for index, token in enumerate(tokens, start=1):
            if token is None:
                yield b": still here\n\n"
                continue
            event = {"index": index, "token": _shape(token), "generated_text": None, "details": None}
            if token.finish:
                event["generated_text"] = before + generation.text
                event["details"] = _details(token, generation, parameters)
            yield _event(event)
    except RuntimeError as error:  # the model's; the status has been sent
        log.error("generation failed: %s", error)
        yield _event({"error": "Request failed during generation", "error_type": "generation"})


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


def _event(value: dict[str, Any]) -> bytes:
    return b"data:" + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def _shape(token: Token) -> dict[str, Any]:
    return {"id": token.id, "text": token.text, "logprob": token.logprob, "special": token.special}


def _details(last: Token, generation: Generation, parameters: Parameters) -> dict[str, Any]:
    return {
        "finish_reason": last.finish,
        "generated_tokens": generation.tokens,
        "input_length": generation.input_tokens,
        "seed": parameters.seed,
    }


def _error(status: int, message: str, kind: str, **headers: str) -> Response:
    response = jsonify(error=message, error_type=kind)
    response.status_code = status
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


@routes.app_errorhandler(Invalid)
def _invalid(error: Invalid) -> Response:
    return _error(422, f"Input validation error: {error}", "validation")


@routes.app_errorhandler(Overloaded)
def _overloaded(_: Overloaded) -> Response:
    return _error(429, "Model is overloaded", "overloaded", Retry_After="1")


@routes.app_errorhandler(Loading)
def _loading(error: Loading) -> Response:
    response = jsonify(error=f"Model {_engine().name} is currently loading", estimated_time=error.estimated_s)
    response.status_code = 503
    return response


@routes.app_errorhandler(RuntimeError)
def _failed(error: RuntimeError) -> Response:
    log.error("generation failed: %s", error)
    return _error(500, "Request failed during generation", "generation")


@routes.app_errorhandler(HTTPException)
def _other(error: HTTPException) -> Response:
    status = error.code or 500
    return _error(status, error.description or error.name, "validation" if status < 500 else "generation")
