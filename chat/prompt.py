"""The prompt: the last messages as lines of a dialogue, ready for the model to write the bot's next line."""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Window = Sequence[dict[str, Any]]  # messages with `role` and `text`, oldest first, the newest of them a human's

SILENCE = "..."  # an empty text
LINE_TOKENS = 8  # more than a role, its colon, a line's end and silence take

# A word in Latin letters; a longer one is rather a key or a number in disguise.
_WORD = re.compile(r" ?[A-Za-z][a-z]{0,15}(?![a-z])")

# A line for each letter of the roles, and for the colon: whatever Unicode (confusables.txt) and we mistake for it.
_ALIKE = dict(line.split() for line in Path(__file__).with_name("alike.txt").read_text("utf-8").splitlines())
_HUMAN, _BOT, _COLON = ("".join(f"[{_ALIKE[char]}]" for char in name) for name in ("human", "bot", ":"))
# A role's name alone on its line counts too: the colon may stand on the next.
_ROLE_LINE = re.compile(f"({_HUMAN}|{_BOT})({_COLON}|$)", re.IGNORECASE)
# The whole spelling of a special token, as tokenizers know it: `<|` alone is an operator in some languages.
_SPECIAL = re.compile(r"<(?=[|\uff5c][^<>\s]*[|\uff5c]>|/?(s|bos|eos|sop|eop|pad|unk|start_of_turn|end_of_turn)>)")
# Hangul's fillers are letters that nobody sees.
_UNSEEN = re.compile(rf"[^\w{_ALIKE[':']}]|[_\u115f\u1160]")


def build(window: Window) -> str:
    """Render messages as `Human: …` and `Bot: …` lines that end in `Bot:` for the reply.

    There are exactly as many lines that begin with a role as messages, plus the last: whatever a message holds, it
    forges no turn.
    """
    turns = (f"{message['role'].capitalize()}: {escape(message['text']) or SILENCE}" for message in window)
    return "\n".join([*turns, "Bot:"])


def escape(text: str) -> str:
    """Quote each line that reads as a role's, also in look-alike letters or with invisible ones; see `defuse` too."""
    lines = defuse(text).splitlines()
    return "\n".join(f"> {line}" if _ROLE_LINE.match(_seen(line)) else line for line in lines)


def defuse(text: str) -> str:
    """The text, stripped, with a space in each spelling of a special token: a tokenizer would take it for the token."""
    return _SPECIAL.sub("< ", text.strip())


def _seen(line: str) -> str:
    """The letters and colons of a line as a reader sees them, without accents and whatever stands between them."""
    return _UNSEEN.sub("", unicodedata.normalize("NFKD", line))


def fit(window: Window, tokens: int) -> list[dict[str, Any]]:
    """The messages of which a prompt has at most so many tokens: what is too much is cut off from the oldest on."""
    kept: list[dict[str, Any]] = []
    left = tokens - LINE_TOKENS
    for message in reversed(window):
        left -= LINE_TOKENS
        if left <= 0 and kept:
            break
        text = _end(message["text"], left)
        kept.append(message | {"text": text})
        left -= most_tokens(escape(text))
    return kept[::-1]


def _end(text: str, tokens: int) -> str:
    """As much of the text's end as that many tokens hold."""
    start = bisect_left(range(len(text)), -tokens, key=lambda start: -most_tokens(escape(text[start:])))
    return text[start:].lstrip()


def most_tokens(text: str) -> int:
    """More tokens than the text has for GPT-J, in every language and code that was tried: a guess for want of counting.

    A word of Latin letters counts as a token for three of them and one more; of all else each byte counts as one,
    which no tokenizer exceeds. Only letters without sense can have more, up to one each.
    """
    words = _WORD.findall(text)
    return len(text.encode()) + sum(1 + len(word) // 3 - len(word) for word in words)
