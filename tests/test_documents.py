"""The documents tell the truth: the first chat works as it stands, and what they name exists."""

import json
import re
import subprocess
from collections.abc import Callable
from itertools import groupby
from typing import Any

import pytest
from model_stub import ModelStub
from services import ROOT, Process

README = (ROOT / "README.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def first_chat() -> tuple[str, str]:
    """The commands of the first chat, and the output that is shown for them."""
    section = README.partition("## The first chat\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```(bash)?\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    (command,) = (text for kind, text in blocks if kind)
    (output,) = (text for kind, text in blocks if not kind)
    return command, output


def shape(output: str) -> list[Any]:
    """The events of a stream by type and the names in their data, deltas that follow each other as one."""
    found = re.findall(r"^id: \w{8}-\d+\nevent: (\w+)\ndata: (.*)\n$", output, re.MULTILINE)
    events = [(kind, names(json.loads(data))) for kind, data in found]
    return [event for event, _ in groupby(events)]


def names(value: Any) -> Any:
    """Names inside names, without what they stand for."""
    return {name: names(inner) for name, inner in value.items()} if isinstance(value, dict) else ...


def test_the_first_chat_can_be_pasted_and_shows_what_the_readme_shows(
    server: str, start_worker: Callable[..., Process], model_stub: ModelStub
) -> None:
    command, shown = first_chat()
    assert command.count("curl") == 2
    start_worker(MODEL_URL=model_stub.url)
    # Not -e: pasted lines go on after one that fails.
    pasted = ["bash", "-c", command.replace("http://127.0.0.1:8000", server)]
    output = subprocess.run(pasted, capture_output=True, text=True, timeout=60).stdout
    assert output.startswith("retry: 1000\n\n")
    assert shape(output) == shape(shown)
    assert [kind for kind, _ in shape(output)] == ["accepted", "started", "delta", "completed"]
    assert json.loads(output.rstrip().rpartition("data: ")[2])["message"]["text"] == "You said: Hello! Who are you?"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_into_the_repository_leads_somewhere(page: Any) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert not [target for target in targets if not (page.parent / target).exists()]


def test_the_readme_names_only_commands_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([a-z -]+?) *(?:#|$)", README, re.MULTILINE):
        assert all(re.search(rf"^{name}:.*## ", makefile, re.MULTILINE) for name in target.split())


def test_the_readme_keeps_its_order() -> None:
    headings = re.findall(r"^## (.*)$", README, re.MULTILINE)
    assert headings == [
        "The two commands", "The first chat", "How it works", "How to deploy", "How to configure", "How to develop",
    ]  # fmt: skip
    assert README.index("docs/pictures/chat.png") < README.index("## The two commands")
    assert (ROOT / "docs/pictures/chat.png").stat().st_size < 150_000


def test_the_architecture_explains_every_script() -> None:
    explained = set(re.findall(r"`(\w+)`", (ROOT / "docs/architecture.md").read_text()))
    scripts = {path.stem for path in (ROOT / "chat/lua").glob("*.lua")} - {"common", "conversation"}
    assert scripts <= explained


def test_files_that_the_documents_name_exist() -> None:
    named = re.compile(r"`((?:app|chat|tasks|gptj|tests|docs|deploy)/[\w./@-]+)`")
    missing = {(page.name, name) for page in PAGES for name in named.findall(page.read_text())
               if not (ROOT / name).exists()}  # fmt: skip
    assert not missing
