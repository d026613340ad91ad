"""What it means when the model's server cannot be reached, or answers with an error."""

import json
from contextlib import suppress
from http.client import HTTPException, RemoteDisconnected
from typing import Any

import requests

from chat.errors import ModelBroke, ModelError, ModelGarbage, ModelRefused, ModelTimeout, ModelUnavailable

_DETAIL_CHARS = 200
# A piece of a prompt that is as long counts as repeated.
_PIECE_CHARS = 12
# OpenAI's 429 that no waiting ends.
_NO_QUOTA = "insufficient_quota"


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
    value = _object(body)
    status, kind, said = _words(value, secrets, response.status_code)
    detail = f"The model's server answered {status}" + (f": {said}" if said else ".")
    if status in (429, 502, 503, 504) and kind != _NO_QUOTA:
        asked_s = _seconds(response.headers.get("Retry-After"))
        return Overloaded(detail, asked_s or _seconds(value.get("estimated_time")), firm=asked_s > 0)
    # TGI says 424 when it fails to write.
    return (ModelBroke if status == 424 or status >= 500 else ModelRefused)(detail)


def told(value: dict[str, Any], secrets: list[str]) -> ModelError:
    """An error inside an answer with status 200, where all goes that is found out after the headers.

    TGI's has an `error_type`; OpenAI's a `type` and, from vLLM, llama.cpp and others, a status for `code`.
    """
    code, kind, said = _words(value, secrets)
    detail = f"The model's server broke off: {said}" if said else ""
    if kind != _NO_QUOTA and (code in (429, 503) or kind.startswith(("overloaded", "rate_limit"))):
        return Overloaded(detail)
    client_error = isinstance(code, int) and 400 <= code < 500
    refusal = client_error or kind in ("validation", "invalid_request_error", _NO_QUOTA)
    return (ModelRefused if refusal else ModelBroke)(detail)


def _words(value: dict[str, Any], secrets: list[str], status: Any = None) -> tuple[Any, str, str]:
    """An error's status and kind, and what is said: in a field of its own, as OpenAI does it, or as FastAPI does."""
    error = value["error"] if isinstance(value.get("error"), dict) else value
    status = status or error.get("code")
    message = error.get("message", error.get("detail", error.get("error")))
    # Who refuses an access token may repeat some of it.
    said = "" if status in (401, 403, "invalid_api_key") else one_line(message, secrets)
    return status, str(value.get("error_type") or error.get("type")), said


def one_line(value: Any, secrets: list[str]) -> str:
    """A server's words, short and on one line; nothing if they repeat a secret, or a piece of one."""
    said = " ".join(value.split())[:_DETAIL_CHARS] if isinstance(value, str) else ""
    lines = (" ".join(secret.split()) for secret in secrets if len(secret) > 3)
    pieces = (line[n : n + _PIECE_CHARS] for line in lines for n in range(max(1, len(line) - _PIECE_CHARS + 1)))
    return "" if any(piece in said for piece in pieces) else said


def _object(body: bytes) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        if isinstance(value := json.loads(body), dict):
            return value
    return {}


def _seconds(value: Any) -> float:
    """A number of seconds; 0 for all else (Retry-After may be a date: then our own pace is good enough)."""
    with suppress(TypeError, ValueError, OverflowError):
        if 0 < (seconds := float(value)) < float("inf"):
            return seconds
    return 0.0
