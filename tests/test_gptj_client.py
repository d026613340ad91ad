"""The model's client: what it makes of every kind of answer, and how it leaves."""

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_stub import ModelStub, model_stub

from chat.config import Config
from chat.errors import (
    ModelBroke,
    ModelError,
    ModelGarbage,
    ModelRefused,
    ModelTimeout,
    ModelUnavailable,
)
from gptj.client import Model
from gptj.client.text import ReplyText

__all__ = ["model_stub"]

ROOT = Path(__file__).parent.parent
WINDOW = [
    {"role": "human", "text": "Hi, I am Ada."},
    {"role": "bot", "text": "Hello Ada!"},
    {"role": "human", "text": "What is my name?"},
]
PROMPT = "Human: Hi, I am Ada.\nBot: Hello Ada!\nHuman: What is my name?\nBot:"


def model(url: str, **settings: object) -> Model:
    return Model(Config(model_url=url, **settings))  # type: ignore[arg-type]


def reply(stub: ModelStub, limit_s: float = 10.0, **settings: object) -> str:
    return "".join(model(stub.url, **settings).reply(WINDOW, limit_s))


# The text of a reply


def cleaned(parts: list[str], finish: str | None = "eos_token") -> str:
    text = ReplyText()
    return "".join([*map(text.feed, parts), text.end(finish)])


WORDS = st.lists(st.sampled_from([*"HumanBot: \n\t", "Human:", "Bot:", "\nBot:", "a", "é", "🙂", "Hum", "\r\n"]))


def test_a_letter_before_a_mark_makes_it_none() -> None:
    assert cleaned(["\nHBot:"], "length") == cleaned(["\nHB", "ot:"], "length") == "HBot:"


