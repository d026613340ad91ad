"""The prompt: the last messages as lines of a dialogue, ready for the model to write the bot's next line."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

ROLES = {"human": "Human", "bot": "Bot"}

# Conservative for text in Latin letters, where GPT-J's tokens hold four bytes; the server cuts what is still too long.
BYTES_PER_TOKEN = 3
# A role's name alone on its line counts too: the colon may stand on the next.
_ROLE_LINE = re.compile(r"\s*(human|bot)\s*(:|$)", re.IGNORECASE)


def build(window: Sequence[dict[str, Any]], context_tokens: int, max_new_tokens: int) -> str:
    """Render messages, oldest first, as `Human: …` and `Bot: …` lines that end in `Bot:` for the reply.

    What does not fit beside `max_new_tokens` is cut off from the oldest text on. There are exactly as many lines
    that begin with a role as messages, plus the last: whatever a message holds, it forges no turn.
    """
    left = (context_tokens - max_new_tokens) * BYTES_PER_TOKEN
    turns: list[str] = []
    for message in reversed(window):
        text = escape(message["text"]) or "..."
        head = f"{ROLES[message['role']]}: "
        left -= len(head) + 1
        if left <= 0:
            break
        kept = _last_bytes(text, left)
        turns.append(head + kept)
        left -= len(kept.encode())
    return "\n".join([*reversed(turns), "Bot:"])


def escape(text: str) -> str:
    """Quote each line that reads as a role's, also in look-alike letters or with invisible ones."""
    lines = text.strip().splitlines()
    return "\n".join(f"> {line}" if _ROLE_LINE.match(_plain(line)) else line for line in lines)


def _plain(line: str) -> str:
    """The line as a reader sees it: compatibility forms folded, control and format characters gone."""
    folded = unicodedata.normalize("NFKC", line)
    return "".join(char for char in folded if unicodedata.category(char) not in ("Cf", "Cc", "Mn"))


def _last_bytes(text: str, most: int) -> str:
    return text.encode()[-most:].decode(errors="ignore").lstrip()
