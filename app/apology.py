"""How the wire formats of others are told that something failed: they know no errors, so the bot says it."""

from marshmallow import ValidationError

from chat.errors import ChatError

FAILED = "Sorry, I could not answer that. Please try again."


def refusal(error: ValidationError | ChatError) -> str:
    """What the bot says in place of a reply to a message that was not taken in."""
    why = error.detail if isinstance(error, ChatError) else error.messages[0]
    return f"Sorry, I cannot take that message. {why}"
