"""The wire format of a chat over Django Channels: the whole history in, the text so far out, at each step.

The client sends its history, of which only the last entry counts, the new message: the server trusts its own. What
it is sent it puts into the last entry of its history.
"""

from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

import orjson
from flask import Blueprint
from marshmallow import ValidationError

from app import apology, logins, rates
from app.parts import parts
from app.schemas import MESSAGE_ID, check_text
from app.sockets import PING_S, WebSocket, converse, route
from app.turn_stream import caught_up
from chat.chats import Chats
from chat.conversation import Conversation, Json
from chat.errors import ChatError, ConversationGone, LoginRequired
from chat.events import ENDS, Event, Position, dumps
from tasks.bell import ring

blueprint = Blueprint("channels", __name__)
FORMAT = 'Send {"history": [{"role": "user", "content": …}]}, the new message last.'


@route(blueprint, "/ws/chat/demo/<name>/")
def demo(ws: WebSocket, name: str) -> None:
    """Sends back what it is sent."""
    while not parts().hub.left.is_set():
        raw = ws.receive(timeout=1)
        if raw is not None:
            ws.send(dumps({"message": _loads(raw).get("message")}))


@route(blueprint, "/ws/chat/llm/<name>/")
def llm(ws: WebSocket, name: str) -> None:
    """A conversation of the account that is logged in; its client chooses the name, its first message makes it."""
    login = logins.current()
    if not login:
        raise LoginRequired("Please log in to chat.")
    if not MESSAGE_ID.fullmatch(name):
        raise ConversationGone()
    # An id that follows from account and name: others cannot have made it, nor open it.
    conversation_id = str(uuid5(NAMESPACE_URL, f"{login.account}/{name}"))
    conversation = Conversation(parts().store, conversation_id, login.account, login, rates.address())
    replies, hub = _Replies(), parts().hub

    def tell(event: Event) -> None:
        for text in replies.texts(event):
            ws.send(dumps({"message": text}))

    try:
        while not replies.after and not hub.left.is_set():
            raw = ws.receive(timeout=PING_S)
            logins.check(conversation)
            if raw is not None:
                _hear(ws, conversation, replies, raw)
        events = hub.follow(conversation, replies.after, PING_S)
        converse(ws, events, tell, lambda raw: _hear(ws, conversation, replies, raw))
    except LoginRequired:
        ended = LoginRequired("Your login has ended. Please log in again.")
        ws.send(dumps({"message": ended.detail}))
        raise ended from None


class _Replies:
    """The replies to the messages that came over this socket, each as the text that it has so far."""

    def __init__(self) -> None:
        self.asked: set[str] = set()
        # Where the conversation stood before the first of them.
        self.after: Position | None = None
        self._reply_id, self._text = "", ""

    def texts(self, event: Event) -> list[str]:
        """What the client is told after an event."""
        if event.type == "reset":
            # The store lost its place: what became of the messages meanwhile.
            caught = [own for name in list(self.asked) for own in caught_up(event.content, name)]
            return [text for own in caught for text in self.texts(own)]
        content = event.content
        if event.type == "started" and content["message_id"] in self.asked:
            self._reply_id, self._text = content["reply_id"], ""
        elif event.type == "delta" and content["reply_id"] == self._reply_id:
            self._text += content["text"]
            return [self._text]
        elif event.type in ENDS and (reply := content.get("message", {})).get("reply_to") in self.asked:
            self.asked.discard(reply["reply_to"])
            return [f"{reply['text']}\n\n{apology.FAILED}".lstrip() if event.type == "failed" else reply["text"]]
        return []


def _hear(ws: WebSocket, conversation: Conversation, replies: _Replies, raw: str | bytes) -> None:
    message_id = str(uuid4())
    try:
        text = _newest(raw)
        logins.check(conversation)
        if not replies.after:
            if not conversation.exists():
                rates.check("conversations")
            made = Chats(conversation.store, conversation.viewer).create(conversation_id=conversation.id)
            replies.after = Position.parse(made.snapshot()["position"])
        replies.asked.add(message_id)
        rates.accept(conversation, text, message_id)
    except (ValidationError, ChatError) as error:
        ws.send(dumps({"message": apology.refusal(error)}))
    else:
        ring(conversation.id)


def _newest(raw: str | bytes) -> str:
    """The new message in a frame. Raises ValidationError."""
    history = _loads(raw).get("history")
    newest = history[-1] if isinstance(history, list) and history else None
    if not isinstance(newest, dict) or newest.get("role") != "user" or not isinstance(newest.get("content"), str):
        raise ValidationError(FORMAT)
    return check_text(newest["content"], parts().config.message_max_chars)


def _loads(raw: str | bytes) -> Json:
    try:
        found: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        found = None
    return found if isinstance(found, dict) else {}
