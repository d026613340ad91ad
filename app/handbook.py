"""The wire format of "How to build an AI chatbot with Redis, Python and GPT", so that its browser client works here."""

import time
from uuid import uuid4

from flask import Blueprint, Response, request
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException

from app import apology, rates
from app.api import find
from app.logins import check
from app.parts import parts
from app.problems import retry_after, status_of
from app.schemas import NAME_MAX_CHARS, check_text
from app.sockets import PING_S, WebSocket, converse, route
from chat.conversation import Conversation, Json
from chat.errors import ChatError, ConversationGone
from chat.events import Event, Position, dumps, iso
from tasks.bell import ring

blueprint = Blueprint("handbook", __name__)
PREFIXES = {"human": "Human: ", "bot": "Bot: "}


@blueprint.get("/test")
def test() -> Json:
    """Whether the server is there."""
    return {"msg": "API is Online"}


@blueprint.post("/token")
def token() -> Json:
    """Make a session for a name, which may come in the address, a form or JSON."""
    posted = request.get_json() if request.is_json else request.form
    name = request.args.get("name") or (posted.get("name") if hasattr(posted, "get") else None)
    if not isinstance(name, str):
        raise ValidationError("Enter a valid name")
    try:
        check_text(name, NAME_MAX_CHARS)
    except ValidationError as error:
        raise ValidationError("Enter a valid name") from error
    rates.check("conversations")
    return _session(Conversation.create(parts().store, name).snapshot(), [])


@blueprint.get("/refresh_token")
def refresh_token() -> Json:
    """A session with its history."""
    conversation = find(request.args.get("token", ""))
    snapshot = conversation.snapshot()
    # By id, as a message may begin to be answered in between.
    messages = {message["id"]: message for message in [*conversation.history(), *snapshot["pending"]]}
    return _session(snapshot, [_message(message, PREFIXES[message["role"]]) for message in messages.values()])


@route(blueprint, "/chat")
def chat(ws: WebSocket) -> None:
    """Plain text in, one JSON object out for each reply."""
    conversation = find(request.args.get("token", ""))
    replies = _Replies(conversation.snapshot())
    events = parts().hub.follow(conversation, replies.position, PING_S)

    def tell(event: Event) -> None:
        for reply in replies.new(event):
            ws.send(dumps(reply))

    converse(ws, events, tell, lambda text: _hear(ws, conversation, text))


class _Replies:
    """Which replies the client has not had yet, also when the store lost its place and sends a reset."""

    def __init__(self, snapshot: Json) -> None:
        self.position = Position.parse(snapshot["position"])
        self._had = {message["id"] for message in snapshot["messages"]}

    def new(self, event: Event) -> list[Json]:
        """The replies in an event, as the client is sent them. A stopped turn has the text that it got to."""
        content = event.content
        messages = content["messages"] if event.type == "reset" else [content.get("message", {})]
        replies = [m for m in messages if m.get("role") == "bot" and m["id"] not in self._had]
        self._had.update(reply["id"] for reply in replies)
        return [_message(reply) for reply in replies]


def _hear(ws: WebSocket, conversation: Conversation, text: str | bytes) -> None:
    try:
        if isinstance(text, bytes):
            raise ValidationError("It must be text.")
        check(conversation)
        rates.accept(conversation, check_text(text, parts().config.message_max_chars))
    except (ValidationError, ChatError) as error:
        ws.send(dumps({"id": str(uuid4()), "msg": apology.refusal(error), "timestamp": iso(time.time())}))
    else:
        ring(conversation.id)


def _session(snapshot: Json, messages: list[Json]) -> Json:
    told = {"token": snapshot["id"], "name": snapshot["name"], "session_start": snapshot["started_at"]}
    return told | {"messages": messages}


def _message(message: Json, prefix: str = "") -> Json:
    text = apology.FAILED if message.get("status") == "failed" else message["text"]
    return {"id": message["id"], "msg": prefix + text, "timestamp": message["at"]}


@blueprint.errorhandler(ChatError)
def _of_chat(error: ChatError) -> Response:
    if isinstance(error, ConversationGone):
        return _detail(400, "Session expired or does not exist")
    return _detail(status_of(error), error.detail, retry_after(error))


@blueprint.errorhandler(ValidationError)
def _of_name(error: ValidationError) -> Response:
    return _detail(400, str(error.messages[0]))


@blueprint.errorhandler(HTTPException)
def _of_http(error: HTTPException) -> Response:
    return _detail(error.code or 500, error.description or error.name)


def _detail(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    return Response(dumps({"detail": detail}), status, headers, content_type="application/json")
