"""Errors as the client sees them: RFC 9457 problem details with a stable `code`."""

from typing import Any

from flask import Flask, Response, json
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES
from wsproto.utilities import RemoteProtocolError

from chat import errors

STATUSES: dict[int, tuple[type[errors.ChatError], ...]] = {
    401: (errors.LoginFailed, errors.LoginRequired),
    403: (errors.CrossSite, errors.RegistrationClosed),
    404: (errors.ConversationGone, errors.MessageUnknown),
    409: (errors.MessageConflict, errors.NotLastTurn, errors.Busy, errors.NameTaken),
    429: (errors.QueueFull, errors.RateLimited, errors.TooManyStreams),
    503: (errors.StoreUnavailable, errors.StoreUnsuitable, errors.SchemaTooNew),
}
CODES = {413: "too_large", 422: "invalid", 500: "internal"}
RETRY_AFTER_S = {errors.QueueFull: 2, errors.StoreUnavailable: 1, errors.TooManyStreams: 10}


def register(app: Flask) -> None:
    """Answer every error of the application with a problem."""
    app.register_error_handler(errors.ChatError, of_chat)
    app.register_error_handler(HTTPException, of_http)
    app.register_error_handler(RemoteProtocolError, of_handshake)
    app.register_error_handler(ParseException, lambda _: problem(400, "bad_request", "Not a body in chunks."))


def status_of(error: errors.ChatError) -> int:
    """The HTTP status of an error of ours."""
    return next((status for status, kinds in STATUSES.items() if isinstance(error, kinds)), 500)


def retry_after(error: errors.ChatError) -> dict[str, str]:
    """The header that says when to try again, where trying again helps."""
    if isinstance(error, errors.RateLimited):
        return {"Retry-After": str(error.wait_s)}
    return {"Retry-After": str(RETRY_AFTER_S[type(error)])} if type(error) in RETRY_AFTER_S else {}


def of_chat(error: errors.ChatError) -> Response:
    """An error of the core."""
    return problem(status_of(error), error.code, error.detail, retry_after(error))


def of_http(error: HTTPException) -> Response:
    """An error of Flask or of the argument parser. What went wrong inside is logged by Flask and not told."""
    status = error.code or 500
    # webargs leaves {where: {field: [what is wrong]}} on the error.
    told = getattr(error, "data", {}).get("messages", {})
    more = {"fields": next(iter(told.values()))} if told else {}
    detail = "Some fields are not as they should be." if more else error.description
    headers = {name: value for name, value in error.get_headers() if name.lower() in ("allow", "retry-after")}
    code = CODES.get(status) or error.name.lower().replace(" ", "_")
    return problem(status, code, detail, headers, **more)


def of_handshake(error: RemoteProtocolError) -> Response:
    """A request that wants to become a WebSocket and is not a valid handshake."""
    return problem(400, "bad_handshake", f"Not a WebSocket handshake: {error}")


def problem(status: int, code: str, detail: str | None, headers: dict[str, str] | None = None, **more: Any) -> Response:
    title = HTTP_STATUS_CODES.get(status, "Error")
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail or title, "code": code, **more}
    return Response(json.dumps(body), status, headers, content_type="application/problem+json")
