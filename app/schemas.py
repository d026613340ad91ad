"""The shapes of all that comes in and goes out."""

import re
from typing import Any

from marshmallow import Schema, ValidationError
from marshmallow.fields import Boolean, Constant, Dict, Field, Float, Integer, List, Nested, String
from marshmallow.validate import And, Length, OneOf, Range, Regexp

from app.parts import parts

NAME_MAX_CHARS = 100
TITLE_MAX_CHARS = 200
PAGE_MAX = 200
POLL_MAX_S = 25
MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
# C0 and C1 controls but for tab, newline and carriage return: nobody types them, and terminals obey them.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def check_text(text: str, max_chars: int) -> str:
    """Return a text that people may read as it is. Raises ValidationError when it is blank, too long or broken."""
    if not text.strip():
        raise ValidationError("It must not be empty.")
    if len(text) > max_chars:
        raise ValidationError(f"It must have at most {max_chars} characters, not {len(text)}.")
    if _CONTROL.search(text):
        raise ValidationError("It must not contain control characters.")
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise ValidationError("It must not contain halves of characters.")
    return text


class Text(String):
    """A text of people: not blank, not too long, no control characters; MESSAGE_MAX_CHARS unless told."""

    def __init__(self, max_chars: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_chars = max_chars

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        return check_text(text, self.max_chars or parts().config.message_max_chars)


def message_id(**options: Any) -> String:
    """The id of a message, which its client may choose."""
    return String(validate=And(Length(max=64), Regexp(r"[A-Za-z0-9_-]+\Z")), **options)


def shape(name: str, /, **fields: "Field[Any]") -> type[Schema]:
    """A schema, under the name that it has in the OpenAPI document."""
    return Schema.from_dict(fields, name=name)


# --- in ---

NewConversation = shape("NewConversation", name=Text(NAME_MAX_CHARS, load_default=""))
Changes = shape("Changes", title=Text(TITLE_MAX_CHARS, required=True))
NewMessage = shape("NewMessage", text=Text(required=True), id=message_id(load_default=None))
Retry = shape("Retry", reply_id=message_id(required=True))
PageQuery = shape(
    "PageQuery",
    before=Integer(load_default=None, validate=Range(0, 2**31)),
    limit=Integer(load_default=50, validate=Range(1, PAGE_MAX)),
)
EventsQuery = shape(
    "EventsQuery", after=String(load_default=None), wait=Float(load_default=0, validate=Range(0, POLL_MAX_S))
)
ExportQuery = shape("ExportQuery", format=String(load_default="json", validate=OneOf(["json", "markdown"])))
SendFrame = shape("SendFrame", type=Constant("send"), id=message_id(required=True), text=Text(required=True))
StopFrame = shape("StopFrame", type=Constant("stop"), message_id=message_id(required=True))

# --- out ---

_TIME: Any = {"metadata": {"format": "date-time"}}
Timing = shape("Timing", waited_ms=Integer(), first_text_ms=Integer(), total_ms=Integer())
Failure = shape("Failure", code=String(), detail=String(), retryable=Boolean())
Message = shape(
    "Message",
    id=String(),
    role=String(validate=OneOf(["human", "bot"])),
    text=String(),
    at=String(**_TIME),
    reply_to=String(),
    status=String(validate=OneOf(["completed", "stopped", "failed"])),
    timing=Nested(Timing),
    failure=Nested(Failure),
)
RunningTurn = shape(
    "RunningTurn", message_id=String(), reply_id=String(), attempt=Integer(), started_at=String(**_TIME), text=String()
)
Snapshot = shape(
    "Snapshot",
    id=String(),
    name=String(),
    title=String(allow_none=True),
    started_at=String(**_TIME),
    messages=List(Nested(Message)),
    total=Integer(),
    pending=List(Nested(Message)),
    turn=Nested(RunningTurn, allow_none=True),
    position=String(),
)
Page = shape("Page", messages=List(Nested(Message)), first=Integer(), total=Integer())
AcceptedMessage = shape(
    "AcceptedMessage",
    message=Nested(Message),
    position=Integer(),
    outcome=String(validate=OneOf(["waiting", "running", "withdrawn", "finished"])),
    reply=Nested(Message),
)
Outcome = shape("Outcome", outcome=String())
Polled = shape("Polled", events=List(Dict()), position=String())
Limits = shape("Limits", message_max_chars=Integer(), pending_max=Integer(), chat_ttl_s=Integer())
About = shape("About", version=String(), model=String(), demo=Boolean(), limits=Nested(Limits), registration=Boolean())
Health = shape("Health", status=String(), version=String())
Problem = shape(
    "Problem", type=String(), title=String(), status=Integer(), detail=String(), code=String(), fields=Dict()
)
