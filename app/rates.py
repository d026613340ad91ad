"""How much one address, account or conversation may ask for in a minute."""

from ipaddress import ip_address, ip_network

from flask import request

from app import logins
from app.parts import parts
from chat import rates
from chat.conversation import Accepted, Conversation
from chat.errors import QueueFull, RateLimited

# An account, or an address with many people behind it, may send more than goes into one conversation.
WIDER = 10


def address() -> str:
    """Where the request comes from. Of IPv6 the /64, as no customer of a network has less than that."""
    try:
        found = ip_address(request.remote_addr or "")
    except ValueError:
        return "unknown"
    if found.version == 4:
        return str(found)
    return str(found.ipv4_mapped or ip_network((int(found), 64), strict=False))


def check(what: str) -> None:
    """Count a request of this kind, of which RATE_… limits how many may come. Raises RateLimited."""
    login = logins.current()
    rates.count(parts().store, _limits(what, address(), login.account if login else ""))


def check_turn(conversation: Conversation) -> dict[str, int]:
    """Count a turn that is asked for, and return under which names. Raises RateLimited."""
    # With who asks, as nobody knows yet whether it is theirs: a stranger must not use up the owner's share.
    limits = _limits("messages", conversation.address, conversation.viewer, f"{conversation.id}|{conversation.viewer}")
    rates.count(conversation.store, limits)
    return limits


def accept(conversation: Conversation, text: str, message_id: str | None = None) -> Accepted:
    """Take in a message. Raises RateLimited; the repeat of a known id is never one too many, and does not count."""
    try:
        counted = check_turn(conversation)
    except RateLimited as limited:
        try:
            return conversation.accept(text, message_id, known=True)
        except QueueFull:
            raise limited from None
    accepted = conversation.accept(text, message_id)
    if not accepted.event:
        rates.forgive(conversation.store, counted)
    return accepted


def _limits(what: str, address: str, account: str, conversation: str = "") -> dict[str, int]:
    most: int = getattr(parts().config, f"rate_{what}")
    wide = WIDER * most if conversation else most
    limits = {("conversation", conversation): most, ("account", account): wide, ("address", address): wide}
    return {f"{what}|{kind}|{name}": limit for (kind, name), limit in limits.items() if name and limit}
