"""OpenAI's chat completions: the messages go there by role. Most servers and every hosted model speak it."""

from typing import Any

from chat.prompt import SILENCE, Window, defuse
from gptj.client.completions import Completions
from gptj.client.stream import Json

ROLES = {"human": "user", "bot": "assistant"}


class Chat(Completions):
    """The server's own template makes a prompt of the messages, so no line is quoted.

    But what the template has made may be searched for special tokens, those in a text among them.

    What a model thinks (`reasoning_content`, `reasoning`) is no part of the reply.
    """

    path, marks, spare_tokens = "/chat/completions", False, 64

    def _asked(self, window: Window) -> Json:
        # Many templates refuse a conversation that a user did not begin.
        first = next((n for n, message in enumerate(window) if message["role"] == "human"), 0)
        messages = [{"role": ROLES[m["role"]], "content": defuse(m["text"]) or SILENCE} for m in window[first:]]
        return {"messages": messages}

    def _text(self, choice: Json) -> Any:
        # Azure's filter sends choices with neither.
        return (choice.get("delta") or choice.get("message") or {}).get("content")
