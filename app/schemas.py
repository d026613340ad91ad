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
CONVERSATION_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
# C0 and C1 controls but for tab, newline and carriage return: nobody types them, and terminals obey them.
_CONTROLS = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
_CONTROL = re.compile(f"[{_CONTROLS}]")
# The patterns go into the OpenAPI document, where JavaScript reads them: it has no \Z, but to Python $ also matches
# before a last line feed.
_END = r"$(?!\n)"


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


def in_words(error: ValidationError) -> str:
    """What is wrong, in one line: `text: It must not be empty.`"""
    told = error.messages if isinstance(error.messages, dict) else {"_schema": error.messages}
    return " ".join(f"{'' if name == '_schema' else f'{name}: '}{' '.join(what)}" for name, what in told.items())


class Text(fields.String):
    """A text of people: not blank, not too long, no control characters; MESSAGE_MAX_CHARS unless told."""

    def __init__(self, max_chars: int | None = None, **kwargs: Any) -> None:
        shown: Any = {"pattern": f"^[^{_CONTROLS}]*[^\\s{_CONTROLS}][^{_CONTROLS}]*$"}
        super().__init__(metadata=shown | ({"maxLength": max_chars} if max_chars else {}), **kwargs)
        self.max_chars = max_chars

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        return check_text(text, self.max_chars or parts().config.message_max_chars)


def message_id(**kwargs: Any) -> fields.String:
    """The id of a message, which its client may choose."""
    rules = [validate.Length(1, 64), validate.Regexp(f"^[A-Za-z0-9_-]+{_END}")]
    return fields.String(validate=rules, **kwargs)


# Fields of the same kind; marshmallow makes each schema its own copy.
_PASSWORD = fields.String(required=True, validate=validate.Length(*PASSWORD_CHARS))
_TIME = fields.String(metadata={"format": "date-time"})

# --- in ---


class NewConversation(Schema):
    id = fields.String(load_default="", validate=validate.Regexp(f"^{CONVERSATION_ID.pattern}{_END}"))
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
    before = fields.String(load_default=None, validate=validate.Regexp(f"^[0-9a-f]{{1,13}}{_END}"))
    limit = fields.Integer(load_default=30, validate=validate.Range(1, LIST_MAX))


class Credentials(Schema):
    name = fields.String(required=True, validate=validate.Regexp(f"^[\\w.-]{{1,40}}{_END}", error=NAME_RULE))
    password = _PASSWORD
    keep = fields.List(
        fields.String(validate=validate.Length(max=64)), load_default=[], validate=validate.Length(max=100)
    )


class Deletion(Schema):
    password = _PASSWORD


class NewPassword(Deletion):
    new_password = _PASSWORD


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
    waited_ms = first_text_ms = total_ms = fields.Integer()


class Failure(Schema):
    code = detail = fields.String()
    retryable = fields.Boolean()


class Message(Schema):
    id = text = reply_to = fields.String()
    role = fields.String(validate=validate.OneOf(["human", "bot"]))
    at = _TIME
    status = fields.String(validate=validate.OneOf(["completed", "stopped", "failed"]))
    timing = fields.Nested(Timing)
    failure = fields.Nested(Failure)


class RunningTurn(Schema):
    message_id = reply_id = text = fields.String()
    attempt = fields.Integer()
    started_at = _TIME


class Export(Schema):
    id = name = fields.String()
    title = fields.String(allow_none=True)
    started_at = _TIME
    messages = fields.List(fields.Nested(Message))


class Snapshot(Export):
    total = fields.Integer()
    pending = fields.List(fields.Nested(Message))
    turn = fields.Nested(RunningTurn, allow_none=True)
    position = fields.String()


class Page(Schema):
    messages = fields.List(fields.Nested(Message))
    first = total = fields.Integer()


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
    message_max_chars = pending_max = chat_ttl_s = fields.Integer()


class About(Schema):
    version = model = fields.String()
    demo = fields.Boolean()
    limits = fields.Nested(Limits)
    registration = fields.String(validate=validate.OneOf(["open", "closed"]))
    account = fields.String(allow_none=True)


class Account(Schema):
    name = fields.String()
    created_at = _TIME


class Listed(Schema):
    id = excerpt = fields.String()
    title = fields.String(allow_none=True)
    started_at = last_at = _TIME


class Listing(Schema):
    conversations = fields.List(fields.Nested(Listed))
    next = fields.String(allow_none=True)


class Health(Schema):
    status = version = fields.String()


class Ready(Health):
    parts = fields.Dict(keys=fields.String(), values=fields.String())


class Problem(Schema):
    """RFC 9457, with a stable `code`."""

    type = title = detail = code = fields.String()
    status = fields.Integer()
    fields_ = fields.Dict(data_key="fields")
    parts = fields.Dict()
