"""flask-smorest, typed, with a JSON parser that fails clearly and schemas that refuse unknown fields."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import flask_smorest
import orjson
from flask import Request
from marshmallow import RAISE, Schema, ValidationError
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import UnsupportedMediaType

from app.schemas import Problem

F = TypeVar("F", bound=Callable[..., Any])


class Parser(FlaskParser):
    """Reads arguments. Whatever is wrong with a JSON body is told in the same shape as a wrong field."""

    DEFAULT_UNKNOWN_BY_LOCATION = FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION | {"query": RAISE, "json": RAISE}

    def load_json(self, req: Request, schema: Schema) -> Any:
        """The body. orjson, as it refuses what Python's json takes: NaN, halves of characters, deep nesting."""
        body = req.get_data()
        # werkzeug cuts a body of unannounced length at the limit, and complains at the next read only.
        req.stream.read(1)
        if not body:
            return {}
        if not req.is_json:
            raise UnsupportedMediaType("Send a body of type application/json.")
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise ValidationError({"body": [f"Not valid JSON: {error}."]}) from error


class Api(flask_smorest.Api):  # type: ignore[misc]
    """Makes the OpenAPI document; how errors look is decided in problems.py."""

    ERROR_SCHEMA = Problem


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """A blueprint whose routes are documented."""

    ARGUMENTS_PARSER = Parser()

    if TYPE_CHECKING:  # flask-smorest has no types of its own

        def get(self, rule: str) -> Callable[[F], F]: ...
        def post(self, rule: str) -> Callable[[F], F]: ...
        def patch(self, rule: str) -> Callable[[F], F]: ...
        def delete(self, rule: str) -> Callable[[F], F]: ...
        def arguments(self, schema: type[Schema], *, location: str = "json") -> Callable[[F], F]: ...
        def response(self, status: int, schema: type[Schema] | None = None, **doc: Any) -> Callable[[F], F]: ...
