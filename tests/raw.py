"""Connections on which a test sends any byte it likes, and reads when it likes."""

import socket
import struct
from contextlib import suppress
from urllib.parse import urlsplit

from chat.conversation import Conversation

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
FIN = 0x80


class Raw:
    """A connection on which any byte can be sent. While nothing is read, the kernel takes in no more than a little."""

    def __init__(self, server: str) -> None:
        url = urlsplit(server)
        self.sock = socket.socket()
        self.sock.settimeout(20)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        self.sock.connect((url.hostname, url.port))
        self.got = b""

    def send(self, data: bytes) -> None:
        # If it hung up, that is an answer too; what it said is still to be read.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.sock.sendall(data)

    def read(self, count: int) -> bytes:
        while len(self.got) < count:
            more = self.sock.recv(65536)
            if not more:
                raise EOFError(self.got)
            self.got += more
        data, self.got = self.got[:count], self.got[count:]
        return data

    def rest(self) -> bytes:
        """All that comes until the other end hangs up."""
        try:
            while more := self.sock.recv(65536):
                self.got += more
        except ConnectionResetError:
            pass
        return self.got

    def close(self) -> None:
        self.sock.close()


class RawSocket(Raw):
    """A WebSocket after its handshake."""

    def __init__(self, server: str, chat: Conversation, **headers: str) -> None:
        super().__init__(server)
        after = chat.snapshot()["position"]
        asked = {"Host": "x", "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                 "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", **headers}  # fmt: skip
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in asked.items())
        self.send(f"GET /api/conversations/{chat.id}/socket?after={after} HTTP/1.1\r\n{lines}\r\n".encode())
        self.head = b""
        while not self.head.endswith(b"\r\n\r\n"):
            self.head += self.read(1)
        assert self.head.startswith(b"HTTP/1.1 101")

    def frame(self) -> tuple[int, bytes]:
        """The next frame: its opcode and its content."""
        first, length = self.read(2)
        assert first & FIN and length < 128  # a server sends no mask, and this one no fragments
        if length >= 126:
            length = int.from_bytes(self.read(2 if length == 126 else 8))
        return first & 0x0F, self.read(length)

    def code(self) -> int:
        """The code with which it closes."""
        while True:
            opcode, content = self.frame()
            if opcode == CLOSE:
                return int.from_bytes(content[:2])


def frame(
    opcode: int, content: bytes = b"", first: int = FIN, length: bytes | None = None, masked: bool = True
) -> bytes:
    """A frame as RFC 6455 has it, unless told otherwise. The mask of zeros leaves the content as it is."""
    if length is None:
        size = len(content)
        short = bytes([size]) if size < 126 else b"\x7e" + struct.pack(">H", min(size, 65535))
        length = short if size < 65536 else b"\x7f" + struct.pack(">Q", size)
    head = bytes([first | opcode, length[0] | (0x80 if masked else 0)]) + length[1:]
    return head + (bytes(4) if masked else b"") + content
