"""The Hugging Face text-generation protocol, as Text Generation Inference (TGI), its kin and `gptj.server` speak it.

Source: TGI's OpenAPI document.
"""

from chat.config import Config
from chat.errors import ModelGarbage
from chat.prompt import Window, build
from gptj.client.stream import Json, Piece, characters
from gptj.client.text import STOP


class HuggingFace:
    """A prompt goes there, the tokens of its continuation come back, the last one with the whole text."""

    path, marks, spare_tokens = "", True, 0

    def __init__(self, config: Config) -> None:
        length, sampled = config.model_max_new_tokens, config.sampling["temperature"] != 0
        lengths = {"max_new_tokens": length, "truncate": config.model_context_tokens - length}
        settings = lengths | {"return_full_text": False, "stop": STOP, "do_sample": sampled} | config.sampling
        # TGI refuses a temperature of 0.
        self._settings = {k: v for k, v in settings.items() if v is not None and (k, v) != ("temperature", 0)}

    def body(self, window: Window) -> Json:
        return {"inputs": build(window), "parameters": self._settings, "stream": True, "options": {"use_cache": False}}

    def piece(self, value: Json) -> Piece:
        """What an event says, or an answer in one, which has no `token`."""
        whole, details = value.get("generated_text"), value.get("details")
        token = value.get("token", {"text": whole})
        if not isinstance(token, dict) or not isinstance(token.get("text"), str) or not isinstance(whole, str | None):
            raise ModelGarbage
        finish = details.get("finish_reason") if isinstance(details, dict) else None
        return Piece("" if token.get("special") else characters(token["text"]), whole is not None, finish)
