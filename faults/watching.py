"""Clients that watch a conversation, over every transport."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, repeat
from random import Random
from typing import TYPE_CHECKING, Any

import requests
from websockets.exceptions import ConnectionClosed, WebSocketException

from faults.story import Entry, Json, Log

if TYPE_CHECKING:
    from faults.clients import Conversation

LOST = (requests.RequestException, WebSocketException, OSError, EOFError)
AS_STREAM = {"Accept": "text/event-stream"}


class Gone(Exception):
    """The server says that there is no such conversation."""


@dataclass
class Watcher:
    """Watches over changing transports, from its position; some are slow, some leave for good."""

    conversation: "Conversation"
    log: Log
    rng: Random
    leaves_at: float = float("inf")
    transports: tuple[str, ...] = ("sse", "socket", "poll")

    def run(self) -> None:
        while time.monotonic() < self.leaves_at:
            switch_at = time.monotonic() + self.rng.uniform(5, 40)
            try:
                for entry in getattr(self, f"_{self.rng.choice(self.transports)}")():
                    if entry.kind == "gone":
                        raise Gone
                    self.conversation.note(self.log, entry)
                    time.sleep(self.log.slow_s)
                    if time.monotonic() > min(switch_at, self.leaves_at):
                        break
                self._write("left")
            except Gone:
                return self._write("gone")
            except LOST as error:
                self._write("lost", why=type(error).__name__)
            except ValueError as error:
                self.conversation.complain(f"{self.log.name} got no JSON: {error}")
            if time.monotonic() < switch_at:
                time.sleep(self.rng.uniform(0.2, 1.0))
        self.log.left = True

    def _write(self, kind: str, **data: Any) -> None:
        self.log.entries.append(Entry(time.monotonic(), kind, "", data))

    def _events(self, **how: Any) -> Any:
        answer = self.conversation.ask("GET", "/events", **how)
        answer.raise_for_status()
        self._write("connected")
        return answer

    def _sse(self) -> Iterator[Entry]:
        # Without a position the first event is a reset.
        position = {"Last-Event-ID": self.log.position} if self.log.position else {}
        yield from server_sent(self._events(headers=AS_STREAM | position, stream=True))
        raise EOFError

    def _socket(self) -> Iterator[Entry]:
        try:
            with self.conversation.socket(self.log.position) as socket:
                self._write("connected")
                while True:
                    yield framed(json.loads(socket.recv()))
        except ConnectionClosed as closed:
            if closed.rcvd and closed.rcvd.code == 1008:
                raise Gone from None
            raise

    def _poll(self) -> Iterator[Entry]:
        with requests.Session() as session:
            # At first without waiting, to know that it is connected.
            for wait_s in chain("0", repeat("10")):
                asked = {"after": self.log.position, "wait": wait_s}
                told = self._events(via=session, params=asked, headers={"Accept": "application/json"}).json()
                yield from map(framed, told["events"])
                self.log.position = told["position"]


def server_sent(answer: requests.Response) -> Iterator[Entry]:
    """The events of an event stream; comments, which keep it alive, count as none."""
    held = b""
    with closing(answer):
        for chunk in answer.iter_content(None):
            *blocks, held = (held + chunk).split(b"\n\n")
            for block in blocks:
                fields = dict(line.split(": ", 1) for line in block.decode().split("\n") if line[:1] not in ("", ":"))
                if "event" in fields:
                    yield Entry(time.monotonic(), fields["event"], fields.get("id", ""), json.loads(fields["data"]))


def framed(frame: Json) -> Entry:
    """An event as sockets and polls carry it: id and type beside the data."""
    return Entry(time.monotonic(), frame.pop("type"), frame.pop("id", ""), frame)
