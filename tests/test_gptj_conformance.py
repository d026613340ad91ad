"""The model server, driven by clients that others wrote: huggingface_hub's, OpenAI's and curl."""

import asyncio
import json
import shutil
import signal
import subprocess
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ctranslate2
import openai
import pytest
import requests
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import GenerationError, OverloadedError, TextGenerationError, ValidationError
from openai import AsyncOpenAI, OpenAI
from prometheus_client.parser import text_string_to_metric_families
from services import Process, model_server, wait_for
from werkzeug.serving import make_server

from chat.config import Config
from gptj.server.engine import TINY, Engine
from gptj.server.web import create_app

PROMPT = "Human: What is Parley?\nBot:"
# As much as a model of the handbook's kind is asked for.
WISH: dict[str, Any] = {"max_new_tokens": 60, "stop": ["\nHuman:", "\nBot:"]}
GREEDY: dict[str, Any] = {"model": "any", "prompt": PROMPT, "max_tokens": 60, "temperature": 0}
LONG = 900


def run_apart(work: Coroutine[Any, Any, Any]) -> Any:
    """Run it in a thread of its own: in this one Playwright's loop runs, once a test has used a browser."""
    with ThreadPoolExecutor() as apart:
        return apart.submit(asyncio.run, work).result()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process = model_server(tmp_path_factory.mktemp("server") / "log")
    yield process.address
    process.end()
    assert "Traceback" not in process.log.read_text()


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server with room for a single reply."""
    process = model_server(tmp_path_factory.mktemp("narrow") / "log", GPTJ_THREADS="1", GPTJ_SLOTS="1")
    yield process
    process.end(signal.SIGKILL)


@pytest.fixture
def client(url: str) -> InferenceClient:
    return InferenceClient(model=url)


@pytest.fixture
def ai(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as ai:
        yield ai


@pytest.fixture(scope="module")
def reply(url: str) -> str:
    """What the model says to the prompt, with the stop string that ends it."""
    told = requests.post(f"{url}/generate", json={"inputs": PROMPT, "parameters": WISH}, timeout=30)
    text: str = told.json()["generated_text"]
    assert len(text) > 30 and text.endswith("\nHuman:")
    return text


# huggingface_hub


def test_hugging_face_client_gets_the_same_text_in_every_form(client: InferenceClient, reply: str) -> None:
    wish = {**WISH, "return_full_text": False}
    assert client.text_generation(PROMPT, **wish) == reply
    whole = client.text_generation(PROMPT, details=True, **wish)
    assert whole.generated_text == reply
    assert "".join(client.text_generation(PROMPT, stream=True, **wish)) == reply
    *tokens, last = client.text_generation(PROMPT, stream=True, details=True, **wish)
    assert last.generated_text == reply == "".join(event.token.text for event in [*tokens, last])


def test_hugging_face_client_gets_the_same_without_blocking(url: str, reply: str) -> None:
    async def ask() -> None:
        wish: dict[str, Any] = {**WISH, "return_full_text": False}
        async with AsyncInferenceClient(model=url) as client:
            assert await client.text_generation(PROMPT, **wish) == reply
            assert (await client.text_generation(PROMPT, details=True, **wish)).generated_text == reply
            assert "".join([text async for text in await client.text_generation(PROMPT, stream=True, **wish)]) == reply
            events = [event async for event in await client.text_generation(PROMPT, stream=True, details=True, **wish)]
            assert events[-1].generated_text == reply

    run_apart(ask())


def test_details_say_how_the_reply_was_written(client: InferenceClient) -> None:
    told = client.text_generation(PROMPT, details=True, seed=7, **WISH).details
    assert told and (told.finish_reason, told.seed) == ("stop_sequence", 7)
    assert told.generated_tokens == len(told.tokens) and told.prefill == []
    assert all(token.logprob <= 0 and isinstance(token.id, int) for token in told.tokens)
    short = client.text_generation(PROMPT, details=True, max_new_tokens=4).details
    assert short and (short.finish_reason, short.generated_tokens) == ("length", 4)
    *_, last = client.text_generation(PROMPT, details=True, stream=True, max_new_tokens=4)
    assert last.details and (last.details.finish_reason, last.details.generated_tokens) == ("length", 4)


def test_prompt_is_part_of_the_text_where_it_is_wanted(client: InferenceClient, reply: str) -> None:
    assert client.text_generation(PROMPT, return_full_text=True, **WISH) == PROMPT + reply


def test_each_of_several_stops_ends_the_reply(client: InferenceClient, reply: str) -> None:
    first, second = reply.split()[4:6]
    for stops in ([second, first], [first, second], ["never", first]):
        text = client.text_generation(PROMPT, max_new_tokens=60, stop=stops, return_full_text=False)
        assert text == reply[: reply.index(first) + len(first)]


@pytest.mark.parametrize(
    ("alike", "parameters"),
    [
        (True, {}),
        (True, {"do_sample": False, "temperature": 2.0}),
        (True, {"do_sample": True, "top_k": 1}),
        (True, {"do_sample": True, "top_p": 0.01, "temperature": 1.5}),
        (False, {"do_sample": True, "temperature": 3.0}),
        (False, {"temperature": 3.0, "top_k": 500, "top_p": 0.99}),
        # Taken, but without effect: CTranslate2 seeds each of its threads but once.
        (False, {"temperature": 3.0, "seed": 7}),
    ],
)
def test_words_are_drawn_as_asked(client: InferenceClient, alike: bool, parameters: dict[str, Any]) -> None:
    texts = {client.text_generation(PROMPT, max_new_tokens=20, **parameters) for _ in range(3)}
    assert (len(texts) == 1) == alike


def test_repetition_penalty_and_truncate_change_the_reply(client: InferenceClient, reply: str) -> None:
    plain, spread = (client.text_generation(PROMPT, max_new_tokens=60, repetition_penalty=p) for p in (None, 1.9))
    assert plain != spread
    assert client.text_generation(PROMPT, truncate=3, return_full_text=False, **WISH) != reply


def test_hugging_face_client_raises_what_it_has_for_each_error(client: InferenceClient, narrow: Process) -> None:
    with pytest.raises(ValidationError, match="decoder_input_details"):
        client.text_generation(PROMPT, details=True, decoder_input_details=True)
    with pytest.raises(ValidationError, match="max_new_tokens"):
        client.text_generation(PROMPT, max_new_tokens=100_000)
    full = InferenceClient(model=narrow.address)
    with requests.post(f"{narrow.address}/generate_stream", json=long(), stream=True, timeout=30) as running:
        lines = running.iter_lines()
        assert next(lines)
        with pytest.raises(OverloadedError):
            full.text_generation(PROMPT, max_new_tokens=2)
    assert wait_for(lambda: is_free(full))


def long() -> dict[str, Any]:
    return {"inputs": PROMPT, "parameters": {"max_new_tokens": LONG}}


def is_free(client: InferenceClient) -> str | None:
    try:
        return client.text_generation(PROMPT, max_new_tokens=2)
    except TextGenerationError:
        return None


def test_client_that_leaves_its_stream_frees_the_slot(narrow: Process) -> None:
    client = InferenceClient(model=narrow.address)
    for _ in range(3):
        stream = client.text_generation(PROMPT, stream=True, max_new_tokens=LONG)
        assert next(iter(stream))
        stream.close()  # type: ignore[attr-defined]
        assert wait_for(lambda: is_free(client), within_s=4)


# OpenAI


def test_openai_client_gets_the_reply_without_its_stop(ai: OpenAI, reply: str) -> None:
    told = ai.completions.create(**GREEDY, stop=WISH["stop"])
    (choice,) = told.choices
    assert choice.text == reply.removesuffix("\nHuman:")
    assert (choice.finish_reason, told.object) == ("stop", "text_completion")
    assert told.usage and told.usage.completion_tokens > 5
    assert told.usage.total_tokens == told.usage.prompt_tokens + told.usage.completion_tokens
    assert (told.id[:5], told.model) == ("cmpl-", ai.models.list().data[0].id)


@pytest.mark.parametrize("stop", ["\nHuman:", ["\nBot:", "\nHuman:"], [" is", "\n"], "Human", None])
def test_stream_of_completions_joins_to_the_whole(ai: OpenAI, stop: Any) -> None:
    whole = ai.completions.create(**GREEDY, stop=stop)
    *chunks, usage = ai.completions.create(**GREEDY, stop=stop, stream=True, stream_options={"include_usage": True})
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    reasons = [chunk.choices[0].finish_reason for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + [whole.choices[0].finish_reason]
    assert (usage.choices, usage.usage) == ([], whole.usage)
    assert len({chunk.id for chunk in [*chunks, usage]}) == 1


def test_completions_stream_without_blocking(url: str, reply: str) -> None:
    async def ask() -> str:
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as ai:
            stream = await ai.completions.create(**GREEDY, stop=WISH["stop"], stream=True)
            return "".join([chunk.choices[0].text async for chunk in stream])

    assert run_apart(ask()) + "\nHuman:" == reply


def test_completions_know_echo_length_and_lists_of_one(ai: OpenAI) -> None:
    (choice,) = ai.completions.create(**GREEDY | {"prompt": [PROMPT], "max_tokens": 3}, echo=True).choices
    assert choice.text.startswith(PROMPT) and choice.finish_reason == "length"
    echoed = ai.completions.create(**GREEDY | {"max_tokens": 3}, echo=True, stream=True)
    assert "".join(chunk.choices[0].text for chunk in echoed) == choice.text


def test_any_seed_is_left_aside(ai: OpenAI) -> None:
    assert ai.completions.create(**GREEDY | {"max_tokens": 1}, seed=-1).choices


def test_completions_are_short_and_drawn_by_chance_unless_told_otherwise(ai: OpenAI) -> None:
    usual = ai.completions.create(model="any", prompt="Human: Tell me a long story\nBot:")
    assert usual.usage and usual.usage.completion_tokens <= 16
    hot = {ai.completions.create(**GREEDY | {"temperature": 2}).choices[0].text for _ in range(3)}
    assert len(hot) > 1


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"n": 2}, "`n` is not supported"),
        ({"best_of": 3}, "`best_of` is not supported"),
        ({"logprobs": 1}, "`logprobs` is not supported"),
        ({"suffix": "."}, "`suffix` is not supported"),
        ({"presence_penalty": 1}, "`presence_penalty` is not supported"),
        ({"max_tokens": 100_000}, "`max_tokens` must be less than"),
        ({"max_tokens": 0}, "`max_tokens` must be between"),
        ({"temperature": "hot"}, "`temperature` must be a number"),
        ({"prompt": ["a", "b"]}, "`prompt` must be a string"),
        ({"prompt": ""}, "`prompt` must be"),
    ],
)
def test_openai_client_is_told_what_cannot_be_had(ai: OpenAI, wish: dict[str, Any], told: str) -> None:
    with pytest.raises(openai.BadRequestError, match=told) as error:
        ai.completions.create(**GREEDY | wish)
    assert error.value.type == "invalid_request_error"


def test_openai_client_knows_the_other_errors_too(ai: OpenAI, narrow: Process) -> None:
    with pytest.raises(openai.NotFoundError):
        ai.chat.completions.create(model="any", messages=[{"role": "user", "content": "Hi"}])
    patient = OpenAI(base_url=f"{narrow.address}/v1", api_key="none", max_retries=5)
    with patient.completions.create(**GREEDY | {"max_tokens": LONG}, stream=True) as running:
        assert next(iter(running))
        with pytest.raises(openai.RateLimitError) as error:
            patient.with_options(max_retries=0).completions.create(**GREEDY)
        assert error.value.response.headers["Retry-After"] == "1"
        waiting = threading.Timer(0.5, running.close)
        waiting.start()
        # It waits as long as it is told, and asks again.
        assert patient.completions.create(**GREEDY).choices
        waiting.join()
    patient.close()


# A model that fails


@pytest.fixture
def broken() -> Iterator[str]:
    """The address of a server whose model fails: this process's, as no process of ours can be made to."""
    engine = Engine(Config())
    engine.load()
    engine.model = ctranslate2.Generator(str(TINY))
    engine.model.unload_model()
    app = create_app(engine)

    def serve(environ: dict[str, Any], start: Any) -> Any:
        return app(environ | {"gunicorn.socket": environ["werkzeug.socket"]}, start)

    server = make_server("127.0.0.1", 0, serve, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_failure_reaches_every_client_also_within_a_stream(broken: str) -> None:
    client = InferenceClient(model=broken)
    for stream in (False, True):
        with pytest.raises(GenerationError, match="Request failed during generation"):
            list(client.text_generation(PROMPT, stream=stream))
    with OpenAI(base_url=f"{broken}/v1", api_key="none", max_retries=0) as ai:
        with pytest.raises(openai.InternalServerError, match="Request failed during generation"):
            ai.completions.create(**GREEDY)
        with pytest.raises(openai.APIError, match="Request failed during generation"):
            list(ai.completions.create(**GREEDY, stream=True))


# curl


def curl(url: str, body: dict[str, Any], *flags: str) -> str:
    command = ["curl", "-sS", "--max-time", "30", *flags, url, "-H", "Content-Type: application/json"]
    return subprocess.run([*command, "-d", json.dumps(body)], capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_gets_text_and_streams(url: str, reply: str) -> None:
    asked = {"inputs": PROMPT, "parameters": WISH}
    assert json.loads(curl(f"{url}/generate", asked)) == {"generated_text": reply}
    assert json.loads(curl(url, asked)) == [{"generated_text": PROMPT + reply}]
    *_, last = curl(f"{url}/generate_stream", asked, "-N").strip().split("\n\n")
    assert json.loads(last.removeprefix("data: "))["generated_text"] == reply
    *_, end, done = curl(f"{url}/v1/completions", {**GREEDY, "stream": True}, "-N").strip().split("\n\n")
    assert json.loads(end.removeprefix("data: "))["choices"][0]["finish_reason"] and done == "data: [DONE]"


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_sees_status_and_error(url: str) -> None:
    refused = curl(f"{url}/generate", {"inputs": 1}, "-i")
    assert refused.startswith("HTTP/1.1 422") and '"error_type":"validation"' in refused
    refused = curl(f"{url}/v1/completions", {"prompt": 1}, "-i")
    assert refused.startswith("HTTP/1.1 400") and '"type":"invalid_request_error"' in refused


# Prometheus


def test_prometheus_reads_what_the_server_has_done(narrow: Process) -> None:
    before = scraped(narrow.address)
    client = InferenceClient(model=narrow.address)
    client.text_generation(PROMPT, max_new_tokens=5)
    with pytest.raises(ValidationError):
        client.text_generation(PROMPT, max_new_tokens=0)
    stream = client.text_generation(PROMPT, stream=True, max_new_tokens=LONG)
    next(iter(stream))
    assert scraped(narrow.address)["gptj_running"] == 1
    stream.close()  # type: ignore[attr-defined]
    wait_for(lambda: scraped(narrow.address)["gptj_running"] == 0)
    after = scraped(narrow.address)
    for name in ("length", "validation", "cancelled"):
        assert after[f"gptj_replies_total {name}"] == before.get(f"gptj_replies_total {name}", 0) + 1
    assert after["gptj_first_token_seconds_count"] == before["gptj_first_token_seconds_count"] + 2
    assert after["gptj_generated_tokens_total"] > before["gptj_generated_tokens_total"] + 5
    assert after["gptj_prompt_tokens_total"] > before["gptj_prompt_tokens_total"]
    assert after["gptj_waiting"] == 0 and after["process_resident_memory_bytes"] > 1e6


def scraped(address: str) -> dict[str, float]:
    text = requests.get(f"{address}/metrics", timeout=5).text
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
