"""The web process of the floor: a POST becomes a job in Redis, what is published becomes events. Nothing is checked."""

import asyncio
import os
import re
from collections import defaultdict
from typing import Any

import uvloop
from link import Link

LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\r\n:\n\n"
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}"

watchers: dict[bytes, set["Client"]] = defaultdict(set)


class Client(asyncio.Protocol):
    transport: asyncio.Transport
    watched = b""

    def __init__(self, hub: Link, jobs: Link) -> None:
        self.hub, self.jobs, self.heard = hub, jobs, b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard += data
        while (end := self.heard.find(b"\r\n\r\n")) >= 0:
            head, length = self.heard[:end], LENGTH.search(self.heard, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self.heard) < whole:
                return
            body, self.heard = self.heard[end + 4 : whole], self.heard[whole:]
            self.serve(head, body)

    def serve(self, head: bytes, body: bytes) -> None:
        method, path, _ = head.split(b" ", 2)
        if method == b"POST":
            self.jobs.send("RPUSH", "jobs", path + b"\n" + body)
            self.transport.write(ACCEPTED)
        else:
            self.watched = path
            watchers[path].add(self)
            self.hub.send("SUBSCRIBE", path)

    def connection_lost(self, error: Exception | None) -> None:
        if self.watched:
            watchers[self.watched].discard(self)
            self.hub.send("UNSUBSCRIBE", self.watched)


def hand_out(answer: Any) -> None:
    kind, path, event = answer
    for client in watchers.get(path, ()) if kind != b"unsubscribe" else ():
        client.transport.write(event if kind == b"message" else STREAM)


async def main() -> None:
    hub = await Link.open(os.environ["REDIS_URL"], hand_out)
    jobs = await Link.open(os.environ["REDIS_URL"], lambda answer: None)
    server = await asyncio.get_running_loop().create_server(
        lambda: Client(hub, jobs), "127.0.0.1", int(os.environ["PORT"]), backlog=4096
    )
    await server.serve_forever()


uvloop.run(main())
