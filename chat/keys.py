"""The names of the keys. A conversation and the index of its waiting work share a bucket, so also a cluster slot."""

from typing import NamedTuple
from zlib import crc32

BUCKETS = 64
# Is there while some worker lives.
WORKER = "parley:worker"


def bucket(conversation_id: str) -> str:
    """The hash tag of a conversation's keys, such as `{b07}`."""
    return f"{{b{crc32(conversation_id.encode()) % BUCKETS:02}}}"


def conversation(conversation_id: str) -> list[str]:
    """The nine keys of a conversation, in the order in which every script takes them."""
    tag = bucket(conversation_id)
    base = f"{tag}:{conversation_id}"
    parts = (base, f"{base}:run", f"{base}:partial", f"{base}:ids", f"{base}:log", f"{base}:deltas")
    return [*parts, f"{tag}:ready", f"{tag}:leased", f"{tag}:counts"]


def live(conversation_id: str) -> str:
    """The channel on which a conversation's events are published."""
    return f"{bucket(conversation_id)}:{conversation_id}:live"


def indexes() -> list[list[str]]:
    """The two indexes, ready and leased, of every bucket."""
    return [[f"{{b{n:02}}}:ready", f"{{b{n:02}}}:leased"] for n in range(BUCKETS)]


def counts() -> list[str]:
    """Where the scripts count turns, for every bucket."""
    return [f"{{b{n:02}}}:counts" for n in range(BUCKETS)]


class Account(NamedTuple):
    """The keys of an account: its document, its conversations by last use, those of them that changed since they were
    last indexed, and its sessions."""

    document: str
    chats: str
    changed: str
    sessions: str


def account(name: str) -> Account:
    """The keys of the account of this name, in its plain form."""
    base = f"user:{{{name}}}"
    return Account(base, f"{base}:chats", f"{base}:changed", f"{base}:sessions")


def searched(name: str, conversation_id: str) -> str:
    """Where the text of an account's conversation is kept for RediSearch."""
    return f"user:{{{name}}}:text:{conversation_id}"
