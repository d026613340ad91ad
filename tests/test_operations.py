"""What operators see: metrics over several processes, logs that follow a message, and which part is down."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
import requests
from flask.testing import FlaskClient
from model_stub import ModelStub
from prometheus_client.parser import text_string_to_metric_families
from services import ROOT, Process, free_port, python, valkey, wait_for
from transports import Socket, Sse
from websockets.sync.client import connect

from app import create_app
from app.metrics import LIMITS_MS
from chat import keys
from chat.config import Config
from chat.conversation import Conversation
from chat.errors import FencedOff
from chat.store import Store
from chat.turns import Turn, renew

StartWeb = Callable[..., tuple[str, Process]]
TOKEN = {"Authorization": "Bearer let-me-see"}
STREAM = {"Accept": "text/event-stream"}
Samples = dict[str, float]


@pytest.fixture
def chat(store: Store) -> Conversation:
    return Conversation.create(store)


@pytest.fixture
def client(config: Config, store: Store) -> FlaskClient:
    return create_app(replace(config, metrics_token="let-me-see"), store).test_client()


def samples(text: str) -> Samples:
    """Every value, under a name such as `parley_turns_total{code=,outcome=completed}`."""
    return {
        f"{s.name}{{{','.join(f'{k}={v}' for k, v in sorted(s.labels.items()))}}}": s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def scraped(server: str) -> Samples:
    answer = requests.get(f"{server}/metrics", headers=TOKEN, timeout=10)
    answer.raise_for_status()
    return samples(answer.text)


def say(server: str, chat: Conversation, text: str = "Hi", **headers: str) -> str:
    """Send a message and wait for the whole reply; the id of the request as the server names it."""
    address = f"{server}/api/conversations/{chat.id}/messages"
    with requests.post(address, json={"text": text}, headers=STREAM | headers, stream=True, timeout=30) as answer:
        assert "event: completed" in answer.iter_lines(decode_unicode=True)
        return answer.headers["X-Request-ID"]


# --- metrics ---


def test_metrics_are_for_those_who_have_the_token(client: FlaskClient, config: Config) -> None:
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer let-me"}).status_code == 401
    assert client.get("/metrics", headers=TOKEN).status_code == 200
    assert create_app(config).test_client().get("/metrics", headers=TOKEN).status_code == 404


def test_metrics_add_up_over_all_processes(
    start_web: StartWeb, start_worker: Callable[..., Process], chat: Conversation, model_stub: ModelStub
) -> None:
    start_worker(MODEL_URL=model_stub.url)
    server, process = start_web(WEB_CONCURRENCY="2", METRICS_TOKEN="let-me-see")
    for _ in range(30):  # each over a connection of its own, so that all processes get some
        requests.get(f"{server}/api/config", timeout=10)
    say(server, chat, "How are you?")
    model_stub.behave("refuse")
    chat.accept("And now?")
    streams = [Sse(server, chat.id, None) for _ in range(4)] + [Socket(server, chat.id, None) for _ in range(3)]
    events = [iter(stream) for stream in streams]
    assert [next(of_one)["type"] for of_one in events] == ["reset"] * 7
    failed = "parley_turns_total{code=model_refused,outcome=failed}"
    found = wait_for(lambda: (s := scraped(server)).get(failed) and opened(s)["turn"] == 0 and s)
    assert found["parley_requests_total{method=GET,route=/api/config,status=200}"] == 30
    assert found["parley_request_seconds_count{method=GET,route=/api/config}"] == 30
    assert found["parley_turns_total{code=,outcome=completed}"] == 1
    assert found["parley_queue_wait_seconds_count{}"] == 2
    assert found["parley_first_delta_seconds_count{}"] == 1 == found["parley_first_delta_seconds_bucket{le=+Inf}"]
    assert 0 < found["parley_first_delta_seconds_sum{}"] < 30
    assert found["parley_events_sent_total{transport=turn}"] >= 4  # accepted, started, delta, completed
    assert opened(found) == {"sse": 4, "websocket": 3, "turn": 0}
    assert chat.id not in requests.get(f"{server}/metrics", headers=TOKEN, timeout=10).text
    # Streams that died with their process are open no more, and what it had counted stays counted.
    for child in psutil.Process(process.pid).children():
        child.kill()
    after = wait_for(lambda: (s := still(server)) and not any(opened(s).values()) and s)
    assert after["parley_requests_total{method=GET,route=/api/config,status=200}"] == 30
    folders = {Path(f.path).parent for child in psutil.Process(process.pid).children() for f in child.open_files()}
    places = [folder for folder in folders if folder.name.startswith("parley-metrics-")]
    assert process.end() == 0
    assert not any(place.exists() for place in places)


def opened(found: Samples) -> Samples:
    return {name: found[f"parley_open_streams{{transport={name}}}"] for name in ("sse", "websocket", "turn")}


def still(server: str) -> Samples | None:
    try:
        return scraped(server)
    except requests.RequestException:
        return None


def test_what_clients_make_up_makes_no_series(client: FlaskClient) -> None:
    before = client.get("/metrics", headers=TOKEN).text
    for n in range(20):
        client.get(f"/no/such/page/{n}")
        client.open(f"/api/conversations/{n}", method=f"BREW{n}")
    new = set(samples(client.get("/metrics", headers=TOKEN).text)) - set(samples(before))
    assert {name for name in new if name.startswith("parley_requests_total")} <= {
        "parley_requests_total{method=GET,route=/metrics,status=200}",
        "parley_requests_total{method=any,route=unknown,status=404}",
        "parley_requests_total{method=any,route=unknown,status=405}",
    }


def test_recoveries_fences_and_waits_are_counted_where_they_happen(
    client: FlaskClient, store: Store, chat: Conversation
) -> None:
    chat.accept("Hi", "m1")
    found = samples(client.get("/metrics", headers=TOKEN).text)
    assert (found["parley_conversations{for=worker}"], found["parley_conversations{for=model}"]) == (1, 0)
    first = Turn.begin(store, chat.id)
    assert first
    first.release(strike=True)
    second = Turn.begin(store, chat.id)
    assert second
    with pytest.raises(FencedOff):
        first.emit("too late")
    found = samples(client.get("/metrics", headers=TOKEN).text)
    assert found["parley_conversations{for=model}"] == 1
    chat.stop("m1")
    second.finish("stopped", "A piece")
    # The same answer again, as after one that was lost, is the same turn.
    second.finish("stopped", "A piece")
    # Nor is a renewal that was under way meanwhile a lost turn.
    renew(store, [second])
    found = samples(client.get("/metrics", headers=TOKEN).text)
    assert (found["parley_recoveries_total{}"], found["parley_fenced_total{}"]) == (1, 1)
    assert found["parley_turns_total{code=,outcome=stopped}"] == 1
    assert found["parley_queue_wait_seconds_count{}"] == 1


def test_the_limits_of_waits_are_those_of_the_scripts(client: FlaskClient, store: Store, chat: Conversation) -> None:
    for accepted_ago_ms in (0, 60, 110_000):
        chat.accept("Hi")
        turn = Turn.begin(store, chat.id)
        assert turn
        run = f"{keys.conversation(chat.id)[0]}:run"
        store.client.hincrby(run, "accepted", -accepted_ago_ms)
        turn.finish("completed")
    (counted,) = [c for key in store.client.keys("*:counts") if (c := store.client.hgetall(key))]
    limits = {name.partition(":")[2] for name in counted if name.startswith("waited:")} - {"sum", "inf"}
    assert limits <= {str(limit) for limit in LIMITS_MS} and counted["waited:inf"] == "1"
    found = samples(client.get("/metrics", headers=TOKEN).text)
    assert found["parley_queue_wait_seconds_bucket{le=0.05}"] == 1
    assert found["parley_queue_wait_seconds_bucket{le=102.4}"] == 2
    assert found["parley_queue_wait_seconds_bucket{le=+Inf}"] == 3


# --- logs ---


def lines(process: Process) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.log.read_text().splitlines()]


def test_one_id_follows_a_message_from_its_request_to_its_last_event(
    start_web: StartWeb, start_worker: Callable[..., Process], chat: Conversation, model_stub: ModelStub
) -> None:
    as_json = {"LOG_FORMAT": "json", "LOG_LEVEL": "debug", "MODEL_URL": model_stub.url}
    worker = start_worker(**as_json)
    server, web = start_web(**as_json)
    assert say(server, chat, "canary in a coal mine", **{"X-Request-ID": "from-the-router.1"}) == "from-the-router.1"
    (accepted,) = [line for line in lines(web) if line.get("what") == "accepted"]
    assert accepted["request"] == "from-the-router.1" and accepted["level"] == "info"
    wait_for(lambda: any(line.get("what") == "completed" for line in lines(worker)))
    told = [line["what"] for line in lines(worker) if line.get("turn") == accepted["turn"]]
    assert told == ["begun, attempt 1", "completed"]
    # Over a socket too; and what is no sound id is not taken over.
    assert re.fullmatch(r"[0-9a-f]{32}", say(server, chat, "Hi", **{"X-Request-ID": "no spaces, please"}))
    requests.get(f"{server}/refresh_token?token={chat.id}", timeout=10)
    assert "GET /refresh_token 200" in [line["message"] for line in lines(web)]
    for log in (web.log.read_text(), worker.log.read_text()):
        for secret in ("canary", "no spaces", chat.id):
            assert secret not in log


def test_a_turn_that_ends_by_its_third_strike_is_told_in_the_log(
    store: Store, chat: Conversation, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="chat")
    chat.accept("Hi", "m1")
    for _ in range(3):
        turn = Turn.begin(store, chat.id)
        assert turn
        turn.release(strike=True)
    assert Turn.begin(store, chat.id) is None
    told = [record.args for record in caplog.records if record.name == "chat.trace"]
    assert [of["what"] for of in told if isinstance(of, dict)] == [
        "accepted",
        *(what for n in (1, 2, 3) for what in (f"begun, attempt {n}", "given back")),
        "failed attempts_exhausted",
    ]
    assert len({of["turn"] for of in told if isinstance(of, dict)}) == 1


def test_an_error_of_ours_is_logged_on_one_line_without_the_conversations_id(
    start_web: StartWeb, store: Store, chat: Conversation, tmp_path: Path
) -> None:
    """In a thread beside that of the request, too; a request's own id stays, though it has the same form."""
    server, web = start_web(LOG_FORMAT="json")
    request = {"X-Request-ID": str(uuid4())}
    with connect(f"{server.replace('http', 'ws', 1)}/api/conversations/{chat.id}/socket") as ws:
        ws.recv(timeout=10)
        # A document that nobody can read: the script fails in a way that nobody foresaw.
        store.client.execute_command("JSON.SET", keys.conversation(chat.id)[0], "$", '"broken"')
        answer = requests.get(f"{server}/api/conversations/{chat.id}", headers=request, timeout=10)
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        ws.send(json.dumps({"type": "send", "id": "m1", "text": "Hi"}))
        wait_for(lambda: len([line for line in lines(web) if "traceback" in line]) == 2)
    told, beside = [line for line in lines(web) if "traceback" in line]
    assert told["request"] == answer.headers["X-Request-ID"] == request["X-Request-ID"]
    assert "accept" in beside["traceback"]
    assert chat.id[:8] in told["message"]
    assert chat.id not in web.log.read_text()
    web.log.write_text("")  # conftest looks for tracebacks, and this one was wanted


