"""What a request asks for, checked. Names and meanings are Text Generation Inference's (TGI)."""

from dataclasses import dataclass
from typing import Any

MAX_STOPS = 16


class Invalid(Exception):
    """The request has a value that cannot be used; the message says which."""


@dataclass(frozen=True)
class Request:
    """A prompt, what to put before the reply, whether to send it while it is written, and how to write it.

    `seed` is taken but has no effect: CTranslate2 seeds each of its threads only once.
    """

    prompt: str
    before: str
    stream: bool
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

    @property
    def sampled(self) -> bool:
        """Whether words are drawn by chance. As in TGI a setting for it asks for it, unless do_sample says no."""
        if self.temperature == 0 or self.top_k == 1 or self.do_sample is False:
            return False
        return bool(self.do_sample) or any(v is not None for v in (self.temperature, self.top_k, self.top_p))


# Smallest and largest values; TGI also refuses a temperature of 0, which here means "always the likeliest word".
_LIMITS: dict[str, tuple[float, float]] = {
    "max_new_tokens": (1, 100_000),
    "temperature": (0, 100),
    "top_k": (0, 1_000_000),
    "top_p": (1e-6, 1),
    "repetition_penalty": (1e-6, 100),
    "seed": (0, 2**64 - 1),
    "truncate": (1, 1_000_000),
}
_FLAGS = ("do_sample", "return_full_text", "details")


def read(body: Any, full: bool) -> Request:
    """Read a body; `full` says whether the prompt is part of the text where `return_full_text` does not.

    Raises Invalid; unknown parameters are left aside, as TGI does.
    """
    if not isinstance(body, dict):
        raise Invalid("the body must be a JSON object")
    given = body.get("parameters")
    if given is not None and not isinstance(given, dict):
        raise Invalid("`parameters` must be an object")
    known = (*_LIMITS, *_FLAGS, "stop")
    values = {name: _check(name, value) for name, value in (given or {}).items() if name in known and value is not None}
    prompt, stream = _text("inputs", body.get("inputs")), _flag("stream", body.get("stream", False))
    return Request(prompt, prompt if values.pop("return_full_text", full) else "", stream, **values)


def _check(name: str, value: Any) -> Any:
    if name in _FLAGS:
        return _flag(name, value)
    if name == "stop":
        if not isinstance(value, list) or len(value) > MAX_STOPS:
            raise Invalid(f"`stop` must be a list of at most {MAX_STOPS} strings")
        return tuple(_text("stop", stop) for stop in value)
    return _number(name, value)


def _number(name: str, value: Any) -> float:
    least, most = _LIMITS[name]
    whole = name not in ("temperature", "top_p", "repetition_penalty")
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise Invalid(f"`{name}` must be a {'whole ' if whole else ''}number")
    if not least <= value <= most:
        raise Invalid(f"`{name}` must be between {least:g} and {most:g}")
    return value


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise Invalid(f"`{name}` must be true or false")
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise Invalid(f"`{name}` must be a string, and cannot be empty")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise Invalid(f"`{name}` must not have half a character")
    return value
