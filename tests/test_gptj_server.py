"""The model server on the tiny checkpoint: the protocol, as clients that others wrote and our own see it."""

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ctranslate2
import pytest
import requests
from flask.testing import FlaskClient
from services import Process, free_port, model_server, python, wait_for
from werkzeug.test import create_environ

from chat.config import Config
from chat.errors import ModelRefused
from gptj.client import Model
from gptj.server.engine import TINY, WAIT_FOR_MODEL_S, Engine
from gptj.server.web import create_app

PROMPT = "Human: Hi!\nBot:"
WINDOW = [{"role": "human", "text": "Hi!"}]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process = model_server(tmp_path_factory.mktemp("server") / "log")
    yield process.address
    assert process.end() == 0


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[tuple[Process, str]]:
    """A server with room for a single reply."""
    process = model_server(tmp_path / "log", GPTJ_THREADS="1", GPTJ_SLOTS="1")
    yield process, process.address
    process.end(signal.SIGKILL)


def post(url: str, path: str = "/generate", inputs: Any = PROMPT, **parameters: Any) -> requests.Response:
    return requests.post(url + path, json={"inputs": inputs, "parameters": parameters}, timeout=30)


def refuses(url: str) -> bool:
    try:
        requests.get(f"{url}/health", timeout=5)
    except requests.ConnectionError:
        return True
    return False


def events(response: requests.Response) -> list[dict[str, Any]]:
    lines = response.content.decode().split("\n\n")
    return [json.loads(line.removeprefix("data:")) for line in lines if line.startswith("data:")]


class LongReply:
    """A long streaming request, of which only the beginning has been read."""

    def __init__(self, url: str, tokens: int = 900) -> None:
        host, port = url.removeprefix("http://").split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        body = json.dumps({"inputs": PROMPT, "parameters": {"max_new_tokens": tokens}}).encode()
        head = f"POST /generate_stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        self.socket.sendall(head.encode() + body)
        self.seen = self.socket.recv(1000)

    def __enter__(self) -> "LongReply":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def rest(self) -> bytes:
        while data := self.socket.recv(65536):
            self.seen += data
        return self.seen


# The shapes


def test_generate_answers_with_an_object_without_the_prompt(url: str) -> None:
    answer = post(url, max_new_tokens=5).json()
    assert answer.keys() == {"generated_text"} and answer["generated_text"].startswith(" ")


@pytest.mark.parametrize("path", ["/", "/models/gptj", "/models/EleutherAI/gpt-j-6b"])
def test_root_answers_with_a_list_and_the_prompt_unless_declined(url: str, path: str) -> None:
    (full,) = post(url, path, max_new_tokens=5).json()
    (part,) = post(url, path, max_new_tokens=5, return_full_text=False).json()
    assert full["generated_text"] == PROMPT + part["generated_text"]


def test_routes_are_also_below_a_models_name(url: str) -> None:
    below = f"{url}/models/EleutherAI/gpt-j-6b"
    assert post(below, max_new_tokens=2).json().keys() == {"generated_text"}
    assert len(events(post(below, "/generate_stream", max_new_tokens=2))) == 2
    assert post(below, "/tokenize").json()[0].keys() == {"id", "text", "start", "stop"}


def test_stream_joins_to_the_whole_text(url: str) -> None:
    response = post(url, "/generate_stream", stop=["Human:"])
    assert response.headers["Content-Type"].startswith("text/event-stream")
    *tokens, last = events(response)
    assert all(event["generated_text"] is None and event["details"] is None for event in tokens)
    assert last["generated_text"] == "".join(event["token"]["text"] for event in [*tokens, last])
    assert last["generated_text"] == post(url, stop=["Human:"]).json()["generated_text"]
    assert [event["index"] for event in [*tokens, last]] == list(range(1, len(tokens) + 2))


def test_root_streams_when_asked_to(url: str) -> None:
    body = {"inputs": PROMPT, "stream": True, "parameters": {"max_new_tokens": 3, "return_full_text": False}}
    assert len(events(requests.post(url + "/", json=body, timeout=30))) == 3


def test_details_tell_why_the_reply_ended(url: str) -> None:
    cut = post(url, max_new_tokens=4, details=True).json()["details"]
    assert (cut["finish_reason"], cut["generated_tokens"], len(cut["tokens"])) == ("length", 4, 4)
    assert cut["tokens"][0].keys() == {"id", "text", "logprob", "special"}
    stopped = post(url, stop=["\nHuman:"], details=True).json()
    assert stopped["details"]["finish_reason"] == "stop_sequence"
    assert stopped["generated_text"].endswith("\nHuman:")