@given(WORDS.map("".join), st.data())
def test_reply_is_the_same_however_it_was_cut(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    for finish in ("eos_token", "length", None):
        assert cleaned(parts, finish) == cleaned([text], finish)


@given(WORDS, st.sampled_from(["stop", "length", None]))
def test_reply_of_a_chat_model_is_all_but_the_white_space_around_it(parts: list[str], finish: str | None) -> None:
    text = ReplyText(marks=False)
    assert "".join([*map(text.feed, parts), text.end(finish)]) == "".join(parts).strip()
    assert not text.finished


@given(WORDS)
def test_reply_has_no_mark_and_no_white_space_around_it(parts: list[str]) -> None:
    result = cleaned(parts)
    assert "Human:" not in result and "\nBot:" not in result
    assert result == result.strip()
    assert "".join(parts).lstrip().startswith(result)


@given(WORDS, st.sampled_from(["", "uman: x", "man: x", ": x", "ot: x", "\nBot: x", "  "]))
def test_text_that_was_given_is_never_taken_back(parts: list[str], ending: str) -> None:
    text, so_far = ReplyText(), ""
    for part in parts:
        so_far += text.feed(part)
    assert so_far == so_far.strip()
    assert cleaned([*parts, ending]).startswith(so_far)


@pytest.mark.parametrize(
    ("parts", "result"),
    [
        ([" Hello", "\nHum", "an", ": me"], "Hello"),
        ([" Hello! Human", ": me"], "Hello!"),
        (["\n", "Bot", ": again"], ""),
        ([" one\n", " B", "ot: two"], "one"),
        ([" a robot", ":", " Bot: is a word"], "a robot: Bot: is a word"),
        ([" The symbol is", " H"], "The symbol is H"),
        ([" Hum", "ans are human"], "Humans are human"),
        (["  \n ", " x ", " ", "y  \n"], "x  y"),
    ],
)
def test_reply_ends_at_a_mark_and_only_there(parts: list[str], result: str) -> None:
    assert cleaned(parts) == result


def test_reply_cut_within_a_mark_loses_the_mark() -> None:
    assert cleaned([" Yes.\nHuma"], "length") == "Yes."
    assert cleaned([" Yes. Hum"], "length") == "Yes."
    assert cleaned([" Yes.\nHuma"], None) == "Yes."
    assert cleaned([" It is H"], None) == "It is H"


# The request


def test_prompt_and_settings_are_sent_as_the_protocol_wants(model_stub: ModelStub) -> None:
    assert reply(model_stub, model_token="hf_secret") == "You said: What is my name?"
    body = model_stub.bodies[0]
    assert body["inputs"] == PROMPT and body["stream"] is True and body["options"] == {"use_cache": False}
    assert body["parameters"] == {
        "max_new_tokens": 256,
        "return_full_text": False,
        "stop": ["Human:", "\nBot:"],
        "truncate": 2048 - 256,
        "do_sample": True,
        "temperature": 0.4,
        "top_p": 0.9,
    }
    assert model_stub.headers[0]["Authorization"] == "Bearer hf_secret"


def test_temperature_0_asks_for_the_likeliest_word(model_stub: ModelStub) -> None:
    reply(model_stub, model_temperature=0.0)
    assert model_stub.bodies[0]["parameters"]["do_sample"] is False
    assert not {"temperature", "top_p"} & model_stub.bodies[0]["parameters"].keys()


def test_surroundings_choose_no_proxy(model_stub: ModelStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert reply(model_stub)


def test_nothing_is_sent_before_the_reply_is_read(model_stub: ModelStub) -> None:
    with model(model_stub.url).reply(WINDOW, 10):
        pass
    assert model_stub.prompts == []


def test_connection_is_kept_for_the_next_reply(model_stub: ModelStub) -> None:
    same = model(model_stub.url)
    for form in ("answer", "no_stream", "answer", "loading", "answer"):
        model_stub.behave(form, times=1)
        assert "".join(same.reply(WINDOW, 10))
    model_stub.say("Fine.\nHuman: and you?", piece_chars=100)
    model_stub.answer = lambda _: ["Fine."]
    assert "".join(same.reply(WINDOW, 10)) == "Fine."
    assert model_stub.connections == 1


@pytest.mark.slow
def test_300_replies_at_once_need_no_waiting_and_no_warning(
    model_stub: ModelStub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    shared, texts = model(model_stub.url, worker_concurrency=300), list[str]()
    model_stub.hold_after(1)
    threads = [threading.Thread(target=lambda: texts.append("".join(shared.reply(WINDOW, 30)))) for _ in range(300)]
    for thread in threads:
        thread.start()
    model_stub.wait_held(300)
    model_stub.release()
    for thread in threads:
        thread.join()
    assert texts == ["You said: What is my name?"] * 300
    assert not caplog.records


# Good answers


def test_text_comes_as_it_is_written(model_stub: ModelStub) -> None:
    model_stub.answer = lambda _: [" Hello", " there", "!"]
    model_stub.hold_after(2)
    with model(model_stub.url).reply(WINDOW, 10) as pieces:
        text = iter(pieces)
        assert [next(text), next(text)] == ["Hello", " there"]
        model_stub.release()
        assert list(text) == ["!"]


def test_whole_answer_of_a_server_without_streams_is_one_piece(model_stub: ModelStub) -> None:
    model_stub.behave("no_stream")
    model_stub.say(" Hello.\nHuman: more")
    assert list(model(model_stub.url).reply(WINDOW, 10)) == ["Hello."]


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_whole_answer_of_a_server_that_keeps_no_connection_is_a_reply(version: bytes) -> None:
    head = b" 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 29\r\n\r\n"
    assert raw_reply(version + head, b'[{"generated_text":" Hello"}]') == "Hello"


def test_prompt_that_comes_back_in_spite_of_all_is_cut_off(model_stub: ModelStub) -> None:
    model_stub.behave("no_stream")
    model_stub.say(PROMPT + " You are Ada.")
    assert reply(model_stub) == "You are Ada."


def test_server_is_left_at_a_stop_mark_it_ignores(model_stub: ModelStub) -> None:
    model_stub.say(" Fine.\nHuman: me" + " too" * 10_000)
    assert reply(model_stub) == "Fine."
    model_stub.wait_for(lambda: model_stub.hangups == 1)


def test_endless_text_is_cut_and_the_server_left(model_stub: ModelStub) -> None:
    model_stub.behave("endless")
    text = reply(model_stub, model_max_new_tokens=10)
    assert 1000 < len(text) < 1200
    model_stub.wait_for(lambda: model_stub.hangups == 1)


# Answers byte by byte: a server that writes what it is given


@contextmanager
def raw_server(*parts: bytes) -> Iterator[str]:
    """Answers the first connection's request with these parts, then ends it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(ConnectionError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                request = b""
                while not request.endswith(b"}"):  # what is left unread turns the end into a reset
                    request += connection.recv(65536)
                for part in parts:
                    connection.sendall(part)
                    time.sleep(0.002)  # so that parts arrive apart

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join(10)


SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def event(text: str, special: bool = False, whole: str | None = None) -> bytes:
    value = {"token": {"id": 1, "text": text, "special": special}, "generated_text": whole, "details": None}
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def raw_reply(*parts: bytes) -> str:
    with raw_server(*parts) as url:
        return "".join(model(url).reply(WINDOW, 20))


def test_characters_cut_by_the_network_survive() -> None:
    stream = event(" 안녕 🙂\ufffd") + event("!", whole="x")
    assert raw_reply(SSE, *(stream[i : i + 1] for i in range(len(stream)))) == "안녕 🙂\ufffd!"


def test_comments_special_tokens_and_done_are_no_text() -> None:
    assert raw_reply(SSE, b": ping\n\n", event("<s>", special=True), event("Hi"), b"data: [DONE]\n\n") == "Hi"


def test_other_line_ends_and_fields_are_understood() -> None:
    assert raw_reply(SSE, b"retry: 5\r\nid: 1\r\n", event("Hi", whole="Hi").replace(b"\n", b"\r\n")) == "Hi"


def test_lone_surrogate_becomes_a_character_that_can_be_stored() -> None:
    ending = b'data:{"token":{"text":"a\\ud83d"},"generated_text":"a"}\n\n'
    assert raw_reply(SSE, ending) == "a\ufffd"


JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        JSON + b"[",
        JSON + b"[1, 2]",
        JSON + b'{"generated_text": null}',
        JSON + b"[" * 100_000,
        SSE + b"data: {\n\n",
        SSE + b"data: 1\n\n",
        SSE + b'data: {"token": {"text": 1}, "generated_text": null}\n\n',
        SSE + b'data: {"token": null}\n\n',
        SSE + b"data: " + b"\xff\xfe\n\n",
        SSE + b"data: " + b"x" * 1_100_000,
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>",
    ],
)
def test_what_is_not_the_protocol_is_garbage(answer: bytes) -> None:
    with pytest.raises(ModelGarbage):
        raw_reply(answer)


# Errors


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        ("refuse", ModelRefused),
        ("unauthorized", ModelRefused),
        ("redirect", ModelRefused),
        ("error_500", ModelBroke),
        ("break_off", ModelBroke),
        ("reset", ModelBroke),
        ("error_in_stream", ModelBroke),
        ("garbage", ModelGarbage),
        ("garbage_in_stream", ModelGarbage),
    ],
)
def test_bad_answer_is_the_error_that_says_what_to_do(
    model_stub: ModelStub, behaviour: str, error: type[ModelError]
) -> None:
    model_stub.behave(behaviour)
    with pytest.raises(error):
        reply(model_stub)
    model_stub.behave("answer")
    assert reply(model_stub) == "You said: What is my name?"


@pytest.mark.parametrize("answer", [SSE, SSE + event("Hi"), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[", b""])
def test_stream_without_an_end_has_broken_off(answer: bytes) -> None:
    if b"Length" in answer:
        answer = answer.replace(b"OK\r\n", b"OK\r\nContent-Type: application/json\r\n")
    with pytest.raises(ModelBroke):
        raw_reply(answer)


def test_error_that_is_told_in_the_stream_counts_as_what_it_is() -> None:
    told = b'data: {"error": "too long", "error_type": "validation"}\n\n'
    with pytest.raises(ModelRefused, match="too long"):
        raw_reply(SSE, told)
    with pytest.raises(ModelBroke):
        raw_reply(SSE, b'event: error\ndata: {"message": "no"}\n\n')


@pytest.mark.parametrize("secret", ["hf_secret", "What is my name?", "… at is\n my name …"])
def test_error_repeats_neither_the_access_token_nor_the_prompt(secret: str) -> None:
    body = json.dumps({"error": f"bad: {secret}"}).encode()
    with (
        raw_server(b"HTTP/1.1 422 No\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)) as url,
        pytest.raises(ModelRefused) as caught,
    ):
        "".join(model(url, model_token="hf_secret").reply(WINDOW, 5))
    assert caught.value.detail == "The model's server answered 422."


def test_error_repeats_what_the_server_says_in_short(model_stub: ModelStub) -> None:
    model_stub.behave("refuse")
    with pytest.raises(ModelRefused, match=r"answered 422: inputs must not be that$"):
        reply(model_stub)


# Waiting


@pytest.mark.parametrize("behaviour", ["loading", "too_many"])
def test_loading_or_busy_server_is_waited_for(model_stub: ModelStub, behaviour: str) -> None:
    model_stub.behave(behaviour, times=2)
    assert reply(model_stub) == "You said: What is my name?"
    assert len(model_stub.prompts) == 3


def test_estimated_time_of_a_loading_server_is_honoured(model_stub: ModelStub) -> None:
    model_stub.behave("loading", times=1)
    began = time.monotonic()
    reply(model_stub)
    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize("behaviour", ["loading", "too_many", "down"])
def test_server_that_stays_away_is_unavailable_when_the_time_is_over(model_stub: ModelStub, behaviour: str) -> None:
    model_stub.behave(behaviour)
    began = time.monotonic()
    with pytest.raises(ModelUnavailable):
        reply(model_stub, limit_s=0.5)
    assert 0.4 < time.monotonic() - began < 5


def test_server_that_comes_up_is_found(model_stub: ModelStub) -> None:
    model_stub.behave("down")
    threading.Timer(0.3, model_stub.behave, ["answer"]).start()
    assert reply(model_stub) == "You said: What is my name?"


def test_server_that_was_restarted_between_two_replies_is_asked_again(model_stub: ModelStub) -> None:
    same = model(model_stub.url)
    assert "".join(same.reply(WINDOW, 5))
    model_stub.behave("down", times=1)
    model_stub.behave("answer")
    assert "".join(same.reply(WINDOW, 5))


def test_longer_retry_after_than_our_time_is_not_waited_for() -> None:
    with (
        raw_server(b"HTTP/1.1 429 No\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n") as url,
        pytest.raises(ModelUnavailable),
    ):
        began = time.monotonic()
        "".join(model(url).reply(WINDOW, 20))
    assert time.monotonic() - began < 10


def test_silent_server_is_a_timeout(model_stub: ModelStub) -> None:
    model_stub.behave("silent")
    with pytest.raises(ModelTimeout):
        reply(model_stub, model_read_s=0.2)
    with pytest.raises(ModelTimeout):
        reply(model_stub, limit_s=0.2)
    model_stub.wait_for(lambda: model_stub.hangups == 2)


def test_server_that_falls_silent_in_mid_reply_has_broken_off(model_stub: ModelStub) -> None:
    model_stub.hold_after(1)
    with pytest.raises(ModelBroke):
        reply(model_stub, model_read_s=0.2)


def test_text_that_takes_too_long_is_a_timeout(model_stub: ModelStub) -> None:
    model_stub.say("word " * 1000, delay_s=0.02)
    with pytest.raises(ModelTimeout):
        reply(model_stub, limit_s=0.4)
    model_stub.wait_for(lambda: model_stub.hangups == 1)


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nX-", SSE + b":", JSON + b"["])
def test_server_that_sends_a_byte_now_and_then_is_a_timeout(start: bytes) -> None:
    with raw_server(start, *[b"z"] * 1000) as url:
        began = time.monotonic()
        with pytest.raises(ModelTimeout):
            "".join(model(url, model_read_s=1.0).reply(WINDOW, 0.3))
    assert time.monotonic() - began < 10


# Closing


@pytest.mark.parametrize("behaviour", ["silent", "held", "loading", "down"])
def test_close_from_another_thread_ends_the_iteration_at_once(model_stub: ModelStub, behaviour: str) -> None:
    model_stub.hold_after(1)
    model_stub.behave("answer" if behaviour == "held" else behaviour)
    pieces = model(model_stub.url).reply(WINDOW, 30)
    texts: list[str] = []
    reader = threading.Thread(target=lambda: texts.extend(pieces))
    reader.start()
    if behaviour == "down":
        time.sleep(0.05)
    else:
        model_stub.wait_for(lambda: bool(model_stub.prompts))
    if behaviour == "held":
        model_stub.wait_held()
    began = time.monotonic()
    pieces.close()
    reader.join(20)
    assert not reader.is_alive() and time.monotonic() - began < 5  # of the 30 that it may take
    assert texts in ([], ["You"]) and list(pieces) == []
    if behaviour in ("silent", "held"):
        model_stub.wait_for(lambda: model_stub.hangups == 1)


def test_close_between_two_pieces_stops_also_text_that_has_come(model_stub: ModelStub) -> None:
    model_stub.say(" many words come at once", piece_chars=5)
    pieces = model(model_stub.url).reply(WINDOW, 5)
    assert next(iter(pieces)) == "many"
    pieces.close()
    pieces.close()
    assert list(pieces) == []


def test_late_close_disturbs_no_other_reply_on_the_same_connection(model_stub: ModelStub) -> None:
    same = model(model_stub.url)
    first = same.reply(WINDOW, 5)
    assert "".join(first)
    model_stub.hold_after(1)
    second = iter(same.reply(WINDOW, 5))
    assert next(second) == "You"
    first.close()
    model_stub.release()
    assert "".join(second) == " said: What is my name?"
    assert model_stub.connections == 1


UNDER_GEVENT = """
from gevent import monkey; monkey.patch_all()
import sys, time, gevent
from chat.config import Config
from gptj.client import Model
model = Model(Config(model_url=sys.argv[1], worker_concurrency=100))
replies = [model.reply([{"role": "human", "text": "Hi"}], 30) for _ in range(100)]
greenlets = [gevent.spawn(list, reply) for reply in replies]
gevent.get_hub().threadpool.apply(sys.stdin.readline)
began = time.monotonic()
for reply in replies: reply.close()
gevent.joinall(greenlets, timeout=10, raise_error=True)
assert all(g.ready() for g in greenlets) and time.monotonic() - began < 5
print(greenlets[0].value, "".join(model.reply([{"role": "human", "text": "Hi"}], 30)) if sys.argv[2] == "held" else "")
"""


@pytest.mark.parametrize("behaviour", ["silent", "held"])
def test_close_from_another_greenlet_ends_the_iteration_at_once(model_stub: ModelStub, behaviour: str) -> None:
    model_stub.behave("answer" if behaviour == "held" else behaviour)
    model_stub.hold_after(1)
    command = [sys.executable, "-W", "error", "-c", UNDER_GEVENT, model_stub.url, behaviour]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    ) as child:
        try:
            model_stub.wait_for(lambda: len(model_stub.prompts) == 100)
            if behaviour == "held":
                model_stub.wait_held(100)
            print(file=child.stdin, flush=True)
            model_stub.wait_for(lambda: model_stub.hangups == 100)
            model_stub.release()
            out, errors = child.communicate(timeout=60)
        finally:
            child.kill()
    assert (child.returncode, errors) == (0, "")
    assert out.rstrip() == ("['You'] You said: Hi" if behaviour == "held" else "[]")
