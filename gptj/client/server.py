"""The model's server: which protocol it speaks, where it is asked, and what is learned from it."""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from chat.config import Config
from chat.prompt import Window, build, fit, most_tokens
from gptj.client.chat import Chat
from gptj.client.completions import Completions
from gptj.client.huggingface import HuggingFace
from gptj.client.line import open_session
from gptj.client.stream import Json

# Asks the server at an address, with a body or without: its JSON, {} where it has none to give, None where it broke.
Ask = Callable[[str, Json | None], Any]
_PROTOCOLS: dict[str, Any] = {"huggingface": HuggingFace, "openai-completions": Completions, "openai-chat": Chat}


class Server:
    """What the worker knows of the model's server; for any number of threads."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.session = open_session(config.model_token, config.worker_concurrency)
        self.protocol: HuggingFace | Completions = _PROTOCOLS[config.protocol](config)
        room = config.model_context_tokens - config.model_max_new_tokens - self.protocol.spare_tokens
        self._room = max(32, room)  # enough for a role with nothing to say
        self.name, self._counts = config.model_name, True
        url = urlsplit(config.model_url)
        base = re.sub(r"/generate(_stream)?$|(/chat)?/completions$", "", url.path.rstrip("/"))
        if self.protocol.path:  # OpenAI's have a base, as their own client knows it
            base = base or "/v1"
            url = url._replace(path=base + self.protocol.path)
        self.url, self._base = url.geturl(), url._replace(path=base, query="").geturl()

    def body(self, window: Window, ask: Ask) -> Json:
        """The request for a reply to as much of the window as the model can take."""
        if self.protocol.path and not self.name:  # most servers have but one model
            with suppress(LookupError, TypeError):
                self.name = str(ask(f"{self._base}/models", None)["data"][0]["id"])
        body = self.protocol.body(self._fit(window, ask))
        return {"model": self.name, **body} if self.protocol.path and self.name else body

    def _fit(self, window: Window, ask: Ask) -> Window:
        """The window, cut to the context: what could be too long is counted by the server, or else guessed."""
        text = build(window)
        if len(text.encode()) <= self._room:  # no token is shorter than a byte
            return window
        if not (counted := self._count(text, ask)):
            return fit(window, self._room)
        if counted <= self._room:
            return window
        return self._fit(fit(window, int(0.95 * most_tokens(text) * self._room / counted)), ask)

    def _count(self, text: str, ask: Ask) -> int:
        """How many tokens that is, by TGI, gptj.server, vLLM or llama.cpp, each in its own words; 0: it won't say."""
        words = {"inputs": text, "prompt": text, "content": text, "model": self.name or None}
        answer = ask(f"{self._base.removesuffix('/v1')}/tokenize", words) if self._counts else {}
        with suppress(LookupError, TypeError):
            tokens = answer["tokens"] if isinstance(answer, dict) else answer
            return len([token if isinstance(token, int) else token["id"] for token in tokens])
        self._counts = answer is None  # what broke may be well for the next reply
        return 0