def test_info_tells_what_is_served(url: str) -> None:
    info = requests.get(f"{url}/info", timeout=5).json()
    assert info["model_id"] == "tiny" and info["max_total_tokens"] >= 512
    assert info.keys() >= {"model_dtype", "max_input_tokens", "version"}


def test_stream_arrives_as_it_is_written_and_the_connection_stays(url: str) -> None:
    with requests.Session() as session:
        for _ in range(2):
            body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 3}}
            with session.post(f"{url}/generate_stream", json=body, stream=True, timeout=10) as response:
                assert response.headers["Transfer-Encoding"] == "chunked"
                assert response.headers["Connection"] == "keep-alive"
                assert len(list(response.raw.read_chunked())) == 3


def test_prompt_is_cut_into_the_tokens_that_the_model_reads(url: str) -> None:
    tokens = requests.post(f"{url}/tokenize", json={"inputs": PROMPT}, timeout=10).json()
    assert "".join(PROMPT[token["start"] : token["stop"]] for token in tokens) == PROMPT
    assert len(tokens) == post(url, max_new_tokens=1, details=True).json()["details"]["input_length"]


# Parameters


def test_greedy_replies_are_alike_and_sampled_ones_differ(url: str) -> None:
    greedy = {post(url, max_new_tokens=20, do_sample=False, temperature=2.0).text for _ in range(3)}
    cold = {post(url, max_new_tokens=20, temperature=0).text for _ in range(3)}
    hot = {post(url, max_new_tokens=20, temperature=2.0, top_p=0.99, top_k=100).text for _ in range(3)}
    assert len(greedy) == 1 and greedy == cold and len(hot) > 1


def test_repetition_is_punished(url: str) -> None:
    assert post(url, max_new_tokens=60).text != post(url, max_new_tokens=60, repetition_penalty=1.5).text


def test_long_prompts_are_cut_from_the_left(url: str) -> None:
    long = "Human: la la la\nBot: la\n" * 2000 + PROMPT
    details = post(url, inputs=long, max_new_tokens=8, details=True).json()["details"]
    context = requests.get(f"{url}/info", timeout=5).json()["max_total_tokens"]
    assert details["input_length"] == context - 8
    assert post(url, inputs=long, max_new_tokens=8, truncate=7, details=True).json()["details"]["input_length"] == 7


def test_unknown_parameters_are_left_aside(url: str) -> None:
    assert post(url, max_new_tokens=2, min_p=0.5, watermark=False, seed=7, top_k=None).status_code == 200


def test_more_than_all_words_are_all_words(url: str) -> None:
    for path in ("/generate", "/generate_stream"):
        assert post(url, path, max_new_tokens=2, top_k=1_000_000).status_code == 200


def test_special_tokens_are_plain_text_in_a_prompt(url: str) -> None:
    tokens = requests.post(f"{url}/tokenize", json={"inputs": "a<|endoftext|>b"}, timeout=10).json()
    assert "".join(token["text"] for token in tokens) == "a<|endoftext|>b" and len(tokens) > 3


def test_nothing_can_be_null(url: str) -> None:
    body = {"inputs": PROMPT, "parameters": None, "options": None, "stream": None}
    assert requests.post(f"{url}/generate", json=body, timeout=30).status_code == 200


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_new_tokens": 0},
        {"max_new_tokens": 10_000},
        {"max_new_tokens": "5"},
        {"max_new_tokens": True},
        {"max_new_tokens": 1.5},
        {"temperature": -1},
        {"temperature": float("nan")},
        {"top_p": 0},
        {"top_p": 1.1},
        {"top_k": -1},
        {"repetition_penalty": 0},
        {"do_sample": "yes"},
        {"stop": "Human:"},
        {"stop": [1]},
        {"stop": ["a"] * 17},
        {"truncate": 0},
        {"decoder_input_details": True},
        {"best_of": 2},
        {"top_n_tokens": 3},
        {"frequency_penalty": 0.5},
        {"grammar": {"type": "json"}},
        {"typical_p": 0.5},
        {"watermark": True},
    ],
)
def test_bad_parameters_are_named(url: str, parameters: dict[str, Any]) -> None:
    body = json.dumps({"inputs": PROMPT, "parameters": parameters})
    response = requests.post(f"{url}/generate_stream", data=body, timeout=10)
    (name,) = parameters
    assert response.status_code == 422 and response.json()["error_type"] == "validation"
    assert name in response.json()["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"{}",
        b"[" * 100_000,
        b'{"inputs": 1}',
        b'{"inputs": ""}',
        b'{"inputs": ["a"]}',
        b'{"inputs": "a\\ud83d"}',
        b'{"inputs": "a", "parameters": []}',
        b'{"inputs": "a", "stream": 1}',
        b'{"inputs": "a", "options": "fast"}',
        b'{"inputs": "a", "options": {"wait_for_model": "yes"}}',
    ],
)
def test_bad_bodies_are_refused(url: str, body: bytes) -> None:
    response = requests.post(f"{url}/", data=body, timeout=10)
    assert response.status_code == 422 and response.json()["error_type"] == "validation"


