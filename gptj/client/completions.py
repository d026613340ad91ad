"""OpenAI's completions: a prompt goes there. vLLM, llama.cpp, `transformers serve` and `gptj.server` speak it too.

Source: OpenAI's API reference; what the others do differently was read in their code and issues.
"""

from typing import Any

from chat.config import Config
from chat.errors import ModelBroke, ModelGarbage
from chat.prompt import Window, build
from gptj.client.stream import Json, Piece, characters
from gptj.client.text import STOP


class Completions:
    """A prompt goes there, pieces of its continuation come back, the last one with a `finish_reason`."""

    path, marks, spare_tokens = "/completions", True, 8

    def __init__(self, config: Config) -> None:
        self._parameters = {"max_tokens": config.model_max_new_tokens, **config.sampling}

    def body(self, window: Window) -> Json:
        body = {"stream": True, **self._asked(window), **self._parameters}
        return {name: value for name, value in body.items() if value is not None}

    def _asked(self, window: Window) -> Json:
        return {"prompt": build(window), "stop": STOP}

    def piece(self, value: Json) -> Piece:
        """What an event says, or an answer in one."""
        if value.get("choices") == []:  # what was used, or what a filter found
            return Piece("")
        try:
            choice = value["choices"][0]
            # Ollama says "" while there is more to come.
            text, finish = self._text(choice), choice.get("finish_reason") or None
        except (LookupError, TypeError, AttributeError) as error:
            raise ModelGarbage from error
        # vLLM was stopped, OpenRouter's provider failed: both end as if all were well.
        if finish in ("abort", "error"):
            raise ModelBroke
        return Piece(characters(text), finish is not None, finish)

    def _text(self, choice: Json) -> Any:
        return choice["text"]
