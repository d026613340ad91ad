"""The pages for people: the chat at /, and the documented API at /docs. No script or style comes from elsewhere."""

import mimetypes
from pathlib import Path

import flask_swagger_ui
from flask import Blueprint, Response, render_template, request, send_from_directory

blueprint = Blueprint("pages", __name__)
# What `npm run build` makes of frontend/.
CLIENT = Path(__file__).resolve().parents[1] / "frontend" / "dist"
SWAGGER = Path(flask_swagger_ui.__file__).with_name("dist")
YEAR_S = 365 * 24 * 3600
_OWN = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; " \
       "form-action 'self'; frame-ancestors 'none'; "  # fmt: skip
POLICY = _OWN + "style-src 'self'"
# Swagger UI writes style attributes, but no style elements.
DOCS_POLICY = POLICY + "; style-src-attr 'unsafe-inline'"


@blueprint.get("/")
@blueprint.get("/c/<conversation_id>")
def index(conversation_id: str = "") -> Response:
    """The chat; which conversation it shows is for the page to find in its address."""
    if not (CLIENT / "index.html").exists():
        return Response("The browser client is not built; `make client` does it.\n", 503, content_type="text/plain")
    response = send_from_directory(CLIENT, "index.html")
    response.headers["Cache-Control"] = "no-cache"
    return response


@blueprint.get("/assets/<path:name>")
def client_asset(name: str) -> Response:
    """A script or style of the client. Its name changes with its content, so it may be kept for ever."""
    zipped = request.accept_encodings.quality("gzip") > 0 and (CLIENT / "assets" / f"{name}.gz").is_file()
    response = send_from_directory(
        CLIENT / "assets", f"{name}.gz" if zipped else name, mimetype=mimetypes.guess_type(name)[0], max_age=YEAR_S
    )
    response.cache_control.immutable = True
    response.vary.add("Accept-Encoding")
    if zipped:
        response.headers["Content-Encoding"] = "gzip"
    return response


@blueprint.get("/docs")
def docs() -> str:
    """The API, to read and to try."""
    return render_template("docs.html")


@blueprint.get("/docs/assets/<path:name>")
def asset(name: str) -> Response:
    """A file of Swagger UI."""
    return send_from_directory(SWAGGER, name)


@blueprint.after_app_request
def protect(response: Response) -> Response:
    """Headers that keep a page from being framed, guessed at or used to run what is not ours."""
    policy = DOCS_POLICY if request.path == "/docs" else POLICY
    response.headers["Content-Security-Policy"] = policy
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    if request.is_secure:
        response.headers["Strict-Transport-Security"] = f"max-age={YEAR_S}"
    response.headers.setdefault("Cache-Control", "no-store")
    return response
