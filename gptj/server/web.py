"""The model server as an application: Text Generation Inference's (TGI) routes, errors, and what operators ask for."""

from collections.abc import Iterator

from flask import Blueprint, Flask, Response, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from werkzeug.exceptions import HTTPException

from chat import VERSION
from gptj.server import completions
from gptj.server.engine import REPLIES, Engine, Generation
from gptj.server.exchange import Json, asked, engine, log, problem, stream, write
from gptj.server.parameters import Refused, Request, read

routes = Blueprint("generation", __name__)


def create_app(engine: Engine) -> Flask:
    """The server as a WSGI application."""
    app = Flask("gptj.server", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 1_000_000
    app.extensions["engine"] = engine
    app.register_blueprint(routes)
    app.register_blueprint(completions.routes)
    return app


@routes.post("/")
@routes.post("/models/<path:_name>")
def root(_name: str = "") -> Response:
    """The old endpoint: a list comes back, the prompt is part of the text unless that is declined."""
    wanted = asked(lambda body: read(body, full=True))
    return stream(wanted, _events) if wanted.stream else jsonify([_whole(wanted)])


@routes.post("/generate")
@routes.post("/models/<path:_name>/generate")
def generate(_name: str = "") -> Response:
    return jsonify(_whole(asked(read)))


@routes.post("/generate_stream")
@routes.post("/models/<path:_name>/generate_stream")
def generate_stream(_name: str = "") -> Response:
    return stream(asked(read), _events)


@routes.post("/tokenize")
@routes.post("/models/<path:_name>/tokenize")
def tokenize(_name: str = "") -> Response:
    """The tokens of a prompt, so that a client can see whether it has room."""
    read_in = engine().loaded().tokenizer.encode(asked(read).prompt)
    each = zip(read_in.ids, read_in.tokens, read_in.offsets, strict=True)
    return jsonify([{"id": id, "text": text, "start": start, "stop": stop} for id, text, (start, stop) in each])


@routes.get("/health")
def health() -> Response:
    engine().loaded()
    return Response(status=200)


@routes.get("/metrics")
def metrics() -> Response:
    """In Prometheus' text format."""
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)


@routes.get("/info")
def info() -> Response:
    served = engine().loaded()
    return jsonify(
        model_id=served.folder.name, model_dtype=served.model.compute_type, model_device_type=served.model.device,
        max_input_tokens=served.context_tokens - 1, max_total_tokens=served.context_tokens,
        max_concurrent_requests=served.config.gptj_slots, version=VERSION,
    )  # fmt: skip


def _whole(asked: Request) -> Json:
    generation, tokens = write(asked)
    answer: Json = {"generated_text": asked.before + generation.text}
    if asked.details and tokens:
        answer["details"] = _details(generation) | {"prefill": [], "tokens": [vars(token) for token in tokens]}
    return answer


def _events(generation: Generation) -> Iterator[Json | None]:
    end = Json(generated_text=None, details=None)
    for token in generation:
        if generation.finish:
            end = Json(generated_text=generation.asked.before + generation.text, details=_details(generation))
        yield {"index": generation.tokens, "token": vars(token)} | end if token else None


def _details(generation: Generation) -> Json:
    lengths = {"generated_tokens": generation.tokens, "input_length": generation.input_tokens}
    return {"finish_reason": generation.finish, "seed": generation.asked.seed} | lengths


@routes.app_errorhandler(Refused)
def _refused(error: Refused) -> tuple[Json, int, dict[str, str]]:
    REPLIES.labels(error.kind).inc(request.method == "POST")
    if error.kind == "validation":
        return problem(error.kind, str(error)), 400 if request.path.startswith("/v1/") else 422, {}
    status, more = (429, {}) if error.kind == "overloaded" else (503, {"estimated_time": error.retry_s})
    return problem(error.kind, str(error)) | more, status, {"Retry-After": str(error.retry_s)}


@routes.app_errorhandler(RuntimeError)
@routes.app_errorhandler(ValueError)
def _failed(error: Exception) -> tuple[Json, int]:
    log.error("generation failed: %s", error)
    return problem("generation", "Request failed during generation"), 500


@routes.app_errorhandler(HTTPException)
def _other(error: HTTPException) -> tuple[Json, int]:
    status = error.code or 500
    return problem("validation" if status < 500 else "generation", error.description or error.name), status
