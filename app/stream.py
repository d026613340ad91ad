"""Events on their way out: as lines of an event stream, and as JSON for sockets and polls."""

from collections.abc import Generator, Iterator
from contextlib import closing

from flask import Response

from app.hub import Hub
from app.metrics import SENT, STREAMS, counted
from chat.conversation import Conversation
from chat.errors import ConversationGone, LoginRequired, StoreUnavailable, TooManyStreams
from chat.events import Event, Position, dumps

PING_S = 15
PING = "event: ping\ndata: {}\n\n"
_HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}


def event_stream(events: Generator[Event | None], transport: str = "sse") -> Response:
    """An answer of type text/event-stream. Its headers and first line do not wait for the first event."""
    return Response(
        _lines(counted(transport, events)), headers=_HEADERS, content_type="text/event-stream; charset=utf-8"
    )


def _lines(events: Generator[Event | None]) -> Iterator[str]:
    yield "retry: 1000\n\n"
    with closing(events):
        try:
            for event in events:
                yield f"id: {event.position}\nevent: {event.type}\ndata: {event.data}\n\n" if event else PING
        except ConversationGone:
            yield "event: gone\ndata: {}\n\n"
        except LoginRequired:
            yield "event: login\ndata: {}\n\n"
        except (StoreUnavailable, TooManyStreams):
            # The status is sent already. The client comes back with its position and is then told.
            return


def as_json(event: Event) -> str:
    """`{"id", "type", …}` with the event's data. Of a reset's data, a snapshot, the conversation's id is left out."""
    if event.type == "reset":
        return dumps({**event.content, "id": str(event.position), "type": event.type})
    head = f'{{"id":"{event.position}","type":"{event.type}"'
    return f"{head},{event.data[1:]}" if event.data != "{}" else f"{head}}}"


def poll(hub: Hub, conversation: Conversation, after: Position, wait_s: float) -> Response:
    """The events after a position: those that are there, or the first that come within `wait_s`."""
    batch = conversation.read(after)
    if wait_s and not batch.events:
        with STREAMS.labels("poll").track_inprogress(), closing(hub.follow(conversation, after, wait_s)) as arrivals:
            if next(arrivals, None):
                batch = conversation.read(after)
    SENT.labels("poll").inc(len(batch.events))
    position = batch.events[-1].position if batch.events else batch.newest
    body = f'{{"events":[{",".join(map(as_json, batch.events))}],"position":"{position}"}}'
    return Response(body, content_type="application/json")
