"""The routes of OpenAI's completions: the same replies, but without the stop string that ends them."""

import time
from collections.abc import Iterator
from uuid import uuid4

from flask import Blueprint, Response, jsonify

from gptj.server.engine import Generation
from gptj.server.exchange import Json, asked, engine, stream, write
from gptj.server.parameters import read_completion

routes = Blueprint("completions", __name__, url_prefix="/v1")


@routes.get("/models")
def models() -> Response:
    """What is served; requests may name whatever they like."""
    return jsonify(
        object="list", data=[{"id": engine().folder.name, "object": "model", "created": 0, "owned_by": "parley"}]
    )


@routes.post("/completions")
def complete() -> Response:
    wanted = asked(read_completion)
    about = {"id": f"cmpl-{uuid4().hex}", "object": "text_completion", "created": int(time.time())}
    about["model"] = engine().folder.name
    if wanted.stream:
        return stream(wanted, lambda generation: _chunks(about, generation))
    generation, _ = write(wanted)
    return jsonify(about | _choice(_certain(generation), generation.finish) | {"usage": _usage(generation)})


def _chunks(about: Json, generation: Generation) -> Iterator[Json | str | None]:
    sent = 0
    for _ in generation:
        text = _certain(generation)[sent:]
        sent += len(text)
        yield about | _choice(text, generation.finish) if text or generation.finish else None
    if generation.asked.details:
        yield about | {"choices": [], "usage": _usage(generation)}
    yield "[DONE]"


def _certain(generation: Generation) -> str:
    """The text so far, up to a stop string or what may become one."""
    text, stops = generation.text, generation.asked.stop
    begun = (len(text) - n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n]))
    met = (at for stop in stops if (at := text.find(stop)) >= 0)
    ends = {None: begun, "stop_sequence": met}.get(generation.finish) or ()
    return generation.asked.before + text[: min(ends, default=len(text))]


def _choice(text: str, finish: str | None) -> Json:
    told = "stop" if finish in ("eos_token", "stop_sequence") else finish
    return {"choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": told}]}


def _usage(generation: Generation) -> Json:
    read, written = generation.input_tokens, generation.tokens
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