def test_what_ends_a_greenlet_is_logged_like_all_else() -> None:
    names = "import gevent, logs, logging.config; from chat.config import Config"
    told = f"{{}}['{uuid4()}']"
    code = f"{names}; logging.config.dictConfig(logs.settings(Config(log_format='json'))); logs.catch()"
    ended = subprocess.run(
        python("-c", f"{code}; gevent.spawn(lambda: {told}).join()"), cwd=ROOT, capture_output=True, text=True
    )
    (line,) = map(json.loads, ended.stderr.splitlines())
    assert line["level"] == "error" and "…" in line["traceback"].splitlines()[-1]


# --- which part is down ---


@contextmanager
def stopped(store_url: str) -> Iterator[None]:
    """A Redis that takes connections and answers nothing."""
    store = Store(Config(redis_url=store_url))
    pid = store.client.info("server")["process_id"]
    store.close()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_readyz_tells_which_part_is_down_within_a_second(
    start_web: StartWeb, start_worker: Callable[..., Process], model_stub: ModelStub, tmp_path: Path
) -> None:
    for name in ("store", "broker"):
        (tmp_path / name).mkdir()
    with valkey(tmp_path / "store") as store_url, valkey(tmp_path / "broker") as broker_url:
        settings = {
            "REDIS_URL": store_url,
            "BROKER_URL": broker_url.replace("unix://", "redis+socket://"),
            "MODEL_URL": model_stub.url,
        }
        server, web = start_web(**settings)
        fine = dict.fromkeys(("redis", "broker", "worker", "model"), "ok")

        def parts() -> dict[str, str]:
            begun = time.monotonic()
            answer = requests.get(f"{server}/readyz", timeout=10)
            assert time.monotonic() - begun < 3  # a second, on a machine that others use too
            found: dict[str, str] = answer.json()["parts"]
            assert (answer.status_code == 200) == (found == fine)
            assert answer.ok or answer.json()["code"] == "not_ready"
            return found

        wait_for(lambda: parts() == fine | {"worker": "silent"})
        start_worker(may_fail=True, **settings)
        wait_for(lambda: parts() == fine)
        model_stub.behave("down")
        wait_for(lambda: parts() == fine | {"model": "unreachable"})
        model_stub.behave("answer")
        with stopped(broker_url):
            wait_for(lambda: parts() == fine | {"broker": "timeout"})
        wait_for(lambda: parts() == fine)
        with stopped(store_url):
            for _ in range(4):
                wait_for(lambda: ((of := parts())["broker"], of["model"]) == ("ok", "ok"))
                assert parts()["redis"] in ("timeout", "store_unavailable")
            assert requests.get(f"{server}/healthz", timeout=5).ok
        wait_for(lambda: parts() == fine)
        # Asking leaves nothing behind that holds the process up.
        begun = time.monotonic()
        assert web.end() == 0 and time.monotonic() - begun < 12


