"""What the scripted model answers: a reply that tells by itself whether it is whole."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random

# Characters of one, two, three and four bytes, and one that is made of several.
WORDS = "and the river näive €uro 東京 🙂 👩‍🚀 over\n under \t ½ O’Neill Hum Bo it went on".split(" ")
ENDLESS = "endless"


@dataclass(frozen=True)
class Order:
    """How a message wants to be answered: how many pieces, with which pauses before, between and after them."""

    pieces: int = 40
    first_ms: int = 50
    pause_ms: int = 100
    last_ms: int = 0

    def message(self, tag: str) -> str:
        """The message that orders this."""
        return f"{tag}: pieces={self.pieces} first={self.first_ms} pause={self.pause_ms} last={self.last_ms} – bitte 🙂"

    @classmethod
    def read(cls, message: str) -> "Order":
        """The order of a message; the default one of a message that orders nothing."""
        return cls(*map(int, found.groups())) if (found := _ORDER.search(message)) else cls()


_ORDER = re.compile(r"pieces=(\d+) first=(\d+) pause=(\d+) last=(\d+)")


def words(message: str, take: str) -> Iterator[str]:
    """The endless words of one take of the reply to a message. No two takes are the same, as with a real model.

    Each begins with the take's name, so whoever mixes two of them is found out.
    """
    yield take
    rng = Random(f"{take} {message}")
    while True:
        yield " " + rng.choice(WORDS)


def reply(message: str, take: str) -> str:
    """The whole reply."""
    return "".join(islice(words(message, take), Order.read(message).pieces)).strip()


def is_reply(message: str, text: str) -> bool:
    """Whether a text is a whole reply to a message. Of one without end any beginning will do."""
    take = text.partition(" ")[0]
    return is_beginning(message, text) if take.startswith(ENDLESS) else text == reply(message, take)


def is_beginning(message: str, text: str) -> bool:
    """Whether a text is how a reply to a message begins."""
    # The first piece may itself be cut.
    source, told = words(message, text.partition(" ")[0]), ""
    while len(told) < len(text):
        told += next(source)
    return told.startswith(text)
