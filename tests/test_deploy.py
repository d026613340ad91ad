"""The samples in deploy/ at work: a real nginx in front of a real web process, the systemd units, a reload."""

import configparser
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest
import requests
from services import ROOT, Process, free_port, wait_for
from test_packaging import procfile
from transports import Socket, Sse, as_event, lines_to_events
from websockets.sync.client import connect

from app import BODY_MAX_BYTES
from app.sockets import PING_S as SOCKET_PING_S
from app.stream import PING_S
from chat.conversation import Conversation
from chat.store import Store
from chat.turns import Turn

DEPLOY = ROOT / "deploy"
UNITS = {"web": "parley-web.service", "worker": "parley-worker@.service"}
# The rest of a machine's nginx, as unfriendly to streams as it can be: its idle time-out is 1 s instead of 60 s, it
# compresses everything, it buffers, and it does not heed the web process that asks it not to.
NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    proxy_read_timeout 1s;
    proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;
    gzip on; gzip_types *; gzip_min_length 0; gzip_proxied any;
    include {folder}/parley.conf;
}}
"""

Proxy = Callable[..., str]


@pytest.fixture
def start_nginx(server: str, tmp_path: Path) -> Iterator[Proxy]:
    """Starts nginx with the sample, on a port of its own in front of `server`; gives its address."""
    program = shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    if not program:
        why = "nginx is not installed (Debian: nginx-light)"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    started: list[Process] = []

    def start(without: str = "") -> str:
        folder, port = tmp_path / f"nginx-{len(started)}", free_port()
        folder.mkdir()
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
        (folder / "parley.conf").write_text(rendered(port, server, without))
        command = [program, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", str(folder / "error.log")]
        started.append(Process(command, folder / "log"))
        wait_for(lambda: started[-1].popen.poll() is not None or answers(f"http://127.0.0.1:{port}/healthz"))
        return f"http://127.0.0.1:{port}"

    yield start
    for process in started:
        process.end()


def rendered(port: int, server: str, without: str) -> str:
    """The sample with the test's ports for its own."""
    text = (DEPLOY / "nginx.conf").read_text()
    for old, new in {
        "listen 80;": f"listen 127.0.0.1:{port};",
        "listen [::]:80;": "",
        "server 127.0.0.1:8000;": f"server {server.removeprefix('http://')};",
    }.items() | ({(without, "")} if without else set()):
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


def answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).ok
    except requests.RequestException:
        return False


@pytest.fixture
def chat(store: Store) -> Conversation:
    return Conversation.create(store, "Ada")


def begin(chat: Conversation, text: str = "Hi") -> Turn:
    chat.accept(text)
    turn = Turn.begin(chat.store, chat.id)
    assert turn
    return turn


# --- nginx ---


def test_an_event_passes_nginx_before_the_next_one_is_made(start_nginx: Proxy, chat: Conversation) -> None:
    turn = begin(chat)
    stream = Sse(start_nginx(), chat.id, after=None)
    events = iter(stream)
    assert next(events)["type"] == "reset"
    for piece in ("One", " by", " one."):
        turn.emit(piece)
        assert next(events)["data"]["text"] == piece
    turn.finish("completed")
    assert next(events)["data"]["message"]["text"] == "One by one."
    stream.close()


def test_a_post_through_nginx_streams_its_turn(start_nginx: Proxy, chat: Conversation) -> None:
    address = f"{start_nginx()}/api/conversations/{chat.id}/messages"
    headers = {"Accept": "text/event-stream"}
    with requests.post(address, json={"text": "Hi"}, headers=headers, stream=True, timeout=20) as answer:
        events = lines_to_events(answer)
        assert next(events)["type"] == "accepted"
        turn = Turn.begin(chat.store, chat.id)
        assert turn
        assert next(events)["type"] == "started"
        for piece in ("One", " by"):
            turn.emit(piece)
            assert next(events)["data"]["text"] == piece
        turn.finish("completed", " one.")
        assert [event["type"] for event in events] == ["delta", "completed"]


