"""The names of the keys. A conversation and the index of its waiting work share a bucket, so also a cluster slot."""

from zlib import crc32

BUCKETS = 64


def bucket(conversation_id: str) -> str:
    """The hash tag of a conversation's keys, such as `{b07}`."""
    return f"{{b{crc32(conversation_id.encode()) % BUCKETS:02}}}"


def conversation(conversation_id: str) -> list[str]:
    """The eight keys of a conversation, in the order in which every script takes them."""
    tag = bucket(conversation_id)
    base = f"{tag}:{conversation_id}"
    parts = (base, f"{base}:run", f"{base}:partial", f"{base}:ids", f"{base}:log", f"{base}:deltas")
    return [*parts, f"{tag}:ready", f"{tag}:leased"]


def live(conversation_id: str) -> str:
    """The channel on which a conversation's events are published."""
    return f"{bucket(conversation_id)}:{conversation_id}:live"


def indexes() -> list[list[str]]:
    """The two indexes, ready and leased, of every bucket."""
    return [[f"{{b{n:02}}}:ready", f"{{b{n:02}}}:leased"] for n in range(BUCKETS)]
