"""The shapes of all that comes in and goes out."""

import re
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from app.parts import parts

NAME_MAX_CHARS = 100
TITLE_MAX_CHARS = 200
PAGE_MAX = 200
POLL_MAX_S = 25
LIST_MAX = 100
QUERY_MAX_CHARS = 200
PASSWORD_CHARS = 8, 200
NAME_RULE = "It must have 1 to 40 characters: letters, digits, and any of _ . -"
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


class Text(fields.String):
    """A text of people: not blank, not too long, no control characters; MESSAGE_MAX_CHARS unless told."""

    def __init__(self, max_chars: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_chars = max_chars

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        return check_text(text, self.max_chars or parts().config.message_max_chars)


def message_id(**kwargs: Any) -> fields.String:
    """The id of a message, which its client may choose."""
    rule = validate.And(validate.Length(max=64), validate.Regexp(r"[A-Za-z0-9_-]+\Z"))
    return fields.String(validate=rule, **kwargs)


# --- in ---


class NewConversation(Schema):
    name = Text(NAME_MAX_CHARS, load_default="")
    account = fields.String(load_default=None, validate=validate.Length(max=40))


class Changes(Schema):
    title = Text(TITLE_MAX_CHARS, required=True)


class NewMessage(Schema):
    text = Text(required=True)
    id = message_id(load_default=None)


class Retry(Schema):
    reply_id = message_id(required=True)


class ListQuery(Schema):
    q = fields.String(load_default="", validate=validate.Length(max=QUERY_MAX_CHARS))
    before = fields.String(load_default=None, validate=validate.Regexp(r"[0-9a-f]{1,13}\Z"))
    limit = fields.Integer(load_default=30, validate=validate.Range(1, LIST_MAX))


class Credentials(Schema):
    name = fields.String(required=True, validate=validate.Regexp(r"[\w.-]{1,40}\Z", error=NAME_RULE))
    password = fields.String(required=True, validate=validate.Length(*PASSWORD_CHARS))
    keep = fields.List(
        fields.String(validate=validate.Length(max=64)), load_default=[], validate=validate.Length(max=100)
    )


class Deletion(Schema):
    password = fields.String(required=True, validate=validate.Length(*PASSWORD_CHARS))


class NewPassword(Deletion):
    new_password = fields.String(required=True, validate=validate.Length(*PASSWORD_CHARS))


class PageQuery(Schema):
    before = fields.Integer(load_default=None, validate=validate.Range(0, 2**31))
    limit = fields.Integer(load_default=50, validate=validate.Range(1, PAGE_MAX))


class EventsQuery(Schema):
    after = fields.String(load_default=None)
    wait = fields.Float(load_default=0, validate=validate.Range(0, POLL_MAX_S))


class ExportQuery(Schema):
    format = fields.String(load_default="json", validate=validate.OneOf(["json", "markdown"]))


class SendFrame(Schema):
    type = fields.Constant("send")
    id = message_id(required=True)
    text = Text(required=True)


class StopFrame(Schema):
    type = fields.Constant("stop")
    message_id = message_id(required=True)


# --- out ---


class Timing(Schema):
    waited_ms = fields.Integer()
    first_text_ms = fields.Integer()
    total_ms = fields.Integer()


class Failure(Schema):
    code = fields.String()
    detail = fields.String()
    retryable = fields.Boolean()


class Message(Schema):
    id = fields.String()
    role = fields.String(validate=validate.OneOf(["human", "bot"]))
    text = fields.String()
    at = fields.String(metadata={"format": "date-time"})
    reply_to = fields.String()
    status = fields.String(validate=validate.OneOf(["completed", "stopped", "failed"]))
    timing = fields.Nested(Timing)
    failure = fields.Nested(Failure)


class RunningTurn(Schema):
    message_id = fields.String()
    reply_id = fields.String()
    attempt = fields.Integer()
    started_at = fields.String(metadata={"format": "date-time"})
    text = fields.String()


class Snapshot(Schema):
    id = fields.String()
    name = fields.String()
    title = fields.String(allow_none=True)
    started_at = fields.String(metadata={"format": "date-time"})
    messages = fields.List(fields.Nested(Message))
    total = fields.Integer()
    pending = fields.List(fields.Nested(Message))
    turn = fields.Nested(RunningTurn, allow_none=True)
    position = fields.String()


class Page(Schema):
    messages = fields.List(fields.Nested(Message))
    first = fields.Integer()
    total = fields.Integer()


class AcceptedMessage(Schema):
    message = fields.Nested(Message)
    position = fields.Integer()
    outcome = fields.String(validate=validate.OneOf(["waiting", "running", "withdrawn", "finished"]))
    reply = fields.Nested(Message)


class Outcome(Schema):
    outcome = fields.String()


class Polled(Schema):
    events = fields.List(fields.Dict())
    position = fields.String()


class Limits(Schema):
    message_max_chars = fields.Integer()
    pending_max = fields.Integer()
    chat_ttl_s = fields.Integer()


class About(Schema):
    version = fields.String()
    model = fields.String()
    demo = fields.Boolean()
    limits = fields.Nested(Limits)
    registration = fields.String(validate=validate.OneOf(["open", "closed"]))
    account = fields.String(allow_none=True)


class Account(Schema):
    name = fields.String()
    created_at = fields.String(metadata={"format": "date-time"})


class Listed(Schema):
    id = fields.String()
    title = fields.String(allow_none=True)
    started_at = fields.String(metadata={"format": "date-time"})
    last_at = fields.String(metadata={"format": "date-time"})
    excerpt = fields.String()


class Listing(Schema):
    conversations = fields.List(fields.Nested(Listed))
    next = fields.String(allow_none=True)


class Health(Schema):
    status = fields.String()
    version = fields.String()


class Problem(Schema):
    """RFC 9457, with a stable `code`."""

    type = fields.String()
    title = fields.String()
    status = fields.Integer()
    detail = fields.String()
    code = fields.String()
    fields_ = fields.Dict(data_key="fields")
