"""What it means when the model's server cannot be reached, or answers with an error."""

import json
import math
from http.client import HTTPException, RemoteDisconnected
from typing import Any

import requests

from chat.errors import ModelBroke, ModelError, ModelGarbage, ModelRefused, ModelTimeout, ModelUnavailable

_DETAIL_CHARS = 200
# A piece of a prompt that is as long counts as repeated.
_PIECE_CHARS = 12


class Overloaded(ModelUnavailable):
    """The model's server is away, loading or full: worth another try.

    It asks to wait `wait_s`; `firm` says that this is no guess.
    """

    def __init__(self, detail: str = "", wait_s: float = 0.0, firm: bool = False) -> None:
        super().__init__(detail)
        self.wait_s, self.firm = wait_s, firm


def unanswered(error: requests.RequestException, fresh: bool) -> ModelError:
    """Why there was no answer; `fresh`: the request had gone out, on a connection made for it."""
    if isinstance(error, requests.exceptions.SSLError):
        return ModelUnavailable("The model's server has no certificate that can be trusted.")
    if isinstance(error, requests.ReadTimeout):
        return ModelTimeout()
    cause = getattr(error.args[0], "args", ())[-1:] if error.args else ()
    no_http = cause and isinstance(cause[0], HTTPException) and not isinstance(cause[0], RemoteDisconnected)
    if no_http or not isinstance(error, requests.ConnectionError):
        return ModelGarbage()
    # A server that took the prompt and then hung up may have died of it. But an idle connection may end just when it
    # is used again, and one that could not be made can be tried again.
    if fresh:
        return ModelBroke("The model's server hung up without an answer.")
    return Overloaded("The model's server cannot be reached.")


def refused(response: requests.Response, body: bytes, secrets: list[str]) -> ModelError:
    """What an answer with another status than 200 means. No secret gets into the error, though the server repeat it."""
    status, value = response.status_code, _object(body)
    said = one_line(_message(value), secrets)
    detail = f"The model's server answered {status}" + (f": {said}" if said else ".")
    if status in (429, 503):
        asked_s = _seconds(response.headers.get("Retry-After"))
        return Overloaded(detail, asked_s or _seconds(value.get("estimated_time")), firm=asked_s > 0)
    return (ModelBroke if status >= 500 else ModelRefused)(detail)


def told(value: dict[str, Any], secrets: list[str]) -> ModelError:
    """An error inside an answer with status 200, where all goes that is found out after the headers.

    TGI's has an `error_type`; OpenAI's a `type` and, from vLLM, llama.cpp and others, a status for `code`.
    """
    said = one_line(_message(value), secrets)
    detail = f"The model's server broke off: {said}" if said else ""
    error = value["error"] if isinstance(value.get("error"), dict) else value
    kind, code = str(value.get("error_type") or error.get("type")), error.get("code")
    if code in (429, 503) or kind.startswith(("overloaded", "rate_limit")):
        return Overloaded(detail)
    client_error = isinstance(code, int) and 400 <= code < 500
    return (ModelRefused if client_error or kind in ("validation", "invalid_request_error") else ModelBroke)(detail)


def _message(value: dict[str, Any]) -> Any:
    """What is said of an error: in a field of its own, as OpenAI does it, or as FastAPI does."""
    error = value.get("error", value)
    return error.get("message", error.get("detail")) if isinstance(error, dict) else error


def one_line(value: Any, secrets: list[str]) -> str:
    """A server's words, short and on one line; nothing if they repeat a secret, or a piece of one."""
    said = " ".join(value.split())[:_DETAIL_CHARS] if isinstance(value, str) else ""
    lines = (" ".join(secret.split()) for secret in secrets if len(secret) > 3)
    pieces = (line[n : n + _PIECE_CHARS] for line in lines for n in range(max(1, len(line) - _PIECE_CHARS + 1)))
    return "" if any(piece in said for piece in pieces) else said


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _seconds(value: Any) -> float:
    """A number of seconds; 0 for all else (Retry-After may be a date: then our own pace is good enough)."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return 0.0
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0
