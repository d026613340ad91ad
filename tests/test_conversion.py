"""GPT-J checkpoints of transformers, converted: they say in our server what they say there. `make peers` runs these."""

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from services import ROOT, model_server

pytestmark = [pytest.mark.peers, pytest.mark.timeout(300)]
PYTHON = ROOT / ".venv-peers/bin/python"


def peer(*arguments: str | Path) -> str:
    command = [PYTHON, "tests/peer_gptj.py", *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=280).stdout


def convert(*settings: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", "model-convert", *settings]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small GPT-J as transformers has it, in float32."""
    folder: Path = tmp_path_factory.mktemp("gptj") / "theirs"
    peer("make", folder, "float32")
    return folder


@pytest.fixture(scope="module", params=["float32", "float16"])
def stored(request: pytest.FixtureRequest, theirs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small GPT-J as transformers has it, stored in this type, and the same converted."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    if request.param != "float32":
        theirs = folder / "theirs"
        peer("make", theirs, request.param)
    done = convert(f"FROM={theirs}", f"INTO={folder}/ours", f"QUANTIZATION={request.param}")
    assert done.returncode == 0 and f"GPTJ_PATH={folder}/ours" in done.stdout, done.stderr
    return theirs, folder / "ours"


@pytest.fixture(scope="module")
def said(stored: tuple[Path, Path]) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(peer("compare", *stored))
    return said


def test_logits_are_those_of_transformers(said: dict[str, Any]) -> None:
    assert 0 < said["apart"] < 1e-4


def test_greedy_replies_are_those_of_transformers(said: dict[str, Any]) -> None:
    assert said["ours"] == said["theirs"] and all(len(set(reply)) > 5 for reply in said["ours"])


@pytest.fixture
def url(stored: tuple[Path, Path], tmp_path: Path) -> Iterator[str]:
    process = model_server(tmp_path / "server.log", GPTJ_PATH=str(stored[1]), GPTJ_COMPUTE="float32")
    yield process.address
    process.end(signal.SIGKILL)


def test_the_model_server_writes_the_same_text(url: str, said: dict[str, Any]) -> None:
    assert requests.get(f"{url}/info", timeout=5).json()["max_total_tokens"] == 256
    for prompt, text, ids in zip(said["prompts"], said["texts"], said["theirs"], strict=True):
        wish = {"max_new_tokens": len(ids), "details": True}
        told = requests.post(f"{url}/generate", json={"inputs": prompt, "parameters": wish}, timeout=30).json()
        assert told["generated_text"] == text
        assert [token["id"] for token in told["details"]["tokens"]] == ids


def test_reply_ends_where_the_model_ends_it(url: str) -> None:
    asked = {"inputs": "Human:", "parameters": {"max_new_tokens": 200, "temperature": 8.0, "details": True}}
    replies = (requests.post(f"{url}/generate", json=asked, timeout=30).json()["details"] for _ in range(50))
    ended = next(details for details in replies if details["finish_reason"] == "eos_token")
    assert ended["tokens"][-1]["special"] and ended["generated_tokens"] == len(ended["tokens"]) < 200


def test_int8_is_the_default_and_takes_little_more_than_a_quarter(theirs: Path, tmp_path: Path) -> None:
    assert convert(f"FROM={theirs}", f"INTO={tmp_path}/int8").returncode == 0
    full = (theirs / "model.safetensors").stat().st_size
    assert (tmp_path / "int8/model.bin").stat().st_size < 0.4 * full
    assert json.loads(peer("compare", theirs, tmp_path / "int8"))["apart"] < 2


def test_what_cannot_be_converted_is_one_clear_line(theirs: Path, tmp_path: Path) -> None:
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2/config.json").write_text('{"model_type": "gpt2"}')
    shutil.copytree(theirs, tmp_path / "cut", ignore=shutil.ignore_patterns("*.safetensors"))
    shutil.copytree(theirs, tmp_path / "wide")
    config = json.loads((theirs / "config.json").read_text())
    (tmp_path / "wide/config.json").write_text(json.dumps(config | {"n_embd": 2 * config["n_embd"]}))
    shutil.copytree(theirs, tmp_path / "spoilt")
    (tmp_path / "spoilt/model.safetensors").write_bytes(b"spoilt" * 100)
    for source, into, told in (
        ("", "out", "FROM=… names the checkpoint"),
        (tmp_path / "nothing", "out", "cannot be converted"),
        (tmp_path / "gpt2", "out", "is no GPT-J but gpt2"),
        (tmp_path / "cut", "out", "cannot be converted"),
        (tmp_path / "wide", "out", "cannot be converted"),
        (tmp_path / "spoilt", "out", "cannot be converted"),
        (theirs, "cut", "is there already"),
    ):
        done = convert(f"FROM={source}", f"INTO={tmp_path}/{into}")
        assert done.returncode != 0 and told in done.stderr and "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"gpt2", "cut", "wide", "spoilt"}
