"""Writing one reply: from the model, piece by piece, into the store."""

import logging
import time
from queue import Empty, SimpleQueue
from threading import Thread

from chat import trace
from chat.errors import FencedOff, ModelBroke, ModelError
from chat.turns import Turn
from gptj.client import Model, Reply

# Deltas that come within this time of the last one travel together; the first goes out at once.
JOIN_S = 0.01
BROKEN_AGAIN_MS = 500

log = logging.getLogger(__name__)


class Writing:
    """A turn being written. One thread reads the model, this one writes; the keeper tells of stops.

    All three meet in one queue, so that a stop is seen also while the model is silent.
    """

    def __init__(self, turn: Turn, model: Model) -> None:
        self.turn = turn
        self._reply: Reply = model.reply(turn.window, turn.store.config.turn_limit_s)
        # Pieces of text as ("text", piece); else what ends the writing: done, stop, fenced, leave, or an error.
        self._heard: SimpleQueue[tuple[str, str | ModelError]] = SimpleQueue()

    def told(self, what: str) -> None:
        """Take note of `stop`, `fenced` or `leave`. Never blocks."""
        self._heard.put((what, ""))

    def write(self) -> int:
        """Write the reply to its end and say how many messages wait behind it."""
        Thread(target=self._read, daemon=True, name="model").start()
        try:
            return self._end(*self._write())
        except FencedOff:
            trace.note("fenced off", self.turn.conversation_id, self.turn.message_id)
            return 0
        finally:
            self._reply.close()

    def _read(self) -> None:
        ended: tuple[str, str | ModelError] = "error", ModelBroke()
        try:
            for piece in self._reply:
                self._heard.put(("text", piece))
            ended = "done", ""
        except ModelError as error:
            ended = "error", error
        finally:
            # After a mistake of ours too: nobody else would end this turn, whose lease is renewed while it is written.
            self._heard.put(ended)

    def _write(self) -> tuple[str, str | ModelError, str]:
        """Emit what is heard until something ends it: what, more about it, and the text not yet emitted."""
        text, sent = "", 0.0
        while True:
            what, more = self._heard.get()
            while what == "text":
                text += str(more)
                what, more = self._hear_until(sent + JOIN_S)
            if what != "nothing":
                return what, more, text
            if not self.turn.emit(text):
                return "stop", "", ""
            text, sent = "", time.monotonic()

    def _hear_until(self, when: float) -> tuple[str, str | ModelError]:
        left = when - time.monotonic()
        try:
            return self._heard.get(timeout=left) if left > 0 else self._heard.get_nowait()
        except Empty:
            return "nothing", ""

    def _end(self, what: str, more: str | ModelError, text: str) -> int:
        turn = self.turn
        if what == "done":
            return turn.finish("completed", text)
        if what == "stop":
            return turn.finish("stopped", text)
        if what == "fenced":
            raise FencedOff()
        if what == "leave":
            turn.release(strike=False)
            return 0
        assert isinstance(more, ModelError)
        log.warning("the model failed: %s: %s", more.code, more.detail)
        if isinstance(more, ModelBroke):
            turn.release(strike=True, delay_ms=BROKEN_AGAIN_MS)
            return 0
        return turn.finish("failed", text, code=more.code, detail=more.detail, retryable=more.retryable)
