"""The routes of OpenAI's completions: the same replies, but without the stop string that ends them."""

import time
from collections.abc import Iterator
from uuid import uuid4

from flask import Blueprint, Response, jsonify

from gptj.server.engine import Generation
from gptj.server.exchange import Json, Tokens, asked, engine, stream, write
from gptj.server.parameters import read_completion

routes = Blueprint("completions", __name__, url_prefix="/v1")


@routes.get("/models")
def models() -> Response:
    """What is served; requests may name whatever they like."""
    return jsonify(object="list", data=[{"id": engine().name, "object": "model", "created": 0, "owned_by": "parley"}])


@routes.post("/completions")
def complete() -> Response:
    wanted = asked(read_completion)
    about = {"id": f"cmpl-{uuid4().hex}", "object": "text_completion", "created": int(time.time())}
    about["model"] = engine().name
    if wanted.stream:
        return stream(wanted, lambda generation, tokens: _chunks(about, generation, tokens))
    generation, tokens = write(wanted)
    finish = tokens[-1].finish if tokens else None
    text = wanted.before + generation.text[: _certain_to(generation, finish)]
    return jsonify(about | _choice(text, finish) | {"usage": _usage(generation)})


def _chunks(about: Json, generation: Generation, tokens: Tokens) -> Iterator[Json | str | None]:
    if generation.asked.before:
        yield about | _choice(generation.asked.before, None)
    sent = 0
    for token in tokens:
        finish = token.finish if token else None
        text = generation.text[sent : _certain_to(generation, finish)]
        sent += len(text)
        yield about | _choice(text, finish) if text or finish else None
    if generation.asked.details:
        yield about | {"choices": [], "usage": _usage(generation)}
    yield "[DONE]"


def _certain_to(generation: Generation, finish: str | None) -> int:
    """How much of the text is neither a stop string nor what may become one."""
    text, stops = generation.text, generation.asked.stop
    if finish == "stop_sequence":
        return min(at for stop in stops if (at := text.find(stop)) >= 0)
    begun = (n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n]))
    return len(text) - (0 if finish else max(begun, default=0))


def _choice(text: str, finish: str | None) -> Json:
    told = "stop" if finish in ("eos_token", "stop_sequence") else finish
    return {"choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": told}]}


def _usage(generation: Generation) -> Json:
    read, written = generation.input_tokens, generation.tokens
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
