"""Which of an account's conversations may hold the words that are searched for, the last used first."""

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from chat import keys
from chat.accounts import plain
from chat.errors import StoreRefused
from chat.store import Store

# Where a conversation's texts are in its document; of a very long one only the newest are searched.
TEXTS = "$.messages[-1000:].text"
_PATHS = ("$.owner", "$.title", TEXTS, "$.turn", "$.pending[*]")
WORDS_MAX, WORD_CHARS_MAX = 10, 50
_INDEX = "parley-texts"
_SCHEMA = "ON HASH PREFIX 1 user: STOPWORDS 0 SCHEMA owner TAG CASESENSITIVE at NUMERIC SORTABLE text TEXT NOSTEM"
# Chinese and Japanese write no spaces, and RediSearch finds no words in them.
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff]")

# The id of a conversation and when it was used last, in microseconds since 1970.
Row = tuple[str, int]


def words_of(query: str) -> list[str]:
    """The words of a query in plain form. Whatever else it holds is no part of them, so nothing need be escaped."""
    return [word[:WORD_CHARS_MAX] for word in re.findall(r"\w+", plain(query))[:WORDS_MAX]]


def owned(raw: str | None, account: str) -> dict[str, Any] | None:
    """What JSON.GET answered for `$.owner` and other paths of a conversation, if it is this account's."""
    found = orjson.loads(raw) if raw else {"$.owner": []}
    return found if found["$.owner"] == [account] else None


@dataclass(frozen=True)
class Search:
    """An account's conversations: all, or where the server has RediSearch those with the words or their beginnings.

    Its index does not hold the documents themselves: at each of a turn's steps it would read a document as a whole,
    8 ms for 1,000 messages. A copy of the texts is made when somebody searches, of what has changed since.
    """

    store: Store
    account: str

    def rows(self, words: list[str], before: int | None, most: int) -> list[Row]:
        """The newest that were used before this time; fewer than `most` when there are no more."""
        below = "+inf" if before is None else f"({before}"
        if words and not _UNSPACED.search("".join(words)):
            # Where the server has no RediSearch, each of them may hold the words.
            with suppress(StoreRefused):
                return self._indexed(words, below, most)
        command = ("ZREVRANGEBYSCORE", keys.account(self.account).chats, below, "-inf", "WITHSCORES", "LIMIT", 0, most)
        found = self.store.execute(*command)
        return [(name, int(at)) for name, at in zip(found[::2], found[1::2], strict=True)]

    @property
    def _at(self) -> str:
        """All that is searched of an account is on one node of a cluster, and so is the index to ask."""
        return keys.account(self.account).document

    def _indexed(self, words: list[str], below: str, most: int) -> list[Row]:
        try:
            return self._search(words, below, most)
        except StoreRefused:
            # There is no index yet; or there is one now, as somebody else makes it.
            with suppress(StoreRefused):
                self.store.execute("FT.CREATE", _INDEX, *_SCHEMA.split(), key=self._at)
            return self._search(words, below, most)

    def _search(self, words: list[str], below: str, most: int) -> list[Row]:
        owner = re.sub(r"([.-])", r"\\\1", self.account)
        # The bare word too, as only so many words that begin with it are looked at.
        asked = " ".join(f"({word}|{word}*)" for word in words)
        query = f"@owner:{{{owner}}} @at:[-inf {below}] {asked}"
        # Where there is no index, nobody needs the copies.
        self.store.execute("FT.SEARCH", _INDEX, query, "LIMIT", 0, 0, "DIALECT", 2, key=self._at)
        self._refresh()
        command = ("SORTBY", "at", "DESC", "LIMIT", 0, most, "RETURN", 1, "at", "DIALECT", 2)
        found = self.store.execute("FT.SEARCH", _INDEX, query, *command, key=self._at)
        prefix = keys.searched(self.account, "")
        return [(key.removeprefix(prefix), int(at)) for key, (_, at) in zip(found[1::2], found[2::2], strict=True)]

    def _refresh(self) -> None:
        """Copy the texts of the conversations that have changed."""
        account = keys.account(self.account)
        for name in self.store.execute("SMEMBERS", account.changed):
            # Before reading: the other way round a change in between would be forgotten.
            self.store.execute("SREM", account.changed, name)
            raw = self.store.execute("JSON.GET", keys.conversation(name)[0], *_PATHS)
            if found := owned(raw, self.account):
                text = plain("\n".join([found["$.title"][0] or "", *found[TEXTS]]))
                busy = found["$.turn"] != [None] or found["$.pending[*]"] != []
                on = [account.chats, account.changed, keys.searched(self.account, name)]
                self.store.run_on("index", on, name, self.account, text, int(busy))
