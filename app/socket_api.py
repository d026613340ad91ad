"""A conversation over a WebSocket: the events of the event stream, and send and stop."""

from typing import Any

import orjson
from flask import Blueprint, request
from marshmallow import Schema, ValidationError

from app import rates
from app.api import find
from app.logins import check
from app.parts import parts
from app.schemas import SendFrame, StopFrame, in_words
from app.sockets import PING_S, WebSocket, converse, route
from app.stream import as_json
from chat.conversation import Conversation, Json
from chat.errors import ChatError, ConversationGone
from chat.events import Position, dumps
from tasks.bell import ring

blueprint = Blueprint("socket", __name__)
FRAMES: dict[str, Schema] = {"send": SendFrame(), "stop": StopFrame()}


@route(blueprint, "/api/conversations/<conversation_id>/socket")
def conversation_socket(ws: WebSocket, conversation_id: str) -> None:
    """The events after `?after=`, each as one text frame; and an answer to each frame that comes in."""
    conversation = find(conversation_id)
    if not conversation.exists():
        raise ConversationGone()
    after = request.args.get("after")
    position = None if after is None else Position.parse(after)
    events = parts().hub.follow(conversation, position, PING_S)
    converse(ws, events, lambda event: ws.send(as_json(event)), lambda frame: _hear(ws, conversation, frame))


def _hear(ws: WebSocket, conversation: Conversation, raw: str | bytes) -> None:
    ref = None
    try:
        frame = _parse(raw)
        ref = frame.get("id", frame.get("message_id"))
        ws.send(_ack(ref, **_obey(conversation, FRAMES[frame["type"]].load(frame))))
    except ValidationError as error:
        ws.send(_refused(ref, "invalid", in_words(error)))
    except ChatError as error:
        ws.send(_refused(ref, error.code, error.detail))
    else:
        # After the answer, as over HTTP; a repeat rings too.
        if frame["type"] == "send":
            ring(conversation.id)


def _parse(raw: str | bytes) -> Json:
    if isinstance(raw, bytes):
        raise ValidationError("Send text frames, not binary ones.")
    try:
        frame = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ValidationError(f"Not valid JSON: {error}.") from error
    if not isinstance(frame, dict) or frame.get("type") not in list(FRAMES):
        raise ValidationError('Send {"type": "send", "id", "text"} or {"type": "stop", "message_id"}.')
    return frame


def _obey(conversation: Conversation, frame: Any) -> Json:
    check(conversation)
    if frame["type"] == "stop":
        return {"outcome": conversation.stop(frame["message_id"])}
    accepted = rates.accept(conversation, frame["text"], frame["id"])
    return {"outcome": accepted.outcome, "position": accepted.position}


def _ack(ref: Any, **what: Any) -> str:
    return dumps({"type": "ack", "ref": ref, **what})


def _refused(ref: Any, code: str, detail: str) -> str:
    return dumps({"type": "refused", "ref": ref if isinstance(ref, str) else None, "code": code, "detail": detail})
