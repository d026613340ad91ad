"""Model servers as others wrote them: what each sends for the same reply, byte for byte as far as it matters.

    with DialectServer("vllm chat") as server:          # replies "Hello, Ada!" to everything
        server.answer = [(429, {"Retry-After": "0"}, b"{}")]   # first these, one for each request …
        server.requests                                 # (method, path, headers, body) of all that was asked

Read in the servers' code and issues in November 2026: vLLM 0.2x, llama.cpp b9xxx, Ollama 0.3x, transformers 5.23,
TGI 3.3, OpenAI's API reference, OpenRouter's documentation of streams.
"""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

Json = dict[str, Any]
Answer = tuple[int, dict[str, str], bytes]
WORDS = ["Hello", ", ", "Ada", "! "]
COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
DONE = b"data: [DONE]\n\n"


def data(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def text_chunk(text: str, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
    return data({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice], **more})


def chat_chunk(delta: Json, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return data({"id": "chat-1", "object": "chat.completion.chunk", "created": 1, "choices": [choice], **more})


def usage() -> bytes:
    return data({"id": "1", "object": "chat.completion.chunk", "choices": [], "usage": {"total_tokens": 9}})


def vllm_chat(words: list[str]) -> Iterator[bytes]:
    """Thinks first, as with a reasoning parser; the last text comes with the reason to stop."""
    yield chat_chunk({"role": "assistant", "content": ""})
    yield chat_chunk({"reasoning": "The user", "reasoning_content": "The user"})
    yield chat_chunk({"reasoning": " greets.", "reasoning_content": " greets."})
    yield from (chat_chunk({"content": word}) for word in words[:-1])
    yield chat_chunk({"content": words[-1]}, "stop", stop_reason=None)
    yield usage()
    yield DONE


def vllm_completions(words: list[str]) -> Iterator[bytes]:
    """Has said goodbye twice in some versions."""
    yield from (text_chunk(word) for word in words)
    yield text_chunk("", "stop", stop_reason="Human:")
    yield text_chunk("", "stop", usage={"total_tokens": 9})
    yield DONE


def llama_chat(words: list[str]) -> Iterator[bytes]:
    """Comments while it reads the prompt; no text in the first delta; the very end has no blank line."""
    yield b":\n\n"
    yield chat_chunk({"role": "assistant", "content": None})
    yield b":\n\n"
    yield from (chat_chunk({"content": word}) for word in words)
    yield chat_chunk({}, "stop", timings={"predicted_n": 4})
    yield DONE.rstrip(b"\n") + b"\n"


def llama_completions(words: list[str]) -> Iterator[bytes]:
    yield from (text_chunk(word) for word in words)
    yield text_chunk("", "stop", timings={"predicted_n": 4}, usage={"total_tokens": 9})
    yield DONE


def ollama_chat(words: list[str]) -> Iterator[bytes]:
    """The role in every delta, `reasoning` beside the text, and long ago "" for no reason to stop."""
    yield chat_chunk({"role": "assistant", "content": "", "reasoning": "Hm."})
    yield from (chat_chunk({"role": "assistant", "content": word}, "") for word in words)
    yield chat_chunk({"role": "assistant", "content": ""}, "stop")
    yield DONE


def transformers_completions(words: list[str]) -> Iterator[bytes]:
    """No [DONE]; fields without a value are left out."""
    for word in words:
        yield data({"id": "1", "choices": [{"index": 0, "text": word}], "created": 1, "object": "text_completion"})
    last = {"finish_reason": "stop", "index": 0, "text": ""}
    yield data({"id": "1", "choices": [last], "object": "text_completion", "usage": {"total_tokens": 9}})


def openai_chat(words: list[str]) -> Iterator[bytes]:
    """Azure begins with what its filters say, and adds to it as they read on; both end with an empty delta."""
    filtered = {"index": 0, "finish_reason": None, "content_filter_results": {"hate": {"filtered": False}}}
    yield data({"choices": [], "prompt_filter_results": [{"prompt_index": 0}], "object": "chat.completion.chunk"})
    yield chat_chunk({"role": "assistant", "content": "", "refusal": None}, obfuscation="x")
    for word in words:
        yield chat_chunk({"content": word}, obfuscation="yz")
        yield data({"id": "", "object": "", "choices": [{**filtered, "content_filter_offsets": {"check_offset": 44}}]})
    yield chat_chunk({}, "stop")
    yield DONE


def openrouter_chat(words: list[str]) -> Iterator[bytes]:
    yield b": OPENROUTER PROCESSING\n\n"
    yield from (chat_chunk({"role": "assistant", "content": word}, provider="x") for word in words)
    yield chat_chunk({"role": "assistant", "content": ""}, "stop", native_finish_reason="stop")
    yield usage()
    yield DONE


def mlx_chat(words: list[str]) -> Iterator[bytes]:
    """vllm-mlx gives no reason to stop where the model stopped by itself, only [DONE]."""
    yield from (chat_chunk({"content": word}) for word in words)
    yield DONE


def tgi(words: list[str]) -> Iterator[bytes]:
    for word in words:
        yield data({"index": 1, "token": {"id": 1, "text": word, "special": False}, "generated_text": None})
    end = {"id": 2, "text": "</s>", "special": True}
    yield data({"index": 9, "token": end, "generated_text": "".join(words), "details": {"finish_reason": "eos_token"}})


class Dialect(NamedTuple):
    path: str
    stream: Callable[[list[str]], Iterator[bytes]]


DIALECTS = {
    "vllm": Dialect(COMPLETIONS, vllm_completions),
    "vllm chat": Dialect(CHAT, vllm_chat),
    "llama.cpp": Dialect(COMPLETIONS, llama_completions),
    "llama.cpp chat": Dialect(CHAT, llama_chat),
    "ollama chat": Dialect(CHAT, ollama_chat),
    "transformers serve": Dialect(COMPLETIONS, transformers_completions),
    "openai chat": Dialect("/openai/deployments/gpt" + CHAT.removeprefix("/v1"), openai_chat),
    "openrouter chat": Dialect("/api" + CHAT, openrouter_chat),
    "vllm-mlx chat": Dialect(CHAT, mlx_chat),
    "tgi": Dialect("/generate_stream", tgi),
}
MODELS = {"object": "list", "data": [{"id": "org/gpt-j", "object": "model"}, {"id": "other", "object": "model"}]}


class DialectServer:
    """Answers a request at the dialect's path with its stream, `/v1/models` with two, all else with 404."""

    def __init__(self, name: str, words: list[str] = WORDS) -> None:
        self.path, stream = DIALECTS[name]
        self.chunks = list(stream(words))
        self.answers: list[Answer] = []
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.routes: dict[str, Callable[[Any], Answer]] = {}
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"told": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.url = self.origin + self.path
        models = self.path.replace("/chat", "").replace("/completions", "") + "/models"
        self.routes[models] = lambda _: (200, {}, json.dumps(MODELS).encode())

    def asked(self, path: str | None = None) -> list[Any]:
        """The bodies of the requests to that path."""
        return [body for _, asked, _, body in self.requests if asked == (path or self.path)]

    def __enter__(self) -> "DialectServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    told: DialectServer

    def log_message(self, *_: Any) -> None:
        """Silence."""

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body: Any) -> None:
        told, path = self.told, self.path.partition("?")[0]
        with told.lock:
            told.requests.append((self.command, path, dict(self.headers), body))
            special = told.answers.pop(0) if path == told.path and told.answers else None
        if special or path in told.routes:
            self._send(*(special or told.routes[path](body)))
        elif path == told.path and self.command == "POST":
            self._stream(told.chunks)
        else:
            self._send(404, {}, b'{"detail": "Not Found"}')

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json", "Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, chunks: list[bytes]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")