def test_parts_that_are_not_there_are_told_from_those_that_hang(start_web: StartWeb, tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    settings = {
        "REDIS_URL": f"unix://{tmp_path}/nobody",
        "BROKER_URL": f"redis://{nobody}",
        "MODEL_URL": f"http://{nobody}",
    }
    server, _ = start_web(**settings)
    assert requests.get(f"{server}/readyz", timeout=10).json()["parts"] == {
        "redis": "store_unavailable",
        "broker": "unreachable",
        "worker": "store_unavailable",
        "model": "unreachable",
    }


# --- what is written about it ---


def test_docs_and_alarms_name_the_metrics_that_there_are(client: FlaskClient) -> None:
    told = client.get("/metrics", headers=TOKEN).text
    there = {name for name in re.findall(r"^# TYPE (\S+)", told, re.MULTILINE) if name.startswith("parley_")}
    there -= {name for name in there if name.endswith("_created")}  # there within one process alone
    docs, alarms = (ROOT / "docs/operations.md").read_text(), (ROOT / "deploy/alerts.yml").read_text()
    for text in (docs, alarms):
        assert {name.removesuffix("_bucket") for name in re.findall(r"\bparley_\w+", text)} <= there
    assert not {name for name in there if name not in docs}
    for alarm in re.findall(r"alert: (\w+)", alarms):
        assert f"`{alarm}`" in docs
