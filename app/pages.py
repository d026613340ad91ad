"""The pages for people: a plain chat at /, and the documented API at /docs. No script or style comes from elsewhere."""

from pathlib import Path

import flask_swagger_ui
from flask import Blueprint, Response, render_template, request, send_from_directory

blueprint = Blueprint("pages", __name__)
SWAGGER = Path(flask_swagger_ui.__file__).with_name("dist")
_OWN = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; " \
       "form-action 'self'; frame-ancestors 'none'; "  # fmt: skip
POLICY = _OWN + "style-src 'self'"
# Swagger UI writes style attributes.
DOCS_POLICY = _OWN + "style-src 'self' 'unsafe-inline'"


@blueprint.get("/")
def index() -> str:
    """The chat."""
    return render_template("index.html")


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
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    if request.path.startswith("/api/"):
        response.headers.setdefault("Cache-Control", "no-store")
    return response
