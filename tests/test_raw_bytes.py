"""Bytes that no library would send: frames against RFC 6455, requests against RFC 9112. The server answers with a code
and goes on, what it answers shows nothing of its inside, and nothing is kept of it. (No log may hold a traceback.)"""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
import requests
from conftest import web
from raw import CLOSE, FIN, PING, PONG, TEXT, Raw, RawSocket, frame
from services import Process, memory_mb

from chat.conversation import Conversation
from chat.store import Store

COMPRESSED = 0x40
PROTOCOL, NO_UTF8, TOO_LARGE = 1002, 1007, 1009


@pytest.fixture
def chat(store: Store) -> Conversation:
    return Conversation.create(store, "Ada")


START, MORE = frame(TEXT, b'{"type": ', first=0), frame(0, b'"send', first=0)
FRAMES = {
    "an opcode that is reserved": (frame(3, b"x"), PROTOCOL),
    "a control opcode that is reserved": (frame(11, b"x"), PROTOCOL),
    "no mask": (frame(TEXT, b"{}", masked=False), PROTOCOL),
    "compressed, which was not agreed on": (frame(TEXT, b"\xaaVJLN*\x02\x00", first=FIN | COMPRESSED), PROTOCOL),
    "reserved bits": (frame(TEXT, b"{}", first=FIN | 0x30), PROTOCOL),
    "a ping that is too long": (frame(PING, b"x" * 126), PROTOCOL),
    "a ping in pieces": (frame(PING, b"x", first=0), PROTOCOL),
    "a length of 64 bits for five bytes": (frame(TEXT, b"Hello", length=b"\x7f" + struct.pack(">Q", 5)), PROTOCOL),
    "a length below zero": (frame(TEXT, b"Hello", length=b"\x7f" + b"\xff" * 8), PROTOCOL),
    "a piece of nothing": (frame(0, b"x"), PROTOCOL),
    "a message within a message": (START + frame(TEXT, b"{}"), PROTOCOL),
    "half a close": (frame(CLOSE, b"\x03"), PROTOCOL),
    "a close with a code that no peer may send": (frame(CLOSE, struct.pack(">H", 1005)), PROTOCOL),
    "a close whose reason is no text": (frame(CLOSE, struct.pack(">H", 1000) + b"\xff"), NO_UTF8),
    "no UTF-8": (frame(TEXT, b'{"type": "\xc0\xaf"}'), NO_UTF8),
    "half a character at the end": (frame(TEXT, b'"\xf0\x9f'), NO_UTF8),
    "a surrogate": (frame(TEXT, b'"\xed\xa0\x80"'), NO_UTF8),
    "larger than any message, in one": (frame(TEXT, b"x" * 70_000), TOO_LARGE),
    "larger than any message, in pieces": (START + frame(0, b"x" * 10_000, first=0) * 8, TOO_LARGE),
    "a petabyte, as it says": (frame(TEXT, b"x" * 100_000, length=b"\x7f" + struct.pack(">Q", 2**50)), TOO_LARGE),
}


@pytest.mark.parametrize("what", FRAMES)
def test_a_broken_frame_closes_the_socket_with_its_code(server: str, chat: Conversation, what: str) -> None:
    data, code = FRAMES[what]
    ws = RawSocket(server, chat)
    ws.send(data)
    assert ws.code() == code
    ws.close()


def test_a_ping_is_answered_also_in_the_middle_of_a_message(server: str, chat: Conversation) -> None:
    ws = RawSocket(server, chat)
    ws.send(START + frame(PING, b"there?") + frame(0, b'"stop", "message_id": "m1"}'))
    assert ws.frame() == (PONG, b"there?")
    opcode, content = ws.frame()
    assert opcode == TEXT and b"message_unknown" in content
    ws.close()


