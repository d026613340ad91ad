"""The socket below WebSockets and streams, on real TCP connections."""

import socket
from collections.abc import Iterator
from threading import Thread

import pytest
from services import wait_for

import app.wire
from app import BODY_MAX_BYTES
from app.wire import INBOX_MAX, SteadySocket, bound


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A server's socket and its client's, with small buffers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client = socket.create_connection(listening.getsockname())
        server, _ = listening.accept()
    with server, client:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        yield server, client


def received(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def test_frames_of_two_senders_stay_whole_though_the_client_is_slow(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    server, client = pair
    steady = SteadySocket(server)
    frame = 100_000
    senders = [Thread(target=lambda b=byte: [steady.send(b * frame) for _ in range(5)]) for byte in (b"a", b"b")]
    for sender in senders:
        sender.start()
    seen = b""
    while len(seen) < 10 * frame:
        seen += client.recv(1000)
    for sender in senders:
        sender.join()
    frames = [seen[i : i + frame] for i in range(0, len(seen), frame)]
    assert len(frames) == 10 and all(len(set(one)) == 1 for one in frames)


def test_nothing_is_read_while_the_inbox_is_full(pair: tuple[socket.socket, socket.socket]) -> None:
    server, client = pair
    steady, read = SteadySocket(server), list[bytes]()
    inbox = [b""] * (INBOX_MAX + 1)
    steady.inbox = inbox
    client.sendall(b"Hi")
    reader = Thread(target=lambda: read.append(steady.recv(10)))
    reader.start()
    reader.join(0.2)
    assert read == []
    inbox.pop()
    reader.join(5)
    assert read == [b"Hi"]


def test_an_inbox_holds_little() -> None:
    assert (INBOX_MAX + 1) * BODY_MAX_BYTES < 500_000


def test_a_handler_that_has_ended_leaves_no_reader_behind(pair: tuple[socket.socket, socket.socket]) -> None:
    steady = SteadySocket(pair[0])
    steady.inbox = [b""] * (INBOX_MAX + 1)
    reader = Thread(target=steady.recv, args=(10,))
    reader.start()
    steady.ended = True
    reader.join(5)
    assert not reader.is_alive()


def test_what_was_sent_last_arrives_though_the_client_was_still_sending(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    server, client = pair
    steady = SteadySocket(server)
    client.sendall(b"x" * 1000)
    steady.send(b"the last frame")
    closing = Thread(target=lambda: (steady.close(), server.close()))
    closing.start()
    assert received(client) == b"the last frame"
    client.close()
    closing.join(5)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the kernel cannot do this")
def test_a_client_that_takes_nothing_any_more_is_given_up(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.wire, "UNREAD_MAX_MS", 500)
    server, _ = pair
    bound(server)
    gone: list[OSError] = []

    def send() -> None:
        try:
            server.sendall(b"x" * 10_000_000)
        except OSError as error:
            gone.append(error)

    sender = Thread(target=send)
    sender.start()
    assert wait_for(lambda: gone, within_s=15)
    sender.join()