def test_other_mistakes_are_told_in_the_same_form(url: str) -> None:
    assert requests.post(f"{url}/generate", data=b"x" * 1_100_000, timeout=10).json()["error"]
    assert requests.get(f"{url}/nothing", timeout=5).status_code == 404
    assert requests.get(f"{url}/generate", timeout=5).json()["error"]


def test_any_text_can_be_the_prompt(url: str) -> None:
    for inputs in ("\x00", "안녕 🙂", "\u202e\ufeff", " " * 5000):
        assert post(url, inputs=inputs, max_new_tokens=2).status_code == 200


# Our own client


@pytest.mark.parametrize("path", ["/", "/models/tiny", "/generate_stream", "/generate"])
def test_our_client_gets_a_clean_reply_from_every_route(url: str, path: str) -> None:
    model = Model(Config(model_url=url + path, model_temperature=0.0))
    pieces = list(model.reply(WINDOW, 20))
    text = "".join(pieces)
    assert text and text == text.strip() and "Human" not in text
    assert (len(pieces) > 1) == (path != "/generate")


def test_our_client_is_told_why_it_was_refused(url: str) -> None:
    model = Model(Config(model_url=url, model_max_new_tokens=5000, model_context_tokens=9000))
    with pytest.raises(ModelRefused, match="max_new_tokens"):
        list(model.reply(WINDOW, 20))


