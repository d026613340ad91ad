"""The client that the worker uses: a window of messages goes to the model's server, a reply comes back in pieces."""

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing, suppress
from random import uniform
from typing import Any

import requests
import urllib3

from chat.errors import ModelBroke, ModelError, ModelGarbage, ModelRefused, ModelSilent, ModelTimeout, ModelUnavailable
from chat.prompt import Window
from gptj.client.failures import Overloaded, refused, unanswered
from gptj.client.line import Line, send
from gptj.client.server import Server
from gptj.client.stream import Json, Piece, pieces, read
from gptj.client.text import ReplyText

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
ERROR_BYTES, ASIDE_BYTES = 16_384, 16_000_000
DRAIN_S = 0.05


class Model(Server):
    """The model behind MODEL_URL, whatever its server speaks; for any number of threads or greenlets."""

    def reply(self, window: Window, limit_s: float) -> "Reply":
        """The reply to the window's newest message. Nothing is sent before it is iterated over."""
        return Reply(self, window, limit_s)


class Reply(AbstractContextManager["Reply"]):
    """One reply as it is written: an iterator over cleaned pieces of text, to be used once.

    Raises any ModelError. `close()` may be called from another thread or greenlet: it hangs up at once, and the
    iteration simply stops.
    """

    def __init__(self, model: Model, window: Window, limit_s: float) -> None:
        self._model, self._window, self._limit_s = model, window, limit_s
        # What no error may repeat: the access token, and what the messages' lines say.
        said = (line.strip() for message in window for line in message["text"].splitlines())
        self._secrets = [model.config.model_token, *said]
        self._body: Json = {}
        self._line = Line()
        self._over = threading.Event()
        self._closed = self._begun = False
        self._deadline = 0.0
        # A server that ignores max_new_tokens is left here: what has come is as good a reply as any other that was
        # cut at its greatest length, and asking again would only bring the same.
        self._max_chars = 16 * model.config.model_max_new_tokens + 1000
        self._pieces = self._write()

    def __iter__(self) -> Iterator[str]:
        return self._pieces

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
        """The pieces of the first answer that is one. One without text is asked for again, once."""
        pause_s, empty = FIRST_PAUSE_S, 0
        while not self._begun:
            try:
                self._body = self._model.body(self._window, self._aside)
                with closing(self._ask(self._model.url, self._body)) as response:
                    for certain in self._text(response):
                        self._begun = True
                        yield certain
                empty += not self._begun
                if empty > 1:
                    raise ModelSilent
            except Overloaded as overloaded:
                if self._begun:
                    raise ModelBroke(str(overloaded)) from overloaded
                self._wait(pause_s, overloaded)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            except urllib3.exceptions.HTTPError as error:
                silent = isinstance(error, urllib3.exceptions.ReadTimeoutError) and not self._begun
                raise (ModelTimeout if silent else ModelBroke) from error

    def _aside(self, url: str, body: Json | None) -> Any:
        """What the server says to a question beside that for a reply: its JSON, {} if it has none, None if it broke."""
        try:
            with closing(self._ask(url, body)) as response:
                return read(response.raw.read(ASIDE_BYTES, decode_content=True))
        except (ModelRefused, ModelBroke, ModelGarbage, Overloaded) as error:
            if isinstance(error, Overloaded) and not body:  # a name is worth waiting for, a count can be guessed
                raise
            return {} if isinstance(error, ModelRefused | ModelGarbage) else None

    def _ask(self, url: str, body: Json | None) -> requests.Response:
        """The server's answer with status 200, as yet unread."""
        self._line = Line()
        # Looked at after the line is there: a hang-up from now on finds it.
        if self._over.is_set():
            raise ModelUnavailable
        config, left_s = self._model.config, max(0.001, self._deadline - time.monotonic())
        timeout = (min(config.model_connect_s, left_s), config.model_read_s)
        try:
            response = send(self._model.session, self._line, url, body, timeout)
        except requests.RequestException as error:
            raise unanswered(error, fresh=self._line.reused is False) from error
        if response.status_code != 200:
            if response.status_code == 404 and url == self._model.url:
                self._model.name = config.model_name  # another server may be there now, with another model
            with closing(response):
                raise refused(response, response.raw.read(ERROR_BYTES, decode_content=True), self._secrets)
        return response

    def _wait(self, pause_s: float, overloaded: Overloaded) -> None:
        """Wait before the next try: some of the pause, so that not all come back at once, or what the server asks."""
        left_s = self._deadline - time.monotonic()
        if overloaded.firm and overloaded.wait_s > left_s:
            raise overloaded
        # An estimate beyond our time may be wrong: then we go on asking.
        asked_s = overloaded.wait_s if overloaded.wait_s < left_s else 0.0
        if self._over.wait(max(asked_s, uniform(0.5, 1.0) * pause_s)):
            raise overloaded

    def _text(self, response: requests.Response) -> Iterator[str]:
        protocol = self._model.protocol
        text, chars, piece = ReplyText(protocol.marks), 0, Piece("")
        for piece in pieces(response, protocol.piece, self._secrets):
            chars += len(piece.text)
            if self._over.is_set():  # there may be text of before the hang-up
                raise ModelTimeout
            # Some servers do not know return_full_text and begin with the prompt.
            if certain := text.feed(piece.text.removeprefix(self._body.get("inputs", ""))):
                yield certain
            if piece.last or text.finished or chars > self._max_chars:
                break
        else:
            raise ModelBroke
        if piece.last:
            self._line.drain(response, DRAIN_S)
        if rest := text.end(piece.finish if piece.last else "length"):
            yield rest
