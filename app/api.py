"""Conversations and messages over HTTP."""

from collections.abc import Iterator
from typing import Any

from flask import Response, request

from app import logins, rates, schemas, stream
from app.export import as_json, as_markdown
from app.parts import parts
from app.smorest import Blueprint
from app.turn_stream import turn_events
from chat.accounts import plain
from chat.chats import Chats
from chat.conversation import Conversation, Json
from chat.errors import ConversationGone, LoginRequired, MessageUnknown
from chat.events import Position
from tasks.bell import ring

blueprint = Blueprint("conversations", __name__, url_prefix="/api/conversations")
EVENTS, JSON, MARKDOWN = "text/event-stream", "application/json", "text/markdown"
STREAM = {"type": "string"}


def find(conversation_id: str) -> Conversation:
    """The conversation of this id in the eyes of who asks, whether it exists or not."""
    if not is_id(conversation_id):
        raise ConversationGone()
    login = logins.current()
    return Conversation(parts().store, conversation_id, login.account if login else "", login, rates.address())


def is_id(text: str) -> bool:
    """Whether this could be a conversation's id. What could not never reaches a key."""
    return schemas.CONVERSATION_ID.fullmatch(text) is not None


@blueprint.get("")
@blueprint.arguments(schemas.ListQuery, location="query")
@blueprint.response(200, schemas.Listing)
def index(query: Json) -> Json:
    """The account's conversations, the newest first, `limit` at a time; with `q` those in which all its words occur."""
    if query["q"]:
        rates.check("searches")
    before = int(query["before"], 16) if query["before"] else None
    entries, following = Chats(parts().store, logins.account().id).page(query["q"], before, query["limit"])
    listed = [{name: value for name, value in vars(entry).items() if name != "excerpt" or value} for entry in entries]
    return {"conversations": listed, "next": None if following is None else f"{following:x}"}


@blueprint.post("")
@blueprint.arguments(schemas.NewConversation, required=False)
@blueprint.response(201, schemas.Snapshot)
def create(new: Json) -> tuple[Json, dict[str, str]]:
    """Make a conversation: the account's own, or a guest's, to which its id is the only key.

    A client that chooses its `id`, at random, may ask again: there will be one. A client that names its `account` gets
    401, not a guest's conversation, when its session has ended unnoticed.
    """
    login, store = logins.current(), parts().store
    if new["account"] is not None and (not login or login.account != plain(new["account"])):
        raise LoginRequired()
    rates.check("conversations")
    made = new["name"], new["id"]
    conversation = Chats(store, login.account).create(*made) if login else Conversation.create(store, *made)
    return conversation.snapshot(), {"Location": f"/api/conversations/{conversation.id}"}


@blueprint.get("/<conversation_id>")
@blueprint.response(200, schemas.Snapshot)
def get(conversation_id: str) -> Json:
    """The conversation of this moment: its newest 50 messages, what waits, what runs, and the newest event id."""
    return find(conversation_id).snapshot()


@blueprint.patch("/<conversation_id>")
@blueprint.arguments(schemas.Changes)
@blueprint.response(200, schemas.Snapshot)
def change(changes: Json, conversation_id: str) -> Json:
    """Set the title."""
    return find(conversation_id).rename(changes["title"])


@blueprint.delete("/<conversation_id>")
@blueprint.response(204)
def delete(conversation_id: str) -> None:
    """Delete the conversation with all that belongs to it. Whoever watches it is told."""
    conversation = find(conversation_id)
    if conversation.viewer:
        Chats(conversation.store, conversation.viewer).delete(conversation.id)
    else:
        conversation.delete()


@blueprint.get("/<conversation_id>/messages")
@blueprint.arguments(schemas.PageQuery, location="query")
@blueprint.response(200, schemas.Page)
def page(query: Json, conversation_id: str) -> Any:
    """A page of history that ends before the index `before`, or with the newest message."""
    return find(conversation_id).page(query["before"], query["limit"])


