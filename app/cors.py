"""Other sites whose pages may use this server: the exact origins of CORS_ORIGINS, and no others."""

from urllib.parse import urlsplit

from flask import Flask, Response, request

from app.parts import parts

_ROUTES = ("/api/", "/test", "/token", "/refresh_token")
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Content-Type, Accept, Last-Event-ID",
    "Access-Control-Max-Age": "3600",
}
_EXPOSED = "Location, Retry-After, Content-Disposition"


def register(app: Flask, origins: tuple[str, ...]) -> None:
    """Answer preflights, and mark the answers that pages of these origins may read."""
    if not origins:
        return

    @app.before_request
    def preflight() -> Response | None:
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
            return None
        return Response(status=204, headers=_PREFLIGHT if _concerned() else None)

    @app.after_request
    def mark(response: Response) -> Response:
        if request.path.startswith(_ROUTES):
            response.vary.add("Origin")
            if _concerned():
                response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
                response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        return response


def may_connect() -> bool:
    """Whether the page that opens this WebSocket may: browsers ask nobody else, so every site could.

    A client without an Origin is no browser, and may.
    """
    origin = request.headers.get("Origin")
    if origin is None or _allowed(origin):
        return True
    return urlsplit(origin).netloc.lower() == request.headers.get("Host", "").lower() != ""


def _concerned() -> bool:
    return request.path.startswith(_ROUTES) and _allowed(request.headers.get("Origin", ""))


def _allowed(origin: str) -> bool:
    return origin in (allowed.rstrip("/") for allowed in parts().config.cors_origins)
