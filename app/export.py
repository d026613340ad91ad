"""A transcript as a file, written while it is read, so that a long conversation costs no memory."""

from collections.abc import Iterable, Iterator

from chat.conversation import Json
from chat.events import dumps


def as_json(head: Json, messages: Iterable[Json]) -> Iterator[str]:
    """One JSON object: the conversation with all its messages."""
    described = dumps({name: head[name] for name in ("id", "name", "title", "started_at")})
    yield f'{described[:-1]},"messages":['
    for index, message in enumerate(messages):
        yield f"{',' if index else ''}\n{dumps(message)}"
    yield "\n]}\n"


def as_markdown(head: Json, messages: Iterable[Json]) -> Iterator[str]:
    """A heading, then each message under who said it and when."""
    yield f"# {head['title'] or 'Conversation'}\n\nStarted {head['started_at']}\n"
    names = {"human": head["name"] or "Human", "bot": "Bot"}
    for message in messages:
        note = "" if (how := message.get("status", "completed")) == "completed" else f" ({how})"
        yield f"\n**{names[message['role']]}**, {message['at']}{note}\n\n{message['text']}\n"
