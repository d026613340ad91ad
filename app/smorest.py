"""flask-smorest, typed, with a JSON parser that fails clearly and schemas that refuse unknown fields."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import flask_smorest
import orjson
from flask import Flask, Request
from flask_smorest.utils import load_info_from_docstring
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
    # Of what does not name its own, which are the errors.
    DEFAULT_RESPONSE_CONTENT_TYPE = "application/problem+json"

    def describe_others(self, app: Flask) -> None:
        """Name also the routes that are no part of the API proper: pages, sockets, older wire formats."""
        described = self.spec.to_dict()["paths"]
        for rule in app.url_map.iter_rules():
            if self.flask_plugin.flaskpath2openapi(rule.rule) not in described:
                about = load_info_from_docstring(app.view_functions[rule.endpoint].__doc__)
                about["responses"] = {"default": {"description": "See docs/api.md."}}
                rule.defaults = rule.defaults or {}  # which flask-smorest takes for granted
                method = "post" if "POST" in (rule.methods or ()) else "get"
                self.spec.path(rule=rule, operations={method: about})


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """A blueprint whose routes are documented."""

    ARGUMENTS_PARSER = Parser()

    def response(
        self, status: int, schema: type[Schema] | dict[str, str] | None = None, content_type: str = "application/json"
    ) -> Callable[[F], F]:
        found: Callable[[F], F] = super().response(status, schema, content_type=content_type)
        return found

    if TYPE_CHECKING:  # flask-smorest has no types of its own

        def get(self, rule: str) -> Callable[[F], F]: ...
        def post(self, rule: str) -> Callable[[F], F]: ...
        def patch(self, rule: str) -> Callable[[F], F]: ...
        def delete(self, rule: str) -> Callable[[F], F]: ...
        def arguments(self, schema: type[Schema], **doc: Any) -> Callable[[F], F]: ...