def test_20_users_are_served_side_by_side(url: str) -> None:
    model, texts = Model(Config(model_url=url, model_temperature=0.0)), list[str]()
    threads = [threading.Thread(target=lambda: texts.append("".join(model.reply(WINDOW, 30)))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(texts) == 20 and len(set(texts)) == 1


# Slots, hanging up, the end


def test_full_server_says_so_until_the_client_hangs_up(narrow: tuple[Process, str]) -> None:
    _, url = narrow
    with LongReply(url):
        full = post(url, max_new_tokens=2)
        assert full.status_code == 429 and full.headers["Retry-After"]
        assert full.json() == {"error": "Model is overloaded", "error_type": "overloaded"}
    wait_for(lambda: post(url, max_new_tokens=2).status_code == 200)


@pytest.mark.slow
def test_closing_our_client_frees_the_slot(narrow: tuple[Process, str]) -> None:
    _, url = narrow
    model = Model(Config(model_url=url, model_max_new_tokens=900))
    for _ in range(20):
        with model.reply(WINDOW, 10) as reply:
            assert next(iter(reply))
    wait_for(lambda: post(url, max_new_tokens=2).status_code == 200)


def test_sigterm_finishes_what_runs_and_refuses_new(narrow: tuple[Process, str]) -> None:
    process, url = narrow
    with LongReply(url) as reader:
        process.popen.send_signal(signal.SIGTERM)
        wait_for(lambda: refuses(url))
        seen = reader.rest()
    assert seen.endswith(b"0\r\n\r\n") and seen.count(b'"finish_reason"') == 1
    assert process.popen.wait(60) == 0


def test_sigterm_does_not_wait_for_ever(tmp_path: Path) -> None:
    impatient = "from gptj.server import __main__ as server; server.STOP_S = 1; server.main()"
    port = free_port()
    process = Process(python("-c", impatient, "--port", str(port)), tmp_path / "log")
    wait_for(lambda: not refuses(f"http://127.0.0.1:{port}"))
    with socket.create_connection(("127.0.0.1", port)) as half:
        half.sendall(b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert not refuses(f"http://127.0.0.1:{port}")
        process.popen.send_signal(signal.SIGTERM)
        assert process.popen.wait(60) == 0


def test_half_sent_requests_do_not_block_the_others(tmp_path: Path) -> None:
    short = "from gptj.server import exchange, __main__ as server; exchange.SEND_S = 2; server.main()"
    port, half = free_port(), b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    process = Process(python("-c", short, "--port", str(port)), tmp_path / "log", GPTJ_SLOTS="1")
    wait_for(lambda: not refuses(f"http://127.0.0.1:{port}"), within_s=30)
    with ExitStack() as held:
        for at in range(1 + 40):
            held.enter_context(socket.create_connection(("127.0.0.1", port))).sendall(half[: 20 if at % 2 else None])
        assert requests.get(f"http://127.0.0.1:{port}/health", timeout=30)
    process.end()
    assert "Traceback" not in process.log.read_text()


def test_sigterm_is_told_on_connections_that_stay(narrow: tuple[Process, str]) -> None:
    process, url = narrow
    with LongReply(url) as reader, requests.Session() as session:
        assert session.get(f"{url}/health", timeout=5).status_code == 200
        process.popen.send_signal(signal.SIGTERM)
        wait_for(lambda: refuses(url))
        answer = session.get(f"{url}/health", timeout=5)
        assert answer.status_code == 503 and answer.headers["Retry-After"]
        reader.rest()


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6")
def test_address_of_ipv6_needs_no_brackets(tmp_path: Path) -> None:
    port = free_port()
    process = Process(python("-m", "gptj.server", "--host", "::1", "--port", str(port)), tmp_path / "log")
    wait_for(lambda: not refuses(f"http://[::1]:{port}"))
    assert process.end() == 0


def test_prompts_are_not_logged(narrow: tuple[Process, str]) -> None:
    process, url = narrow
    post(url, inputs="Human: a secret\nBot:", max_new_tokens=2)
    post(url, inputs="Human: a secret\nBot:", max_new_tokens=-2)
    process.popen.send_signal(signal.SIGTERM)
    process.popen.wait(60)
    assert "secret" not in process.log.read_text()


def refusal(folder: Path, **settings: str) -> str:
    """What a server says that cannot start with these settings."""
    process = Process(python("-m", "gptj.server", "--port", str(free_port())), folder / "server.log", **settings)
    assert process.popen.wait(60) != 0
    return process.log.read_text()


def test_folder_without_a_model_is_one_clear_line(tmp_path: Path) -> None:
    said = refusal(tmp_path, GPTJ_PATH=str(tmp_path))
    assert f"GPTJ_PATH={tmp_path} cannot be loaded" in said and "Traceback" not in said


def test_spoilt_model_ends_the_server(tmp_path: Path) -> None:
    for file in TINY.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[:1000])
    assert "cannot be loaded" in refusal(tmp_path, GPTJ_PATH=str(tmp_path))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"GPTJ_DEVICE": "tpu"}, "GPTJ_DEVICE takes auto or cpu or cuda, not 'tpu'."),
        ({"GPTJ_COMPUTE": "int3"}, "GPTJ_COMPUTE=int3: Invalid compute type"),
        ({"GPTJ_DEVICE": "cuda"}, "cannot be loaded with GPTJ_DEVICE=cuda"),
        ({"GPTJ_SLOTS": "0"}, "GPTJ_SLOTS takes a number of at least 1, not '0'."),
        ({"GPTJ_COMPUTE": "float16", "GPTJ_DEVICE": "cpu"}, "GPTJ_COMPUTE=float16: Requested float16"),
    ],
)
def test_settings_that_cannot_be_used_are_one_clear_line(tmp_path: Path, settings: dict[str, str], told: str) -> None:
    said = refusal(tmp_path, **settings)
    assert told in said and "Traceback" not in said


# What needs the model to be slow: the application in this process


CONFIG = Config(gptj_threads=1, gptj_slots=2)


@pytest.fixture(scope="module")
def loaded() -> Engine:
    engine = Engine(CONFIG)
    engine.load()
    return engine


