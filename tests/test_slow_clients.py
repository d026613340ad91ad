"""Clients that do not read, that are dead, or that are sent elsewhere: nobody else notices, and nothing is kept."""

import json
import re
import signal
import socket
import statistics
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from raw import PING, PONG, Raw, RawSocket, frame
from services import PATIENCE_S, Process, memory_mb, wait_for
from transports import TRANSPORTS, Json, Sse, Stream
from websockets.exceptions import InvalidHandshake

from chat.conversation import Conversation
from chat.events import Position
from chat.store import Store
from chat.turns import Turn

STALLED = 50
PIECE = "x" * 1000
# Several times what the kernel keeps for a client that does not read.
PIECES = 2000
MOVED = 250

StartWeb = Callable[..., tuple[str, Process]]
pytestmark = pytest.mark.slow


def begin(store: Store) -> tuple[Conversation, Turn]:
    chat = Conversation.create(store, "Ada")
    chat.accept("Hi")
    turn = Turn.begin(store, chat.id)
    assert turn
    return chat, turn


def sse(server: str, chat: Conversation) -> Raw:
    """An event stream of which nothing is read yet, in bytes as they come: no chunks in HTTP/1.0."""
    raw = Raw(server)
    after = chat.snapshot()["position"]
    raw.send(f"GET /api/conversations/{chat.id}/events?after={after} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
    return raw


def delays_ms(turn: Turn, *readers: Iterator[Json]) -> list[list[float]]:
    """How long a piece takes from the worker to each of two clients: by turns, as other load comes and goes."""
    found: list[list[float]] = [[], []]
    for n in range(200):
        begun = time.monotonic()
        turn.emit("y")
        assert next(readers[n % 2])["data"]["text"] == "y"
        found[n % 2].append((time.monotonic() - begun) * 1000)
        next(readers[1 - n % 2])
        time.sleep(0.005)
    return found


def unsent_mb(server: str) -> float:
    """What the kernel keeps for the clients of a server: /proc/net/tcp, column tx_queue."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    port = f"{urlsplit(server).port:04X}"
    return sum(int(columns[4].split(":")[0], 16) for columns in lines if columns[1].endswith(f":{port}")) / 2**20


def numbers_of_lines(raw: Raw, last: int) -> list[int]:
    """The numbers of the events of a stream, up to this one."""
    while not raw.got.endswith(b"\n\n") or b"-%d\n" % last not in raw.got[-2000:]:
        raw.got += raw.sock.recv(1 << 20)
    return [int(number) for number in re.findall(rb"^id: \w+-(\d+)$", raw.got, re.MULTILINE)]


def numbers_of_frames(ws: RawSocket, last: int) -> list[int]:
    """The same of a WebSocket, in which a single lost byte would break all that follows."""
    numbers = [0]
    while numbers[-1] < last:
        opcode, content = ws.frame()
        if opcode == PING:
            ws.send(frame(PONG, content))
        else:
            numbers.append(int(json.loads(content)["id"].split("-")[1]))
    return numbers[1:]


def test_stalled_clients_cost_no_memory_and_hold_nobody_up(start_web: StartWeb, store: Store) -> None:
    """And when they read again, they get all of it."""
    (server, process), (elsewhere, _) = start_web(), start_web()
    (loud, writer), (quiet, other) = begin(store), begin(store)
    with ExitStack() as stack:
        stalled = [(sse(server, loud), RawSocket(server, loud)) for _ in range(STALLED // 2)]
        watching = [Sse(where, quiet.id, after=quiet.snapshot()["position"]) for where in (server, elsewhere)]
        closable: list[Raw | Sse] = [*chain(*stalled), *watching]
        for client in closable:
            stack.callback(client.close)
        among_stalled, alone = (iter(stream) for stream in watching)
        first = Position.parse(loud.snapshot()["position"]).n + 1
        memory, held = [], []
        for _ in range(4):
            for _ in range(PIECES // 4):
                writer.emit(PIECE)
            other.emit("z")
            assert next(among_stalled)["data"]["text"] == next(alone)["data"]["text"] == "z"
            memory.append(memory_mb(process))
            held.append(unsent_mb(server))
        assert memory[3] < memory[2] + 10 and memory[3] < memory[0] + 60, memory
        assert max(held) < 10, held

        delays = delays_ms(other, among_stalled, alone)
        among_ms, alone_ms = (statistics.median(found) for found in delays)
        print(f"{among_ms:.1f} ms, elsewhere {alone_ms:.1f} ms; memory {memory} MB, unsent {held} MB")
        # A machine that does other things too stops each of them now and then.
        assert among_ms < 2 * alone_ms + 100

        stream, ws = stalled[0]
        last = first + PIECES - 1
        assert numbers_of_lines(stream, last) == numbers_of_frames(ws, last) == list(range(first, last + 1))


def test_dead_clients_are_found_and_leave_nothing(start_web: StartWeb, store: Store) -> None:
    """Some are killed, some hang up, and some are silent: their machine has lost its power."""
    server, process = start_web("tests.quick_pings:app")
    (worker,) = psutil.Process(process.pid).children()
    chats = [Conversation.create(store) for _ in range(20)]
    warm = Conversation.create(store)
    with closing(Sse(server, warm.id, after=None)) as stream:
        assert next(iter(stream))["type"] == "reset"
        warm.delete()
        wait_for(lambda: watched(store) == 0)
    before = open_files(worker)
    streams = [sse(server, chat) for chat in chats]
    killed, left, silent = ([RawSocket(server, chat) for chat in chats] for _ in range(3))
    wait_for(lambda: watched(store) == 20)
    for raw in (*streams, *killed):
        # Closed in this way the connection is reset, as by the system when a process is killed.
        raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    for raw in (*streams, *killed, *left):
        raw.close()
    wait_for(lambda: open_files(worker) <= before and watched(store) == 0, 60, 0.2)
    for ws in silent:
        assert ws.code() == 1008  # it would have been told
        ws.close()


def open_files(worker: psutil.Process) -> int:
    """How many files a web process has open, but for its connections to Redis, which it keeps."""
    return worker.num_fds() - len(worker.net_connections("unix"))


def watched(store: Store) -> int:
    """How many conversations the hub listens to."""
    client: Any = store.client
    return len(client.execute_command("PUBSUB", "SHARDCHANNELS"))


class Balancer:
    """Passes connections on to the first of its servers that takes them, as a proxy in front of two processes does."""

    def __init__(self, *addresses: str) -> None:
        self.ports = [urlsplit(address).port for address in addresses]
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for sock in self._open:
            sock.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                for port in self.ports:
                    with suppress(ConnectionRefusedError):
                        server = socket.create_connection(("127.0.0.1", port))
                        self._open.append(server)
                        for pair in ((client, server), (server, client)):
                            threading.Thread(target=self._pass, args=pair, daemon=True).start()
                        break

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        # However one end has gone, the other one is told.
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


class Watcher(threading.Thread):
    """Follows a turn to its end, and comes back with its position wherever its stream ends."""

    def __init__(self, server: str, chat: Conversation, transport: Callable[..., Stream]) -> None:
        super().__init__(daemon=True)
        self.seen: list[Json] = []
        self.gaps_s: list[float] = []
        self._begin = f"{Position.parse(chat.snapshot()['position']).epoch}-0"
        self._follow: Callable[[str], Stream] = lambda position: transport(server, chat.id, position)

    def _open(self) -> Stream:
        return self._follow(self.seen[-1]["id"] if self.seen else self._begin)

    def numbers(self) -> list[int]:
        return [int(event["id"].split("-")[1]) for event in self.seen]

    def run(self) -> None:
        last = time.monotonic()
        while not (self.seen and self.seen[-1]["type"] == "completed"):
            with suppress(requests.RequestException, InvalidHandshake, OSError), closing(self._open()) as stream:
                for event in stream:
                    self.seen.append(event)
                    self.gaps_s.append(time.monotonic() - last)
                    last = time.monotonic()
                    if event["type"] == "completed":
                        break


def test_a_deploy_sends_clients_elsewhere_without_a_gap(start_web: StartWeb, store: Store) -> None:
    (one, old), (two, _) = start_web(), start_web()
    chat, turn = begin(store)
    with closing(Balancer(one, two)) as balancer:
        watchers = [Watcher(balancer.address, chat, transport) for transport in TRANSPORTS.values() for _ in range(4)]
        for watcher in watchers:
            watcher.start()
        for n in range(MOVED):
            if n == MOVED // 5:
                old.popen.send_signal(signal.SIGTERM)
            turn.emit(f"{n} ")
            time.sleep(0.01)
        assert old.popen.wait(60) == 0
        for watcher in watchers:
            wait_for(lambda: watcher.numbers()[-1] == MOVED + 2)  # noqa: B023 -- called before the loop goes on
        turn.finish("completed")
        for watcher in watchers:
            watcher.join(PATIENCE_S)
            assert watcher.numbers() == list(range(1, MOVED + 4))
        longest_s = max(max(watcher.gaps_s) for watcher in watchers)
        print(f"the longest silence: {longest_s:.2f} s")
        assert longest_s < 6