def test_a_websocket_opens_through_nginx_and_works_both_ways(start_nginx: Proxy, chat: Conversation) -> None:
    proxy = start_nginx()
    address = f"{proxy.replace('http', 'ws', 1)}/api/conversations/{chat.id}/socket"
    # A page of this very address may connect: its origin is compared with the Host that nginx passes on.
    with connect(address, origin=proxy) as socket:  # type: ignore[arg-type]
        assert as_event(json.loads(socket.recv(20)))["type"] == "reset"
        socket.send(json.dumps({"type": "send", "id": "m1", "text": "Hi"}))
        assert {json.loads(socket.recv(20))["type"] for _ in range(2)} == {"ack", "accepted"}
        turn = Turn.begin(chat.store, chat.id)
        assert turn
        assert json.loads(socket.recv(20))["type"] == "started"
        for piece in ("One", " by"):
            turn.emit(piece)
            assert json.loads(socket.recv(20))["text"] == piece


@pytest.mark.parametrize("transport", [Sse, Socket])
def test_a_silent_stream_outlives_the_time_out_that_nginx_has_by_itself(
    start_nginx: Proxy, chat: Conversation, transport: type[Sse | Socket]
) -> None:
    turn = begin(chat)
    stream = transport(start_nginx(), chat.id, after=None)
    events = iter(stream)
    assert next(events)["type"] == "reset"
    # Opened later, but without the sample's own time-out: that it ends shows that the other one would have, too.
    with suppress(requests.exceptions.ChunkedEncodingError):
        for _ in transport(start_nginx(without="proxy_read_timeout 5m;"), chat.id, after=None):
            pass
    turn.emit("Still here.")
    assert next(events)["data"]["text"] == "Still here."
    stream.close()


def test_a_stream_is_pinged_well_before_nginx_gives_it_up() -> None:
    (minutes,) = re.findall(r"proxy_read_timeout (\d+)m;", (DEPLOY / "nginx.conf").read_text())
    assert 4 * max(PING_S, SOCKET_PING_S) < int(minutes) * 60


def test_a_body_of_ten_megabytes_is_refused_and_the_next_request_works(start_nginx: Proxy, chat: Conversation) -> None:
    address = f"{start_nginx()}/api/conversations/{chat.id}/messages"
    with requests.Session() as session:
        refused = session.post(address, json={"text": "x" * 10_000_000}, timeout=20)
        assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert session.post(address, json={"text": "x" * 4_000}, timeout=20).status_code == 202
    assert [message["text"] for message in chat.snapshot()["pending"]] == ["x" * 4_000]


def test_nginx_takes_as_much_as_the_web_process() -> None:
    assert f"client_max_body_size {BODY_MAX_BYTES // 1024}k;" in (DEPLOY / "nginx.conf").read_text()


# --- systemd ---


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_runs_the_same_command_as_the_procfile(name: str) -> None:
    unit = configparser.ConfigParser(interpolation=None, delimiters="=")
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / UNITS[name])
    command = unit["Service"]["ExecStart"].removeprefix("/opt/parley/.venv/bin/")
    # Behind a proxy on the same machine the web process listens on 127.0.0.1, which is what HOST is by itself.
    assert command == procfile()[name].removeprefix("env HOST=${HOST:-0.0.0.0} ")
    assert int(unit["Service"]["TimeoutStopSec"]) > 25


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    for name in UNITS.values():
        text = (DEPLOY / name).read_text().replace("/opt/parley/.venv/bin", str(Path(sys.executable).parent))
        (tmp_path / name).write_text(text.replace("/opt/parley", str(ROOT)))
    command = ["systemd-analyze", "verify", *(str(tmp_path / name) for name in UNITS.values())]
    done = subprocess.run(command, capture_output=True, text=True)
    # It also complains of the machine's own units.
    assert not [line for line in done.stderr.splitlines() if "parley" in line]


@pytest.mark.slow
def test_a_reload_refuses_nobody_and_a_client_goes_on_from_its_position(
    start_web: Callable[..., tuple[str, Process]], chat: Conversation
) -> None:
    address, process = start_web()
    turn = begin(chat)
    events = iter(Sse(address, chat.id, after=None))
    position = next(events)["id"]
    process.popen.send_signal(signal.SIGHUP)
    assert list(events) == []
    turn.emit("And on.")
    seen: list[str] = []
    while not seen:
        # As EventSource does: where a stream ends, open the next one. Not one is refused.
        seen = [event["data"]["text"] for event in islice(Sse(address, chat.id, after=position), 1)]
    assert seen == ["And on."]
    wait_for(lambda: process.log.read_text().count("Booting worker") == 2)
