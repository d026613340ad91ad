"""The client that the worker uses: a prompt goes to the model's server, a reply comes back piece by piece."""

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from random import uniform
from typing import Any

import requests
import urllib3

from chat.config import Config
from chat.errors import ModelBroke, ModelError, ModelTimeout, ModelUnavailable
from gptj.client.failures import Overloaded, refused, unanswered
from gptj.client.line import Line, open_session, post
from gptj.client.stream import Piece, beginning, pieces
from gptj.client.text import ReplyText

STOP = ["Human:", "\nBot:"]
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
ERROR_BYTES = 16_384
DRAIN_S = 0.05


class Model:
    """A server that speaks the Hugging Face text-generation protocol; for any number of threads or greenlets."""

    def __init__(self, config: Config) -> None:
        self.config = config
        # A server that ignores max_new_tokens is left here: what has come is as good a reply as any other that was
        # cut at its greatest length, and asking again would only bring the same.
        self.max_chars = 16 * config.model_max_new_tokens + 1000
        self._session = open_session(config.model_token, config.worker_concurrency)
        self._parameters = _parameters(config)

    def reply(self, prompt: str, limit_s: float) -> "Reply":
        """The reply to a prompt that ends in `Bot:`. Nothing is sent before it is iterated over."""
        return Reply(self, prompt, limit_s)

    def send(self, prompt: str, line: Line, limit_s: float) -> requests.Response:
        """The server's answer, as yet unread."""
        options = {"use_cache": False}
        body = {"inputs": prompt, "parameters": self._parameters, "stream": True, "options": options}
        timeout = (min(self.config.model_connect_s, limit_s), self.config.model_read_s)
        return post(self._session, line, self.config.model_url, body, timeout)

    def secrets(self, prompt: str) -> list[str]:
        """What no error may repeat: the access token, and what the prompt's lines say."""
        said = (line.removeprefix("Human:").removeprefix("Bot:").strip() for line in prompt.splitlines())
        return [self.config.model_token, *said]


def _parameters(config: Config) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "max_new_tokens": config.model_max_new_tokens,
        "return_full_text": False,
        "stop": STOP,
        "truncate": config.model_context_tokens - config.model_max_new_tokens,
        "do_sample": config.model_temperature > 0,
    }
    if config.model_temperature > 0:
        parameters["temperature"] = config.model_temperature
        # TGI refuses 1, which means "no limit", and 0.
        if 0 < config.model_top_p < 1:
            parameters["top_p"] = config.model_top_p
    return parameters


class Reply:
    """One reply as it is written: an iterator over cleaned pieces of text, to be used once.

    Raises ModelUnavailable, ModelTimeout, ModelBroke, ModelRefused or ModelGarbage. `close()` may be called from
    another thread or greenlet: it hangs up at once, and the iteration simply stops.
    """

    def __init__(self, model: Model, prompt: str, limit_s: float) -> None:
        self._model, self._prompt, self._limit_s = model, prompt, limit_s
        self._secrets = model.secrets(prompt)
        self._line = Line()
        self._over = threading.Event()
        self._closed = self._begun = False
        self._deadline = 0.0
        self._pieces = self._write()

    def __iter__(self) -> Iterator[str]:
        return self._pieces

    def __enter__(self) -> "Reply":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._closed = True
        self._hang_up()
        # Refused while another thread is in there: it is on its way out, and cleans up itself.
        with suppress(ValueError):
            self._pieces.close()

    def _hang_up(self) -> None:
        self._over.set()
        self._line.hang_up()

    def _write(self) -> Generator[str, None, None]:
        self._deadline = time.monotonic() + self._limit_s
        # An alarm and not a time-out of each read: it also ends a server that sends a byte now and then.
        alarm = threading.Timer(self._limit_s, self._hang_up)
        alarm.daemon = True
        alarm.start()
        try:
            yield from self._read()
        except ModelError as error:
            if self._closed:
                return
            # Whatever hanging up looked like to the reader. Waiting for a server says by itself what it waited for.
            if self._over.is_set() and not isinstance(error, ModelUnavailable):
                raise ModelTimeout from error
            raise
        finally:
            alarm.cancel()

    def _read(self) -> Iterator[str]:
        """The pieces of the first answer that is one."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                with closing(self._answer()) as response:
                    yield from self._text(response)
                return
            except Overloaded as overloaded:
                self._wait(pause_s, overloaded)
            except urllib3.exceptions.ReadTimeoutError as error:
                raise (ModelBroke if self._begun else ModelTimeout) from error
            except urllib3.exceptions.HTTPError as error:
                raise ModelBroke from error
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _answer(self) -> requests.Response:
        self._line = Line()
        # Looked at after the line is there: a hang-up from now on finds it.
        if self._over.is_set():
            raise ModelUnavailable
        try:
            limit_s = max(0.001, self._deadline - time.monotonic())
            response = self._model.send(self._prompt, self._line, limit_s)
        except requests.RequestException as error:
            raise unanswered(error, fresh=self._line.reused is False) from error
        if response.status_code != 200:
            with closing(response):
                raise refused(response, beginning(response, ERROR_BYTES), self._secrets)
        return response

    def _wait(self, pause_s: float, overloaded: Overloaded) -> None:
        """Wait before the next try: some of the pause, so that not all come back at once, or what the server asks."""
        left_s = self._deadline - time.monotonic()
        if self._begun or (overloaded.firm and overloaded.wait_s > left_s):
            raise overloaded
        # An estimate beyond our time may be wrong: then we go on asking.
        asked_s = overloaded.wait_s if overloaded.wait_s < left_s else 0.0
        if self._over.wait(max(asked_s, uniform(0.5, 1.0) * pause_s)):
            raise overloaded

    def _text(self, response: requests.Response) -> Iterator[str]:
        text, chars, piece = ReplyText(), 0, Piece("")
        for piece in pieces(response, self._prompt, self._secrets):
            self._begun = self._begun or bool(piece.text)
            chars += len(piece.text)
            if self._over.is_set():  # there may be text of before the hang-up
                raise ModelTimeout
            if certain := text.feed(piece.text):
                yield certain
            if piece.last or text.finished or chars > self._model.max_chars:
                break
        else:
            raise ModelBroke
        if piece.last:
            self._line.drain(response, DRAIN_S)
        if rest := text.end(piece.finish if piece.last else "length"):
            yield rest
