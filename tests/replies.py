"""What a test sees of a conversation that a worker answers."""

from typing import Any

from services import wait_for

from chat.conversation import Conversation
from chat.events import ENDS, Event, Position

# One lease is over soon, so that a test need not wait for long until another worker takes over.
BRIEF = {"LEASE_S": "1", "RENEW_S": "0.1", "SWEEP_S": "0.2"}


def events(chat: Conversation) -> list[Event]:
    return chat.read(Position(chat.snapshot()["position"].split("-")[0], 0), limit=5000).events


def kinds(chat: Conversation) -> list[str]:
    return [event.type for event in events(chat)]


def ended(chat: Conversation, turns: int = 1) -> list[Any]:
    """Wait for so many ends and return the bot's messages."""
    wait_for(lambda: sum(kind in ENDS for kind in kinds(chat)) == turns)
    return [message for message in chat.snapshot()["messages"] if message["role"] == "bot"]


def partial(chat: Conversation) -> str:
    turn = chat.snapshot()["turn"]
    return turn["text"] if turn else ""