def test_compression_is_not_agreed_on(server: str, chat: Conversation) -> None:
    """So no frame of a kilobyte unfolds into a gigabyte."""
    ws = RawSocket(server, chat, Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits")
    assert b"extensions" not in ws.head.lower()
    ws.close()


FLOODS = {
    "pieces without an end": (START, frame(0, b"", first=0)),
    "pings": (b"", frame(PING, b"x" * 125)),
    "frames that are refused": (b"", frame(TEXT, b"x" * 50)),
    "pongs that nobody asked for": (b"", frame(PONG, b"x" * 125)),
}


@pytest.mark.parametrize("what", FLOODS)
def test_a_flood_whose_answers_nobody_reads_costs_no_memory(own_web: Process, chat: Conversation, what: str) -> None:
    begin, flood = FLOODS[what]
    ws = RawSocket(own_web.address, chat)
    before = memory_mb(own_web)
    ws.sock.settimeout(1)
    ws.send(begin)
    try:
        for _ in range(100):
            ws.sock.sendall(flood * 1000)
    except (TimeoutError, BrokenPipeError, ConnectionResetError):
        pass  # it takes no more, or has had enough
    assert memory_mb(own_web) < before + 30
    assert requests.get(f"{own_web.address}/healthz", timeout=20).ok
    ws.close()


# --- HTTP ---

BODY = b'{"text": "Hi"}'
NEXT = b"GET /api/config HTTP/1.1\r\nHost: x\r\n\r\n"


def post(*headers: bytes, body: bytes = BODY) -> bytes:
    lines = [b"POST /api/conversations HTTP/1.1", b"Host: x", b"Content-Type: application/json", *headers, b"", b""]
    return b"\r\n".join(lines) + body


CHUNKED = b"Transfer-Encoding: chunked"
REQUESTS = {
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n",
    "no version": b"GET /healthz\r\n\r\n",
    "a version to come": b"GET /healthz HTTP/4.2\r\nHost: x\r\n\r\n",
    "a method that is none": b"G\xc3\x89T /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "a header without a colon": b"GET /healthz HTTP/1.1\r\nHost x\r\n\r\n",
    "a space before the colon": b"GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n",
    "a header on two lines": b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "a zero byte in a header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n",
    "a bare line feed in a header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n",
    "a line too long": b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a header too long": b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 10_000 + b"\r\n\r\n",
    "too many headers": b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    "two lengths": post(b"Content-Length: 14", b"Content-Length: 0"),
    "two lengths that agree": post(b"Content-Length: 14", b"Content-Length: 14"),
    "a list of lengths": post(b"Content-Length: 14, 14"),
    "a length below zero": post(b"Content-Length: -1"),
    "a length with a sign": post(b"Content-Length: +14"),
    "a length in hex": post(b"Content-Length: 0xe"),
    "a length and chunks": post(b"Content-Length: 4", CHUNKED, body=b"e\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "chunks twice": post(CHUNKED, CHUNKED, body=b"0\r\n\r\n"),
    "chunks that are not the last coding": post(b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"),
    "a coding that nobody knows": post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "chunks in HTTP/1.0": post(CHUNKED, body=b"0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a chunk's size that is none": post(CHUNKED, body=b"xyz\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk's size below zero": post(CHUNKED, body=b"-e\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk that is longer than it says": post(CHUNKED, body=b"2\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk of a petabyte": post(CHUNKED, body=b"4000000000000\r\n" + BODY * 10_000),
    "a chunk's size without an end": post(CHUNKED, body=b"0" * 100_000),
}


@pytest.mark.parametrize("what", REQUESTS)
def test_a_broken_request_is_refused_and_no_second_one_is_found_in_it(server: str, store: Store, what: str) -> None:
    raw = Raw(server)
    raw.send(REQUESTS[what] + NEXT)
    with suppress(OSError):  # it may have hung up already
        raw.sock.shutdown(socket.SHUT_WR)
    answers = raw.rest().split(b"HTTP/1.1 ")[1:]
    # 501: a coding that the server does not know (RFC 9112, section 6.1).
    assert len(answers) <= 1 and all(answer.startswith((b"4", b"501")) for answer in answers), answers
    assert not any(word in raw.got for word in (b"Traceback", b".py", b"/app/", b"gunicorn/"))
    assert not store.client.keys("*")
    raw.close()


ODD = [
    "",
    "x" * 5000,
    "\xff\xfe",
    "a\tb",
    "%00%0d%0a",
    "*/*;q=nan",
    "text/event-stream;q=9e999",
    "bytes=0-",
    "::1",
    "[",
    "ftp://[",
]
NAMES = [
    "Accept", "Accept-Encoding", "Content-Type", "Cookie", "Forwarded", "Host", "If-Modified-Since", "Last-Event-ID",
    "Origin", "Range", "Referer", "Sec-Fetch-Site", "X-Forwarded-For", "X-Request-ID",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_an_odd_header_is_no_fault_of_the_server(server: str, chat: Conversation, name: str) -> None:
    with requests.Session() as session:
        for odd in ODD:
            headers: dict[str, str | bytes | None] = {"Accept": "application/json", name: odd.encode("latin-1")}
            for path in ("/api/config", f"/api/conversations/{chat.id}/events?wait=0", "/docs", "/test"):
                with session.get(f"{server}{path}", headers=headers, timeout=20, stream=True) as answer:
                    assert answer.status_code < 500, (path, odd)
            with session.post(f"{server}/api/conversations", headers=headers, data=b"{}", timeout=20) as answer:
                assert answer.status_code < 500, odd


@pytest.mark.slow
def test_half_open_connections_hold_nobody_up(own_web: Process) -> None:
    """500 that send a request's head a byte at a time, and 100 a body."""
    with ExitStack() as stack:
        slow = [Raw(own_web.address) for _ in range(600)]
        for n, raw in enumerate(slow):
            stack.callback(raw.close)
            raw.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: " if n < 500 else post(b"Content-Length: 99"))
        for _ in range(10):
            for raw in slow:
                raw.send(b"x")
            begun = time.monotonic()
            assert requests.get(f"{own_web.address}/healthz", timeout=20).ok
            assert time.monotonic() - begun < 5


@pytest.fixture(scope="module")
def own_web(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    process = web(redis_url, tmp_path_factory.mktemp("raw") / "web.log")
    yield process
    process.end()
    assert "Traceback" not in process.log.read_text(), process.log.read_text()
