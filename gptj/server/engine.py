"""GPT-J on CTranslate2: one loaded checkpoint, and the replies it writes."""

import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from chat.config import Config
from gptj.server.parameters import Refused, Request

TINY = Path(__file__).resolve().parent.parent / "tiny"
Here = Callable[[], bool]  # whether the client is
TICK_S = 0.5
WAIT_FOR_MODEL_S = 120  # of those who would rather wait than hear that the model is loading
_BYTES_PER_S = 500_000_000  # a guess, on which the estimate of the time to load rests
_SMALL_BYTES = 100_000_000

REPLIES = Counter("gptj_replies", "Requests for a reply, by how they ended.", ["outcome"])
READ, WRITTEN = Counter("gptj_prompt_tokens", "Tokens read."), Counter("gptj_generated_tokens", "Tokens written.")
FIRST = Histogram(
    "gptj_first_token_seconds", "From a request to its reply's first token, waiting in the queue included."
)
WAITING, RUNNING = Gauge("gptj_waiting", "Replies that wait."), Gauge("gptj_running", "Replies being computed.")


@dataclass(frozen=True)
class Token:
    """A token of a reply, as TGI shows it. Its text is empty while a character is not complete."""

    id: int
    text: str
    logprob: float | None
    special: bool


class Engine:
    """A checkpoint that is loaded in the background. For any number of threads."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.folder = Path(config.gptj_path) if config.gptj_path else TINY
        self._slots = threading.Semaphore(config.gptj_slots)
        self.ready = threading.Event()
        self._bytes = sum(file.stat().st_size for file in self.folder.glob("*.bin"))

    def load(self) -> None:
        """Load model and tokenizer. Raises RuntimeError, ValueError or OSError if they cannot be used."""
        # Imported here, so that the server listens before these large libraries are there.
        import ctranslate2  # type: ignore[import-untyped]
        import tokenizers

        self.context_tokens = int(json.loads((self.folder / "config.json").read_text()).get("n_positions") or 2048)
        at_once, each = self._threads(self.config.gptj_device != "cpu" and ctranslate2.get_cuda_device_count() > 0)
        # Without limit: it is us who count the waiting, and a full queue would block.
        self.model = ctranslate2.Generator(
            str(self.folder), device=self.config.gptj_device, compute_type=self.config.gptj_compute,
            inter_threads=at_once, intra_threads=each, max_queued_batches=-1,
        )  # fmt: skip
        self.running = threading.Semaphore(at_once)
        self.tokenizer = tokenizers.Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        self.tokenizer.encode_special_tokens = True  # as what they are in a prompt: its users' text, not the text's end
        self.special = {id for id, token in self.tokenizer.get_added_tokens_decoder().items() if token.special}
        self.new_decoder = tokenizers.decoders.DecodeStream
        # A library of CUDA that is missing is missed by the first token only.
        self.model.generate_batch([self.tokenizer.encode("Human:").tokens], max_length=1)
        self.ready.set()

    def _threads(self, gpu: bool) -> tuple[int, int]:
        """How many replies are computed at once, each by how many threads, where the settings leave it open.

        Threads that share a small model's reply wait for each other longer than they compute, and what writes a large
        one's is not the processor but the memory, which one reply keeps busy. Half the processors are real ones.
        """
        cores = os.cpu_count() or 1
        by_size = (min(2, cores), 1) if self._bytes < _SMALL_BYTES else (1, max(1, cores // 2))
        at_once, each = (4, 1) if gpu else by_size
        return self.config.gptj_threads or at_once, self.config.gptj_threads_per_reply or each

    def loaded(self) -> "Engine":
        """Itself. Raises Refused while it is not loaded yet, or is about to leave."""
        if not self.ready.is_set():
            raise Refused("loading", f"Model {self.folder.name} is currently loading", 1 + self._bytes // _BYTES_PER_S)
        return self

    def open(self, asked: Request, here: Here) -> "Generation":
        """Take a slot for a reply, while the client is `here`; closing the reply gives it back. Raises Refused."""
        if not self._slots.acquire(blocking=False):
            raise Refused("overloaded", "Model is overloaded", 1)
        with ExitStack() as ending:
            ending.callback(self._slots.release)
            until = time.monotonic() + WAIT_FOR_MODEL_S * asked.wait_for_model
            while time.monotonic() < until and here() and not self.ready.wait(TICK_S):
                pass
            room = self.loaded().context_tokens - asked.max_new_tokens
            if room < 1:
                raise Refused("validation", f"`max_new_tokens` must be less than {self.context_tokens}")
            prompt = self.tokenizer.encode(asked.prompt).tokens[-min(room, asked.truncate or room) :]
            return Generation(self, asked, here, prompt, ending.pop_all())


class Generation:
    """One reply as it is written. Iterating yields its tokens, and None whenever there is none for TICK_S seconds.

    With the last one `finish` says why it is the last; there is none where the client is no longer `here`.
    `close()` cancels what is left of it and gives the slot back; it may be called twice.
    """

    finish: str | None = None

    def __init__(self, engine: Engine, asked: Request, here: Here, prompt: list[str], ending: ExitStack) -> None:
        self.asked, self._here = asked, here
        self._engine, self._prompt, self._began, self._ending = engine, prompt, time.monotonic(), ending
        self._steps: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._cancelled = self._computing = False
        self._decoder = engine.new_decoder(skip_special_tokens=True)
        self.text, self.outcome = "", "cancelled"
        self.input_tokens, self.tokens = len(prompt), 0
        ending.callback(lambda: REPLIES.labels(self.finish or self.outcome).inc())

    def __iter__(self) -> Iterator[Token | None]:
        with WAITING.track_inprogress():
            while not self._engine.running.acquire(timeout=TICK_S):
                if not self._here():
                    return
                yield None
        self._computing = True
        RUNNING.inc()
        READ.inc(self.input_tokens)
        (result,) = self._engine.model.generate_batch(
            [self._prompt], asynchronous=True, callback=self._step, include_prompt_in_result=False, return_scores=True,
            max_length=self.asked.max_new_tokens, repetition_penalty=self.asked.repetition_penalty or 1.0,
            **self.asked.sampling(self._engine.tokenizer.get_vocab_size()),
        )  # fmt: skip
        while not self.finish and self._here():
            token = None
            try:
                token = self._token(self._steps.get(timeout=TICK_S))
            except queue.Empty:
                if result.done() and self._steps.empty():
                    self.outcome = "failed"
                    result.result()  # raises what went wrong
                    raise RuntimeError("the reply has no end") from None
            yield token
        self.close()

    def close(self) -> None:
        self._cancelled = True
        self._computed()
        self._ending.close()

    def _computed(self) -> None:
        with self._lock:
            if self._computing:
                RUNNING.dec()
                self._engine.running.release()
            self._computing = False

    def _step(self, step: Any) -> bool:
        """Called by the model's thread for each token; the answer tells whether to stop here."""
        self._steps.put(step)
        if step.is_last:
            self._computed()  # and not when all has been read: a slow reader must not hold up the model
        return self._cancelled

    def _token(self, step: Any) -> Token:
        special = step.token_id in self._engine.special
        piece = self._decoder.step(self._engine.tokenizer, step.token_id) or ""
        self.text += piece
        self.tokens += 1
        WRITTEN.inc()
        if self.tokens == 1:
            FIRST.observe(time.monotonic() - self._began)
        # A stop string may have begun in an earlier token. Like TGI's, the text includes it.
        if any(stop in self.text[-len(piece + stop) :] for stop in self.asked.stop):
            self.finish = "stop_sequence"
            self._cancelled = True
        elif step.is_last:
            self.finish = "eos_token" if special else "length"
        return Token(step.token_id, step.token if special else piece, step.log_prob, special)
