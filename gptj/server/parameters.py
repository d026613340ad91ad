"""What a request asks for, checked. Names and meanings are Text Generation Inference's (TGI)."""

from dataclasses import dataclass
from typing import Any

MAX_STOPS = 16


class Refused(Exception):
    """A request that gets no reply: `kind` is TGI's error_type, and `retry_s` when it may be repeated, if ever."""

    def __init__(self, kind: str, message: str, retry_s: int = 0) -> None:
        super().__init__(message)
        self.kind, self.retry_s = kind, retry_s


@dataclass(frozen=True)
class Request:
    """A prompt, what to put before the reply, whether to send it while it is written, and how to write it.

    `seed` is taken but has no effect: CTranslate2 seeds each of its threads only once.
    """

    prompt: str
    before: str
    stream: bool = False
    max_new_tokens: int = 100
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    do_sample: bool | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    truncate: int | None = None
    details: bool = False
    wait_for_model: bool = False

    def sampling(self, tokens: int) -> dict[str, float]:
        """How CTranslate2 draws one of so many tokens. As in TGI a setting asks for it, unless do_sample says no."""
        top_k = self.top_k and min(self.top_k, tokens)
        drawn = {"sampling_temperature": self.temperature, "sampling_topk": top_k, "sampling_topp": self.top_p}
        given = {name: value for name, value in drawn.items() if value is not None}
        if self.temperature == 0 or self.do_sample is False or not (given or self.do_sample):
            return {}
        return {"sampling_topk": 0} | given


# Type, smallest and largest value. TGI refuses a temperature of 0, which here means "always the likeliest word".
_LIMITS: dict[str, tuple[type, float, float]] = {
    "max_new_tokens": (int, 1, 100_000), "truncate": (int, 1, 1_000_000), "temperature": (float, 0, 100),
    "top_k": (int, 0, 1_000_000), "top_p": (float, 1e-6, 1), "repetition_penalty": (float, 1e-6, 100),
    "seed": (int, -(2**63), 2**64 - 1), "do_sample": (bool, 0, 1), "return_full_text": (bool, 0, 1),
    "details": (bool, 0, 1), "stream": (bool, 0, 1), "wait_for_model": (bool, 0, 1),
}  # fmt: skip
_TOLD = {int: "a whole number", float: "a number", bool: "true or false", dict: "a JSON object", str: "a string"}
# OpenAI's names, where they are others.
OPENAI = {"max_new_tokens": "max_tokens", "inputs": "prompt", "return_full_text": "echo"}
# What would make another reply and cannot be had, with the value that asks for nothing. What is unknown to both
# protocols is left aside, as TGI does.
_REFUSED: dict[str, Any] = {
    "decoder_input_details": False, "top_n_tokens": 0, "grammar": None, "best_of": 1, "suffix": "", "typical_p": 1,
    "logprobs": None, "logit_bias": {}, "presence_penalty": 0, "frequency_penalty": 0, "watermark": False, "n": 1,
}  # fmt: skip


def read(body: Any, full: bool = False) -> Request:
    """Read a body; `full` says whether the prompt is part of the text where `return_full_text` does not.

    Raises Refused.
    """
    whole = {"parameters": {}, "options": {}} | _object("body", body)
    given = _object("parameters", whole["parameters"]) | _object("options", whole["options"])
    return _request({"return_full_text": full} | given | {k: whole[k] for k in ("inputs", "stream") if k in whole})


def read_completion(body: Any) -> Request:
    """Read a body of OpenAI's completions. Raises Refused, with TGI's names of the parameters."""
    whole = {"echo": False, "max_tokens": 16, "temperature": 1, "stream_options": {}} | _object("body", body)
    given = whole | {ours: whole[theirs] for ours, theirs in OPENAI.items() if theirs in whole}
    given["details"] = _object("stream_options", whole["stream_options"]).get("include_usage", False)
    # One stop may stand alone, and one prompt in a list.
    if isinstance(stop := given.get("stop"), str):
        given["stop"] = [stop]
    if isinstance(prompt := given.get("inputs"), list) and len(prompt) == 1:
        (given["inputs"],) = prompt
    return _request(given)


def _request(given: dict[str, Any]) -> Request:
    for name, nothing in _REFUSED.items():
        if given.get(name, nothing) != nothing:
            raise Refused("validation", f"`{name}` is not supported")
    values = {name: _check(name, given[name]) for name in (*_LIMITS, "stop") if name in given}
    prompt = _text("inputs", given.get("inputs"))
    return Request(prompt, prompt if values.pop("return_full_text") else "", **values)


def _check(name: str, value: Any) -> Any:
    if name == "stop":
        if not isinstance(value, list) or len(value) > MAX_STOPS:
            raise Refused("validation", f"`{name}` must be a list of at most {MAX_STOPS} strings")
        return tuple(_text("stop", stop) for stop in value)
    kind, least, most = _LIMITS[name]
    if not least <= _typed(name, value, kind) <= most:
        raise Refused("validation", f"`{name}` must be between {least:g} and {most:g}")
    return value


def _text(name: str, value: Any) -> str:
    text: str = _typed(name, value, str)
    # Half a character can be written in JSON, and nowhere else.
    if not text or any("\ud800" <= character <= "\udfff" for character in text):
        raise Refused("validation", f"`{name}` must be whole characters, and cannot be empty")
    return text


def _object(name: str, value: Any) -> dict[str, Any]:
    """A JSON object, without what is null: that is as if it were not there."""
    return {key: item for key, item in _typed(name, value, dict).items() if item is not None}


def _typed(name: str, value: Any, kind: type) -> Any:
    """The value, if JSON has it as this type; a whole number is a number too."""
    if type(value) is not kind and (type(value), kind) != (int, float):
        raise Refused("validation", f"`{name}` must be {_TOLD[kind]}")
    return value
