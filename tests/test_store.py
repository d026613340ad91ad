"""The ways to Redis: which addresses work, and what is said when one does not."""

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from services import PATIENCE_S, Process, free_port, valkey, valkey_binary, wait_for

from chat import keys
from chat.config import Config
from chat.conversation import Conversation
from chat.errors import ConfigError, SchemaTooNew, StoreUnavailable, StoreUnsuitable
from chat.store import Store, check
from chat.turns import Turn


def answers(config: Config) -> bool:
    """Whether a whole turn works there."""
    store = Store(config)
    chat = Conversation.create(store)
    chat.accept("Hi")
    turn = Turn.begin(store, chat.id)
    assert turn
    turn.finish("completed", "Hello")
    found = chat.snapshot()["messages"][-1]["text"] == "Hello"
    chat.delete()
    store.close()
    return bool(found)


def test_a_store_without_json_commands_is_named_as_unsuitable(tmp_path: Path) -> None:
    path = tmp_path / "plain.sock"
    process = Process([str(valkey_binary()), "--port", "0", "--unixsocket", str(path), "--save", ""], tmp_path / "log")
    try:
        wait_for(path.exists)
        with pytest.raises(StoreUnsuitable):
            check(Store(Config(redis_url=f"unix://{path}")))
    finally:
        process.end()


def test_a_store_that_is_away_is_said_to_be_so_soon() -> None:
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable):
        check(Store(Config(redis_url=f"redis://:secret@127.0.0.1:{free_port()}")))
    assert time.monotonic() - begun < 5


@pytest.mark.slow
def test_a_silent_store_is_given_up_after_its_time_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable):
            check(Store(Config(redis_url=f"redis://127.0.0.1:{silent.getsockname()[1]}")))
        assert time.monotonic() - begun < 10


def test_a_process_takes_few_connections_where_it_is_told_to(config: Config, store: Store) -> None:
    """Small plans of Redis have thirty for all, and a pool gives none back."""
    before = store.client.info("clients")["connected_clients"]
    narrow = Store(replace(config, redis_connections=8))
    with ThreadPoolExecutor(60) as asking:
        answers = list(asking.map(lambda n: narrow.execute("BLPOP", f"nothing-{n}", "0.05"), range(60)))
    assert answers == [None] * 60
    assert store.client.info("clients")["connected_clients"] - before < 10
    narrow.close()


def test_a_restart_of_the_store_does_not_cost_a_patient_worker_its_turn(tmp_path: Path) -> None:
    """Append-only, as `make run` has it: what was written is there again, under a new epoch."""
    keep = ("--appendonly", "yes", "--appendfsync", "always")
    with valkey(tmp_path, *keep) as url:
        store = Store(Config(redis_url=url), patience_s=20)
        chat = Conversation.create(store)
        chat.accept("Hi")
        turn = Turn.begin(store, chat.id)
        assert turn and turn.emit("before")
        old = chat.snapshot()["position"]
    finished = threading.Thread(target=turn.finish, args=("completed", " and after"))
    finished.start()
    with valkey(tmp_path, *keep):
        finished.join(PATIENCE_S)
        snapshot = chat.snapshot()
        assert snapshot["messages"][-1]["text"] == "before and after"
        assert snapshot["position"].split("-")[0] != old.split("-")[0]
        store.close()


