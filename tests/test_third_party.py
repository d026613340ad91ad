"""Whole turns with a model server that others wrote: `transformers serve` with a GPT-J. `make peers` runs these."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from services import ROOT, Process, free_port, wait_for
from test_gptj_client import cleaned

from chat.config import Config
from chat.conversation import Conversation
from chat.errors import ModelBroke, ModelRefused
from chat.store import Store
from gptj.client import Model

pytestmark = [pytest.mark.peers, pytest.mark.timeout(300)]
PEERS = ROOT / ".venv-peers/bin"
# As much as the small GPT-J takes.
SMALL = {"model_context_tokens": 256, "model_max_new_tokens": 40, "model_temperature": 0.0}
WINDOW = [{"role": "human", "text": "Hi!"}]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the completions of `transformers serve`, with a small random GPT-J."""
    folder: Path = tmp_path_factory.mktemp("serve")
    (folder / "cache").mkdir()
    subprocess.run([PEERS / "python", "tests/peer_gptj.py", "make", folder / "gptj", "float32"], cwd=ROOT, check=True)
    origin = f"http://127.0.0.1:{free_port()}"
    command = [str(PEERS / "transformers"), "serve", str(folder / "gptj"), "--host", "127.0.0.1", "--device", "cpu"]
    process = Process(
        [*command, "--port", origin.rpartition(":")[2]], folder / "log",
        HF_HUB_OFFLINE="1", HF_HUB_CACHE=str(folder / "cache"), OMP_NUM_THREADS="1",
    )  # fmt: skip
    try:
        wait_for(lambda: process.popen.poll() is not None or is_healthy(origin), within_s=200, every_s=0.2)
        yield f"{origin}/v1/completions"
        assert process.popen.poll() is None, process.log.read_text()
    finally:
        process.end()


def is_healthy(origin: str) -> bool:
    try:
        return requests.get(f"{origin}/health", timeout=5).ok
    except requests.ConnectionError:
        return False


def ask(url: str, prompt: str, **more: Any) -> requests.Response:
    """What it answers to a request of nobody's client."""
    body = {"prompt": prompt, "max_tokens": 40, "temperature": 0, "stop": ["Human:", "\nBot:"], **more}
    return requests.post(url, json=body, timeout=60)


def said(url: str, prompt: str) -> str:
    return cleaned([ask(url, prompt).json()["choices"][0]["text"]])


def test_turns_go_through_the_worker(theirs: str, store: Store, start_worker: Callable[..., Process]) -> None:
    start_worker(MODEL_URL=theirs, SWEEP_S="0.2", **{name.upper(): f"{value:g}" for name, value in SMALL.items()})
    conversation = Conversation.create(store)
    for turns, text in enumerate(("Hi!", "How are you?"), start=1):
        conversation.accept(text)
        wait_for(lambda turns=turns: len(conversation.snapshot()["messages"]) == 2 * turns, within_s=100)
    _, first, _, second = conversation.snapshot()["messages"]
    assert first["status"] == second["status"] == "completed"
    assert first["text"] == said(theirs, "Human: Hi!\nBot:") != ""
    assert second["text"] == said(theirs, f"Human: Hi!\nBot: {first['text']}\nHuman: How are you?\nBot:") != ""


def test_a_reply_comes_while_it_is_written(theirs: str) -> None:
    pieces = list(Model(Config(model_url=theirs, **SMALL)).reply(WINDOW, 60))  # type: ignore[arg-type]
    assert len(pieces) > 2 and "".join(pieces) == said(theirs, "Human: Hi!\nBot:")


def test_its_stream_ends_with_a_reason_and_without_done(theirs: str) -> None:
    body = ask(theirs, "Human: Hi!\nBot:", stream=True).text
    assert "[DONE]" not in body
    last = json.loads(body.strip().rpartition("\n\n")[2].removeprefix("data: "))
    assert last["choices"][0]["finish_reason"] in ("stop", "length")


def test_another_model_than_its_own_is_refused_in_its_words(theirs: str) -> None:
    model = Model(Config(model_url=theirs, model_name="another", **SMALL))  # type: ignore[arg-type]
    with pytest.raises(ModelRefused, match="answered 400: Server is pinned to"):
        list(model.reply(WINDOW, 60))


def test_a_field_that_it_does_not_know_is_refused_in_its_words(theirs: str) -> None:
    model = Model(Config(model_url=theirs, model_parameters='{"top_k": 5}', **SMALL))  # type: ignore[arg-type]
    with pytest.raises(ModelRefused, match=r"answered 422: Unexpected fields in the request: \{'top_k'}"):
        list(model.reply(WINDOW, 60))


def test_what_is_too_long_for_it_is_cut_before_it_breaks(theirs: str) -> None:
    window = [{"role": "human", "text": "7 + 7 = 14; " * 60}]
    with pytest.raises(ModelBroke, match="index 256 is out of bounds"):
        list(Model(Config(model_url=theirs)).reply(window, 60))
    assert list(Model(Config(model_url=theirs, **SMALL)).reply(window, 60))  # type: ignore[arg-type]
