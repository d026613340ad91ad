"""Other sites whose pages may use this server: the exact origins of CORS_ORIGINS, and no others, and as guests only."""

from flask import Flask, Response, request

from app.parts import parts
from chat.errors import CrossSite

# Routes that change what only its own pages may: whatever CORS_ORIGINS says.
_OWN = ("/api/accounts", "/api/login", "/api/logout", "/api/me")
_ROUTES = ("/api/", "/test", "/token", "/refresh_token")
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Content-Type, Accept, Last-Event-ID",
    "Access-Control-Max-Age": "3600",
}
_EXPOSED = "Location, Retry-After, Content-Disposition, X-Request-ID"


def register(app: Flask, origins: tuple[str, ...]) -> None:
    """Refuse what pages of other sites may not do, answer preflights, and mark the answers that others may read."""
    app.before_request(_refuse)
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
    return origin is None or _allowed(origin) or _own(origin)


def is_foreign() -> bool:
    """Whether a page of another origin asks, be it of the same site or another port: cookies do not tell those apart.

    A client that sends neither header is no browser.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site:
        return site not in ("same-origin", "none")
    return origin is not None and not _own(origin)


def _refuse() -> None:
    safe = request.method in ("GET", "HEAD", "OPTIONS")
    if not safe and is_foreign() and (request.path.startswith(_OWN) or not _concerned()):
        raise CrossSite()


def _own(origin: str) -> bool:
    scheme, _, host = origin.lower().partition("://")
    return host == request.headers.get("Host", "").lower() != "" and (scheme == "https" or not request.is_secure)


def _concerned() -> bool:
    return request.path.startswith(_ROUTES) and _allowed(request.headers.get("Origin", ""))


def _allowed(origin: str) -> bool:
    return origin in (allowed.rstrip("/") for allowed in parts().config.cors_origins)