def test_a_full_or_read_only_store_changes_nothing_and_can_be_read(tmp_path: Path) -> None:
    with valkey(tmp_path) as url:
        store = Store(Config(redis_url=url), patience_s=0)
        chat = Conversation.create(store)
        before, keys = chat.snapshot(), _contents(store)
        for switch, off in ((("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
                            (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"))):  # fmt: skip
            store.client.execute_command(*switch)
            with pytest.raises(StoreUnavailable):
                chat.accept("Hi")
            assert _contents(store) == keys
            if switch[0] == "CONFIG":
                assert chat.snapshot() == before
            store.client.execute_command(*off)
        chat.accept("Hi")
        store.close()


def _contents(store: Store) -> dict[str, object]:
    """Every key with its value and whether it expires."""
    return {key: (store.client.dump(key), store.client.ttl(key) > 0) for key in store.client.keys("*")}


@pytest.mark.parametrize("code", ["NOREPLICAS", "READONLY"])
def test_a_pipeline_tells_what_passes_from_what_is_broken(store: Store, code: str) -> None:
    chats = [Conversation.create(store) for _ in range(2)]
    looks = [("look", keys.conversation(chat.id), ("*",)) for chat in chats]
    store.client.hset(f"{keys.conversation(chats[0].id)[0]}:run", "schema", "none")
    broken, fine = store.run_all(looks)
    assert broken == [] and fine[0] == "ok"
    switch = {"NOREPLICAS": ("CONFIG", "SET", "min-replicas-to-write"), "READONLY": ("REPLICAOF", "127.0.0.1")}[code]
    store.client.execute_command(*switch, "1")
    try:
        with pytest.raises(StoreUnavailable):
            store.run_all([("accept", keys.conversation(chats[1].id), ("", "m1", "Hi", 16))])
        with pytest.raises(StoreUnavailable):
            chats[1].accept("Hi")
    finally:
        back = {"NOREPLICAS": (*switch, "0"), "READONLY": ("REPLICAOF", "NO", "ONE")}[code]
        store.client.execute_command(*back)


def test_a_redis_user_that_may_not_do_what_is_needed_is_told_so(store: Store, redis_url: str) -> None:
    store.client.execute_command("ACL", "SETUSER", "limited", "on", "nopass", "~*", "&*", "+@all", "-spublish")
    try:
        with pytest.raises(StoreUnsuitable, match="spublish"):
            check(Store(Config(redis_url=f"{redis_url}?username=limited&password=x")))
        store.client.execute_command("ACL", "SETUSER", "limited", "+spublish", "-info")
        assert answers(Config(redis_url=f"{redis_url}?username=limited&password=x"))
    finally:
        store.client.execute_command("ACL", "DELUSER", "limited")


@pytest.mark.parametrize("address", ["http://host", "redis+sentinel://host:1", "redis://host:port"])
def test_an_address_that_cannot_be_used_is_a_wrong_setting(address: str) -> None:
    with pytest.raises(ConfigError, match="REDIS_URL"):
        Store(Config(redis_url=address))


def test_a_conversation_of_a_newer_schema_is_refused(store: Store) -> None:
    chat = Conversation.create(store)
    run = next(iter(store.client.keys("*:run")))
    store.client.hset(run, "schema", 2)
    with pytest.raises(SchemaTooNew) as refused:
        chat.snapshot()
    assert "newer version" in refused.value.detail and "\n" not in refused.value.detail


@pytest.fixture
def tls(redis_url: str, tmp_path: Path) -> Iterator[int]:
    """The port of a TLS end in front of the store, with a certificate that it signed itself."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_terminate, args=(listener, context, redis_url), daemon=True).start()
        yield listener.getsockname()[1]


def _terminate(listener: socket.socket, context: ssl.SSLContext, redis_url: str) -> None:
    while True:
        try:
            outer = context.wrap_socket(listener.accept()[0], server_side=True)
        except ssl.SSLError:
            continue
        except OSError:
            return
        inner = socket.socket(socket.AF_UNIX)
        inner.connect(redis_url.removeprefix("unix://"))
        for source, sink in ((outer, inner), (inner, outer)):
            threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    finally:
        source.close()
        sink.close()


def test_certificates_are_verified_unless_told_otherwise(tls: int, tmp_path: Path) -> None:
    url = f"rediss://127.0.0.1:{tls}"
    with pytest.raises(StoreUnavailable):
        check(Store(Config(redis_url=url)))
    assert answers(Config(redis_url=f"{url}?ssl_ca_certs={tmp_path / 'certificate.pem'}"))
    assert answers(Config(redis_url=url, redis_tls_verify=False))


def test_sentinel_leads_to_the_primary(tmp_path: Path) -> None:
    ports = {"store": free_port(), "sentinel": free_port()}
    with valkey(tmp_path, "--port", str(ports["store"])):
        conf = tmp_path / "sentinel.conf"
        conf.write_text(f"port {ports['sentinel']}\nsentinel monitor main 127.0.0.1 {ports['store']} 1\n")
        sentinel = Process([str(valkey_binary()), str(conf), "--sentinel"], tmp_path / "sentinel.log")
        hosts = f"127.0.0.1:{free_port()},127.0.0.1:{ports['sentinel']}"  # nobody listens at the first one
        try:
            wait_for(lambda: _listens(ports["sentinel"]))
            assert answers(Config(redis_url=f"redis+sentinel://{hosts}/main/0"))
            with pytest.raises(StoreUnavailable):
                check(Store(Config(redis_url=f"redis+sentinel://{hosts}/other")))
        finally:
            sentinel.end()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
