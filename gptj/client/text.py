"""The text of a reply, cleaned while it arrives."""

import re

# What a model writes when it goes on with the dialogue by itself.
STOP = ["Human:", "\nBot:"]
_MARK = re.compile(r"Human:|\n[ \t]*Bot:")
_HUMAN, _BOT = "Human:", "Bot:"


class ReplyText:
    """Takes a reply in any pieces and gives back what is certain to belong to it.

    The reply ends before the first mark, has no white space around it, and is the same however it was cut: what may
    turn out to be the beginning of a mark, or white space at the end, is held back. Without `marks` nothing ends it.
    """

    def __init__(self, marks: bool = True) -> None:
        self._marks = marks
        self.finished = False  # a mark was seen: nothing of what follows belongs to the reply
        self._held = ""
        self._begun = False

    def feed(self, piece: str) -> str:
        """The text that has become certain with this piece; often empty."""
        if self.finished:
            return ""
        self._held += piece
        if mark := self._marks and _MARK.search(self._held):
            self.finished = True
            certain, self._held = self._held[: mark.start()].rstrip(), ""
        else:
            certain_to = _certain_to(self._held)
            certain, self._held = self._held[:certain_to], self._held[certain_to:]
        return self._opening(certain)

    def end(self, finish: str | None = None) -> str:
        """The rest, when no more will come; `finish` is the server's finish_reason, if it gave one.

        A reply that was cut at its greatest length may have been cut within a mark: then the beginning of a mark is
        dropped. Where the reason is unknown it is dropped if it stands on a line of its own.
        """
        rest, self._held = self._held, ""
        if self._marks and (finish == "length" or (finish is None and "\n" in rest)):
            rest = rest[: _certain_to(rest)]
        return self._opening(rest.rstrip())

    def _opening(self, certain: str) -> str:
        certain = certain if self._begun else certain.lstrip()
        self._begun = self._begun or bool(certain)
        return certain


def _certain_to(text: str) -> int:
    """The length of the text without what may still become a mark, and without white space at the end."""
    for letters in range(len(_HUMAN) - 1, 0, -1):
        before = text[:-letters]
        opens_line = letters < len(_BOT) and before.rstrip(" \t").endswith("\n")
        if text.endswith(_HUMAN[:letters]) or (opens_line and text.endswith(_BOT[:letters])):
            return len(before.rstrip())
    return len(text.rstrip())
