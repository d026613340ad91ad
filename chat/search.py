"""Which of an account's conversations may hold the words that are searched for, newest first: two ways to know."""

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import orjson
import redis

from chat import keys
from chat.accounts import plain
from chat.store import Store

# Where a conversation's texts are in its document; of a very long one only the newest are searched.
TEXTS = "$.messages[-1000:].text"
_PATHS = ("$.owner", "$.title", TEXTS, "$.turn", "$.pending[*]")
WORDS_MAX, WORD_CHARS_MAX = 10, 50
_INDEX = "parley-texts"
# Chinese and Japanese write no spaces, and RediSearch finds no words in them.
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff]")

# The id of a conversation and when it was used last, in microseconds since 1970.
Row = tuple[str, int]


def words_of(query: str) -> list[str]:
    """The words of a query in plain form. Whatever else it holds is no part of them, so nothing need be escaped."""
    return [word[:WORD_CHARS_MAX] for word in re.findall(r"\w+", plain(query))[:WORDS_MAX]]


class Candidates(Protocol):
    """A way to find the conversations that may hold some words."""

    def rows(self, words: list[str], before: int | None, most: int) -> list[Row]:
        """The newest that were used before this time; fewer than `most` when there are no more."""
        ...


@dataclass(frozen=True)
class All:
    """Every conversation of the account."""

    store: Store
    account: str

    def rows(self, words: list[str], before: int | None, most: int) -> list[Row]:
        below = "+inf" if before is None else f"({before}"
        command = ("ZREVRANGEBYSCORE", keys.account(self.account).chats, below, "-inf", "WITHSCORES", "LIMIT", 0, most)
        found = self.store.execute(*command)
        return [(name, int(at)) for name, at in zip(found[::2], found[1::2], strict=True)]


@dataclass(frozen=True)
class Indexed:
    """Those that RediSearch finds, where the server has it, by whole words and beginnings of words; else all.

    Its index does not hold the documents themselves: at each of a turn's steps it would read a document as a whole,
    8 ms for 1,000 messages. A copy of the texts is made when somebody searches, of what has changed since.
    """

    store: Store
    account: str

    def rows(self, words: list[str], before: int | None, most: int) -> list[Row]:
        if not _UNSPACED.search("".join(words)):
            for _ in range(2):
                try:
                    return self._search(words, before, most)
                except redis.ResponseError:
                    # The server has no RediSearch, or no index yet.
                    if not self._make():
                        break
        return All(self.store, self.account).rows(words, before, most)

    def _search(self, words: list[str], before: int | None, most: int) -> list[Row]:
        owner = re.sub(r"([.-])", r"\\\1", self.account)
        below = "+inf" if before is None else f"({before}"
        # The bare word too, as only so many words that begin with it are looked at.
        asked = " ".join(f"({word}|{word}*)" for word in words)
        query = f"@owner:{{{owner}}} @at:[-inf {below}] {asked}"
        # Where there is no index, nobody needs the copies.
        self.store.execute("FT.SEARCH", _INDEX, query, "LIMIT", 0, 0, "DIALECT", 2)
        self._refresh()
        command = ("SORTBY", "at", "DESC", "LIMIT", 0, most, "RETURN", 1, "at", "DIALECT", 2)
        found = self.store.execute("FT.SEARCH", _INDEX, query, *command)
        prefix = keys.searched(self.account, "")
        return [(key.removeprefix(prefix), int(at)) for key, (_, at) in zip(found[1::2], found[2::2], strict=True)]

    def _make(self) -> bool:
        """Make the index where there is none; False where the server has no RediSearch."""
        with suppress(redis.ResponseError):
            schema = (
                "ON HASH PREFIX 1 user: STOPWORDS 0 SCHEMA owner TAG CASESENSITIVE at NUMERIC SORTABLE text TEXT NOSTEM"
            )
            self.store.execute("FT.CREATE", _INDEX, *schema.split())
        try:
            self.store.execute("FT.INFO", _INDEX)
        except redis.ResponseError:
            return False
        return True

    def _refresh(self) -> None:
        """Copy the texts of the conversations that have changed."""
        account = keys.account(self.account)
        for name in self.store.execute("SMEMBERS", account.changed):
            # Before reading: the other way round a change in between would be forgotten.
            self.store.execute("SREM", account.changed, name)
            raw = self.store.execute("JSON.GET", keys.conversation(name)[0], *_PATHS)
            found = orjson.loads(raw) if raw else {"$.owner": []}
            if found["$.owner"] == [self.account]:
                text = plain("\n".join([found["$.title"][0] or "", *found[TEXTS]]))
                busy = found["$.turn"] != [None] or found["$.pending[*]"] != []
                on = [account.chats, account.changed, keys.searched(self.account, name)]
                self.store.run_on("index", on, name, self.account, text, int(busy))