class Visitor:
    """A client of the application whose connection is one end of a pair of sockets."""

    def __init__(self, engine: Engine) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.client: FlaskClient = create_app(engine).test_client()

    def post(self, path: str = "/generate_stream", **more: Any) -> Any:
        body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 3}, **more}
        return self.client.post(path, json=body, environ_overrides={"gunicorn.socket": self.theirs})

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def visitors(loaded: Engine) -> Iterator[list[Visitor]]:
    visitors = [Visitor(loaded) for _ in range(3)]
    yield visitors
    for visitor in visitors:
        visitor.close()


def test_server_that_still_loads_says_how_long() -> None:
    visitor = Visitor(Engine(CONFIG))
    for answer in (visitor.post(), visitor.client.get("/health"), visitor.client.get("/info")):
        assert answer.status_code == 503
        assert answer.json["error"] == "Model tiny is currently loading" and 0 < answer.json["estimated_time"] < 60
        assert int(answer.headers["Retry-After"]) >= answer.json["estimated_time"]
    visitor.close()


@pytest.fixture(scope="module")
def unloaded() -> Engine:
    """Kept for longer than its test: the model's thread lets go of it late, and cannot be ended by itself."""
    return Engine(CONFIG)


def test_who_would_rather_wait_for_the_model_gets_a_reply(unloaded: Engine) -> None:
    visitor, loading = Visitor(unloaded), threading.Timer(0.3, unloaded.load)
    loading.start()
    assert visitor.post("/generate", options={"wait_for_model": True}).status_code == 200
    loading.join()
    visitor.close()


def test_who_hangs_up_while_the_model_loads_does_not_wait_for_it() -> None:
    visitor, began = Visitor(Engine(CONFIG)), time.monotonic()
    visitor.ours.close()
    assert visitor.post("/generate", options={"wait_for_model": True}).status_code == 503
    assert time.monotonic() - began < WAIT_FOR_MODEL_S / 2
    visitor.close()


def test_client_that_resets_its_connection_is_no_failure_of_ours(visitors: list[Visitor]) -> None:
    visitor = visitors[0]
    visitor.theirs.send(b"which nobody reads")
    visitor.ours.close()
    assert visitor.post("/generate").status_code == 200 and b"data" not in visitor.post().data


def test_who_waits_in_the_queue_hears_that_we_are_here(loaded: Engine, visitors: list[Visitor]) -> None:
    with loaded.running:
        response = visitors[0].post()
        chunks = response.iter_encoded()
        assert next(chunks).startswith(b":")
    assert next(chunks).startswith(b"data:")
    response.close()


def test_who_hangs_up_in_the_queue_leaves_it(loaded: Engine, visitors: list[Visitor]) -> None:
    first, second, third = visitors
    with loaded.running:
        waiting, other = first.post(), second.post()
        assert third.post().status_code == 429
        first.ours.close()
        assert b"data" not in b"".join(waiting.iter_encoded())
        waiting.close()
        again = third.post()
        assert again.status_code == 200
    for response in (again, other):
        assert b"".join(response.iter_encoded()).count(b"data:") == 3
        response.close()


def test_stream_that_was_never_read_gives_its_slot_back(loaded: Engine, visitors: list[Visitor]) -> None:
    for _ in range(5):
        environ = create_environ("/generate_stream", method="POST", json={"inputs": PROMPT})
        environ["gunicorn.socket"] = visitors[0].theirs
        create_app(loaded)(environ, lambda *_: print).close()  # type: ignore[attr-defined]
    assert visitors[0].post("/generate").status_code == 200


def test_reader_that_stalls_does_not_hold_up_the_model(loaded: Engine, visitors: list[Visitor]) -> None:
    stalled = visitors[0].post()
    next(stalled.iter_encoded())
    assert visitors[1].post("/generate").status_code == 200
    stalled.close()


def test_model_that_fails_is_told_in_the_answer_or_in_the_stream(loaded: Engine, visitors: list[Visitor]) -> None:
    broken = Engine(CONFIG)
    broken.load()
    broken.model = ctranslate2.Generator(str(TINY))
    broken.model.unload_model()
    visitor = Visitor(broken)
    for model in (broken.model, SimpleNamespace(generate_batch=lambda *_, **__: int("what CTranslate2 may raise too"))):
        broken.model = model
        answer = visitor.post("/generate")
        assert answer.status_code == 500 and answer.json["error_type"] == "generation"
        with visitor.post() as stream:
            assert b'"error_type": "generation"' in stream.data
    visitor.close()
