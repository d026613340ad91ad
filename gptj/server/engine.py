"""GPT-J on CTranslate2: one loaded checkpoint, and the replies it writes."""

import json
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gptj.server.parameters import Invalid, Request

TICK_S = 0.5
_BYTES_PER_S = 500_000_000  # a guess, on which the estimate of the time to load rests


class Loading(Exception):
    """The checkpoint is not loaded yet; `estimated_s` is how long that may still take."""

    def __init__(self, estimated_s: float) -> None:
        super().__init__("loading")
        self.estimated_s = estimated_s


class Overloaded(Exception):
    """As many replies are being written or waited for as there are slots."""


@dataclass(frozen=True)
class Options:
    """Where the checkpoint is and how it runs. `threads`: replies that are computed side by side; `slots`: replies that
    are computed or wait for it."""

    folder: Path
    device: str = "auto"
    compute_type: str = "default"
    threads: int = 2
    threads_per_reply: int = 1
    slots: int = 64


@dataclass(frozen=True)
class Token:
    """A token of a reply. Its text is empty while a character is not complete; the last one says why it is the last."""

    id: int
    text: str
    logprob: float | None
    special: bool
    finish: str | None


class Engine:
    """A checkpoint that is loaded in the background. For any number of threads."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.name = options.folder.name
        self.running = threading.Semaphore(options.threads)
        self._slots = threading.Semaphore(options.slots)
        self._loaded = threading.Event()
        size = sum(file.stat().st_size for file in options.folder.glob("*.bin"))
        self._loaded_at = time.monotonic() + size / _BYTES_PER_S

    def load(self) -> None:
        """Load model and tokenizer. Raises RuntimeError, ValueError or OSError if they cannot be used."""
        # Imported here, so that the server listens before these large libraries are there.
        import ctranslate2  # type: ignore[import-untyped]
        import tokenizers
        from tokenizers.decoders import DecodeStream

        o = self.options
        config = json.loads((o.folder / "config.json").read_text())
        self.context_tokens = int(config.get("n_positions") or 2048)
        # Without limit: it is us who count the waiting, and a full queue would block.
        self.model = ctranslate2.Generator(
            str(o.folder),
            device=o.device,
            compute_type=o.compute_type,
            inter_threads=o.threads,
            intra_threads=o.threads_per_reply,
            max_queued_batches=-1,
        )
        self.tokenizer = tokenizers.Tokenizer.from_file(str(o.folder / "tokenizer.json"))
        self.special = {id for id, token in self.tokenizer.get_added_tokens_decoder().items() if token.special}
        self.new_decoder = DecodeStream
        self._loaded.set()

    def check_loaded(self) -> None:
        if not self._loaded.is_set():
            raise Loading(round(max(0.1, self._loaded_at - time.monotonic()), 1))

    def open(self, asked: Request) -> "Generation":
        """Take a slot for a reply; closing the reply gives it back. Raises Loading, Invalid or Overloaded."""
        self.check_loaded()
        room = self.context_tokens - asked.max_new_tokens
        if room < 1:
            raise Invalid(f"`max_new_tokens` must be less than {self.context_tokens}")
        tokens = self.tokenizer.encode(asked.prompt).tokens[-min(room, asked.truncate or room) :]
        if not self._slots.acquire(blocking=False):
            raise Overloaded
        return Generation(self, asked, tokens, self._slots.release)


class Generation:
    """One reply as it is written. Iterating yields its tokens, and None whenever there is none for TICK_S seconds.

    `close()` cancels what is left of it and gives the slot back; it may be called twice.
    """

    def __init__(self, engine: Engine, asked: Request, prompt: list[str], release: Any) -> None:
        self.asked = asked
        self._engine, self._prompt, self._release = engine, prompt, release
        self._steps: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._cancelled = self._computing = self._closed = False
        self._decoder = engine.new_decoder(skip_special_tokens=True)
        self.text = ""
        self.input_tokens, self.tokens = len(prompt), 0

    def __iter__(self) -> Iterator[Token | None]:
        while not self._engine.running.acquire(timeout=TICK_S):
            yield None
        self._computing = True
        (result,) = self._start()
        finish = None
        while finish is None:
            try:
                token = self._token(self._steps.get(timeout=TICK_S))
            except queue.Empty:
                if result.done():
                    result.result()  # raises what went wrong
                    raise RuntimeError("the reply has no end") from None
                yield None
                continue
            finish = token.finish
            yield token
        self.close()

    def close(self) -> None:
        self._cancelled = True
        self._computed()
        if not self._closed:
            self._closed = True
            self._release()

    def _computed(self) -> None:
        with self._lock:
            if self._computing:
                self._engine.running.release()
            self._computing = False

    def _start(self) -> Any:
        p = self.asked
        return self._engine.model.generate_batch(
            [self._prompt],
            asynchronous=True,
            include_prompt_in_result=False,
            return_scores=True,
            max_length=p.max_new_tokens,
            repetition_penalty=p.repetition_penalty or 1.0,
            sampling_topk=(p.top_k or 0) if p.sampled else 1,
            sampling_topp=(p.top_p or 1.0) if p.sampled else 1.0,
            sampling_temperature=(p.temperature or 1.0) if p.sampled else 1.0,
            callback=self._step,
        )

    def _step(self, step: Any) -> bool:
        """Called by the model's thread for each token; the answer tells whether to stop here."""
        self._steps.put(step)
        if step.is_last:
            self._computed()  # and not when all has been read: a slow reader must not hold up the model
        return self._cancelled

    def _token(self, step: Any) -> Token:
        special = step.token_id in self._engine.special
        piece = self._decoder.step(self._engine.tokenizer, step.token_id) or ""
        before = len(self.text)
        self.text += piece
        self.tokens += 1
        finish = None
        # A stop string may have begun in an earlier token. Like TGI's, the text includes it.
        if any(stop in self.text[max(0, before - len(stop)) :] for stop in self.asked.stop):
            finish = "stop_sequence"
            self._cancelled = True
        elif step.is_last:
            finish = "eos_token" if special else "length"
        return Token(step.token_id, step.token if special else piece, step.log_prob, special, finish)
