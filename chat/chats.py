"""An account's conversations: made, taken over, listed newest first, searched, deleted."""

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from chat import keys
from chat.accounts import Accounts, plain
from chat.conversation import Conversation
from chat.errors import ConversationGone, LoginRequired
from chat.events import iso
from chat.search import TEXTS, Row, Search, owned, words_of
from chat.store import Store

# Conversations that one search reads at the most; the next page goes on from there. And how many are read at once.
READ_MAX, READ_AT_ONCE = 200, 20
EXCERPT_CHARS = 120
# An entry without a conversation is left alone for so long: the conversation is perhaps just being made.
YOUNG_S = 60


@dataclass(frozen=True)
class Entry:
    """A conversation in a list. `excerpt` is a piece of it with the first of the words that were searched for."""

    id: str
    title: str | None
    started_at: str
    last_at: str
    excerpt: str | None = None


@dataclass(frozen=True)
class Chats:
    """The conversations of an account, which is named in plain form.

    They are listed in an index that is written before a conversation is made; so none is ever lost, and entries
    without a conversation are skipped.
    """

    store: Store
    account: str

    def create(self, name: str = "", conversation_id: str = "") -> Conversation:
        """Make a conversation, if there is none of this id. Raises LoginRequired when the account is gone."""
        conversation = Conversation(self.store, conversation_id or str(uuid4()), self.account)
        if not conversation.note(new=True):
            raise LoginRequired()
        Conversation.create(self.store, name, conversation.id, self.account)
        # The account may have been deleted in between.
        if not conversation.note():
            conversation.delete()
            raise LoginRequired()
        return conversation

    def adopt(self, conversation_ids: Iterable[str]) -> None:
        """Take over those of these that are a guest's. The newest come first."""
        for conversation_id in reversed(list(conversation_ids)):
            conversation = Conversation(self.store, conversation_id, self.account)
            if conversation.exists() and conversation.note(new=True):
                try:
                    conversation.adopt()
                except ConversationGone:
                    self._forget(conversation_id)

    def delete(self, conversation_id: str) -> None:
        """Delete one of them. Raises ConversationGone."""
        try:
            Conversation(self.store, conversation_id, self.account).delete()
        finally:
            self._forget(conversation_id)

    def delete_all(self) -> None:
        """Delete all of them, also those that are made meanwhile."""
        while rows := Search(self.store, self.account).rows([], None, READ_AT_ONCE):
            for conversation_id, _ in rows:
                with suppress(ConversationGone):
                    self.delete(conversation_id)

    def page(self, query: str = "", before: int | None = None, limit: int = 30) -> tuple[list[Entry], int | None]:
        """The newest that hold all words of the query, and from where the next page goes on, if there may be one."""
        words = words_of(query)
        if query.strip() and not words:
            return [], None
        search = Search(self.store, self.account)
        entries: list[Entry] = []
        for _ in range(READ_MAX // READ_AT_ONCE):
            rows = search.rows(words, before, READ_AT_ONCE)
            for (_, before), entry in zip(rows, self._entries(rows, words), strict=True):
                entries += [entry] if entry else []
                if len(entries) == limit:
                    return entries, before if search.rows(words, before, 1) else None
            if len(rows) < READ_AT_ONCE:
                return entries, None
        return entries, before

    def _entries(self, rows: list[Row], words: list[str]) -> Iterator[Entry | None]:
        """For each row its entry, where there is a conversation and it holds the words."""
        paths = ("$.owner", "$.title", "$.started_at", *([TEXTS] if words else []))
        asked = (("JSON.GET", keys.conversation(conversation_id)[0], *paths) for conversation_id, _ in rows)
        for (conversation_id, at), raw in zip(rows, self.store.execute_all(*asked), strict=True):
            entry = None
            if found := owned(raw, self.account):
                title, started_at = found["$.title"][0], found["$.started_at"][0]
                excerpt = excerpt_of([title or "", *found[TEXTS]], words) if words else None
                if excerpt or not words:
                    entry = Entry(conversation_id, title, started_at, iso(at / 1e6), excerpt)
            elif at / 1e6 < time.time() - YOUNG_S:
                self._forget(conversation_id)
            yield entry

    def _forget(self, conversation_id: str) -> None:
        account = keys.account(self.account)
        self.store.execute_all(
            ("ZREM", account.chats, conversation_id),
            ("SREM", account.changed, conversation_id),
            ("UNLINK", keys.searched(self.account, conversation_id)),
        )


def excerpt_of(texts: list[str], words: list[str]) -> str | None:
    """A piece of the first text with the first word, where all words are in some text; else None."""
    folded = [plain(text) for text in texts]
    if not all(any(word in text for text in folded) for word in words):
        return None
    text, at = next((texts[n], text.index(words[0])) for n, text in enumerate(folded) if words[0] in text)
    begin = max(at - EXCERPT_CHARS // 3, 0)
    piece = " ".join(text[begin : begin + EXCERPT_CHARS].split())
    return f"{'…' if begin else ''}{piece}{'…' if begin + EXCERPT_CHARS < len(text) else ''}"


def delete_account(store: Store, name: str) -> None:
    """Delete an account with its conversations and sessions. Raises LoginFailed when there is none of this name.

    If it breaks off, nobody can log in any more; do it again.
    """
    accounts = Accounts(store)
    accounts.close(name)
    Chats(store, plain(name)).delete_all()
    accounts.forget(name)
