"""The answer to a POST as an event stream: the events of one turn, from its `accepted` to its end."""

from collections.abc import Generator
from contextlib import closing

from app.hub import Hub
from chat.conversation import Accepted, Conversation, Json
from chat.events import ENDS, Event, Position, dumps


def turn_events(hub: Hub, conversation: Conversation, accepted: Accepted, ping_s: float) -> Generator[Event | None]:
    """This turn's events, and None every `ping_s` seconds without one.

    Of a message that was taken in before: the end of its turn, or what brings the client up to date, then the rest.
    """
    turn = _Turn(accepted.message["id"], joins=accepted.event is None)
    if accepted.outcome in ("finished", "withdrawn"):
        return _once(_end(Position.parse(conversation.snapshot()["position"]), accepted))
    # Without a position the hub begins with a reset, from which a joining client is brought up to date.
    after = accepted.event._replace(n=accepted.event.n - 1) if accepted.event else None
    return _follow(hub, conversation, after, turn, ping_s)


def _follow(
    hub: Hub, conversation: Conversation, after: Position | None, turn: "_Turn", ping_s: float
) -> Generator[Event | None]:
    with closing(hub.follow(conversation, after, ping_s)) as events:
        for event in events:
            if event:
                yield from turn.own(event)
            else:
                yield None
            if turn.over:
                return


def _once(event: Event) -> Generator[Event | None]:
    yield event


class _Turn:
    """Picks the events of one message's turn, until it is over or the message is lost."""

    def __init__(self, message_id: str, joins: bool) -> None:
        self.message_id, self.reply_id = message_id, ""
        self.over = False
        self._joins = joins

    def own(self, event: Event) -> list[Event]:
        """The event if it belongs to the turn; of a reset, what brings the client up to date."""
        if event.type == "reset":
            events = caught_up(event.content, self.message_id)
            # A message that the store has lost: the client, whose stream ends here, sends it again under its id.
            self.over = not events
            if not self._joins:
                events = [own for own in events if own.type != "accepted"]
        else:
            events = [event] if self._owns(event) else []
        self._joins = False
        for own in events:
            self.reply_id = own.content["reply_id"] if own.type == "started" else self.reply_id
            self.over |= own.type in ENDS
        return events

    def _owns(self, event: Event) -> bool:
        content = event.content
        if event.type == "delta":
            return bool(content["reply_id"] == self.reply_id)
        message = content.get("message", {})
        return self.message_id in (content.get("message_id"), message.get("id"), message.get("reply_to"))


def caught_up(snapshot: Json, message_id: str) -> list[Event]:
    """The events that bring a client to where a snapshot found its turn; none when the message is not there."""
    at, turn, pending = Position.parse(snapshot["position"]), snapshot["turn"], snapshot["pending"]
    if turn and turn["message_id"] == message_id:
        started = {name: turn[name] for name in ("message_id", "reply_id", "attempt")}
        delta = {"reply_id": turn["reply_id"], "text": turn["text"], "offset": 0}
        return [Event(at, "started", dumps(started)), Event(at, "delta", dumps(delta))][: 2 if turn["text"] else 1]
    for before, message in enumerate(pending):
        if message["id"] == message_id:
            return [Event(at, "accepted", dumps({"message": message, "position": before + bool(turn)}))]
    return [_ended(at, reply) for reply in snapshot["messages"] if reply.get("reply_to") == message_id]


def _end(at: Position, accepted: Accepted) -> Event:
    if accepted.reply:
        return _ended(at, accepted.reply)
    return Event(at, "stopped", dumps({"message_id": accepted.message["id"], "withdrawn": True}))


def _ended(at: Position, reply: Json) -> Event:
    return Event(at, reply["status"], dumps({"message": reply, **reply.get("failure", {})}))
