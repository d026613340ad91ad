"""The API driven from its own document, with all of schemathesis' checks: what the document allows is taken in, what it
forbids is refused, and every answer is what it says."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance

from app import create_app
from chat.config import Config
from chat.conversation import Conversation
from chat.store import Store
from chat.turns import Turn

FUZZ = int(os.environ.get("FUZZ", "1"))  # `make fuzz` sets it
# Requests that end the session that they come with, so they come without one.
ENDING = ("/api/accounts", "/api/login", "/api/logout", "/api/me/sessions")

app = create_app(Config(secret_key="for tests"))
with app.test_client() as client:
    document: dict[str, Any] = client.get("/openapi.json").json
schema = schemathesis.openapi.from_dict(document)


@pytest.fixture(scope="module")
def conversations(redis_url: str) -> Iterator[Store]:
    store = Store(Config(redis_url=redis_url))
    store.client.flushdb()  # also what counts the attempts to log in
    yield store
    store.close()


@pytest.fixture(scope="module")
def cookies(server: str, conversations: Store) -> dict[str, str]:
    """Of an account that is logged in."""
    account = {"name": "fuzz", "password": "long enough"}
    made = requests.post(f"{server}/api/accounts", json=account, timeout=20)
    assert made.status_code == 201
    return made.cookies.get_dict()


def test_every_route_is_in_the_document() -> None:
    routes = {
        (rule.rule.replace("<path:", "<").replace("<", "{").replace(">", "}"), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
        if method not in ("HEAD", "OPTIONS")
    }
    documented = {(path, method) for path, item in document["paths"].items() for method in item}
    assert routes == {(path, method) for path, method in documented if method != "parameters"}


def conversation(store: Store) -> str:
    chat = Conversation.create(store, "Ada")
    for message_id in ("m1", "m2"):
        chat.accept("Hi", message_id)
    turn = Turn.begin(store, chat.id)
    assert turn
    turn.finish("completed", "Hello")
    return chat.id


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=10 * FUZZ, suppress_health_check=list(HealthCheck), deadline=None)
def test_the_api_is_what_its_document_says(
    case: schemathesis.Case, server: str, conversations: Store, cookies: dict[str, str]
) -> None:
    # Every other id leads to a conversation, in which one message is answered and one waits.
    if len(case.path_parameters.get("conversation_id", "")) % 2:
        case.path_parameters["conversation_id"] = conversation(conversations)
        case.path_parameters.update({"message_id": "m1"} if "message_id" in case.path_parameters else {})
    excluded = [not_a_server_error] if case.path == "/readyz" else []  # no worker runs
    if not case.operation.tags:
        excluded.append(positive_data_acceptance)
    case.call_and_validate(
        base_url=server,
        headers={"Accept": "application/json"},
        cookies={} if case.path in ENDING else cookies,
        timeout=20,
        excluded_checks=excluded,
    )