@blueprint.post("/<conversation_id>/messages")
@blueprint.arguments(schemas.NewMessage)
@blueprint.response(200, STREAM, EVENTS)
@blueprint.response(202, schemas.AcceptedMessage)
def send(new: Json, conversation_id: str) -> Any:
    """Take in a message; with `Accept: text/event-stream` the answer is its turn's events, up to the end.

    The repeat of an id with the same text is not taken in again: it answers what became of the first.
    """
    conversation, as_events = find(conversation_id), _wants([JSON, EVENTS]) == EVENTS
    if as_events:
        parts().hub.admit(conversation)
    accepted = rates.accept(conversation, new["text"], new["id"])
    ring(conversation.id)
    if not as_events:
        return {name: value for name, value in vars(accepted).items() if value is not None}
    return stream.event_stream(turn_events(parts().hub, conversation, accepted, stream.PING_S), "turn")


@blueprint.post("/<conversation_id>/messages/<message_id>/stop")
@blueprint.response(200, schemas.Outcome)
def stop(conversation_id: str, message_id: str) -> Json:
    """Stop the turn of a message, or withdraw the message while it waits."""
    return {"outcome": find(conversation_id).stop(_known(message_id))}


@blueprint.post("/<conversation_id>/messages/<message_id>/retry")
@blueprint.arguments(schemas.Retry)
@blueprint.response(202, schemas.Outcome)
def retry(wanted: Json, conversation_id: str, message_id: str) -> Json:
    """Answer the last message again, in place of the reply that is named."""
    conversation = find(conversation_id)
    rates.check_turn(conversation)
    outcome = conversation.retry(_known(message_id), wanted["reply_id"])
    ring(conversation.id)
    return {"outcome": outcome}


@blueprint.get("/<conversation_id>/events")
@blueprint.arguments(schemas.EventsQuery, location="query")
@blueprint.response(200, STREAM, EVENTS)
@blueprint.response(200, schemas.Polled)
def events(query: Json, conversation_id: str) -> Response:
    """The events after a position, without end; with `Accept: application/json` those that are there within `wait` s.

    `Last-Event-ID` beats `after`. Without a position the first event is a reset: the conversation of this moment.
    """
    conversation = find(conversation_id)
    after = request.headers.get("Last-Event-ID") or query["after"]
    position = None if after is None else Position.parse(after)
    if _wants([EVENTS, JSON]) == JSON:
        return stream.poll(parts().hub, conversation, position or Position.parse(None), query["wait"])
    if not conversation.exists():
        raise ConversationGone()
    parts().hub.admit(conversation)
    return stream.event_stream(parts().hub.follow(conversation, position, stream.PING_S))


@blueprint.get("/<conversation_id>/export")
@blueprint.arguments(schemas.ExportQuery, location="query")
@blueprint.response(200, schemas.Export)
@blueprint.response(200, STREAM, MARKDOWN)
def export(query: Json, conversation_id: str) -> Response:
    """The transcript as a file, JSON or Markdown."""
    conversation = find(conversation_id)
    head = conversation.snapshot()
    kinds = {"json": (as_json, "json", JSON), "markdown": (as_markdown, "md", f"{MARKDOWN}; charset=utf-8")}
    render, ending, content_type = kinds[query["format"]]
    body: Iterator[str] = render(head, conversation.history())
    disposition = f'attachment; filename="conversation-{conversation.id[:8]}.{ending}"'
    return Response(body, headers={"Content-Disposition": disposition}, content_type=content_type)


def _known(message_id: str) -> str:
    """The id of a message as it stands in an address."""
    if not schemas.MESSAGE_ID.fullmatch(message_id):
        raise MessageUnknown()
    return message_id


def _wants(offers: list[str]) -> str:
    """Which of the types on offer the client wants most; the first where it does not say."""
    return request.accept_mimetypes.best_match(offers, offers[0]) or offers[0]
