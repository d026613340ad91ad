"""Clients that behave like real ones. They use the public API only, log what they see, and judge nothing."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import chain, repeat
from random import Random
from threading import Condition, Thread
from typing import Any, NamedTuple

import requests
from websockets.exceptions import ConnectionClosed, InvalidHandshake, WebSocketException
from websockets.sync.client import ClientConnection, connect

from faults.replies import Order

Json = dict[str, Any]
ENDS = ("completed", "stopped", "failed")
# The server gives a sign of life every 15 s; who hears nothing for longer comes back on a new connection.
CONNECT_S, SILENCE_S = 3.0, 20.0
# It prints a traceback for each connection that is lost, which here is nothing of note.
logging.getLogger("websockets").setLevel(logging.CRITICAL)
LOST = (requests.RequestException, WebSocketException, OSError, EOFError)


class Gone(Exception):
    """The server says that there is no such conversation."""


class Entry(NamedTuple):
    """A line of a client's log: an event with its id, or `connected`, `lost`, `gone`."""

    at: float
    kind: str
    id: str = ""
    data: Json = {}  # noqa: RUF012  (never changed)


@dataclass
class Log:
    """What one client saw. A whole one has all events after its first; others have those of one turn."""

    name: str
    whole: bool = True
    slow: bool = False
    left: bool = False
    entries: list[Entry] = field(default_factory=list)
    position: str = ""


@dataclass
class Sent:
    """A message and what its sender knows of it. `asked`: how often it wants to be answered, once and once a retry."""

    id: str
    text: str
    at: float
    acknowledged: float = 0
    asked: int = 1
    stop_at: float = 0
    outcome: str = ""


@dataclass
class Story:
    """All that is known of a conversation in the end: its sender's notes, its clients' logs, its final documents."""

    name: str
    sent: list[Sent] = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)
    complaints: list[Entry] = field(default_factory=list)
    final: Json = field(default_factory=dict)


class Conversation(Story):
    """A conversation and how its clients speak to the server."""

    def __init__(self, address: str, name: str, rng: Random) -> None:
        super().__init__(name)
        self.address, self.rng = address, rng
        self._ends: dict[str, list[Json]] = {}
        self._changed = Condition()
        self.id: str = self.call("POST", "/api/conversations").json()["id"]

    @property
    def path(self) -> str:
        return f"/api/conversations/{self.id}"

    def call(self, method: str, path: str, tries: int = 200, **body: Any) -> requests.Response:
        """Ask until there is an answer that is one. Raises Gone for a 404."""
        while True:
            try:
                answer = requests.request(
                    method, self.address + path, json=body or None, timeout=(CONNECT_S, SILENCE_S)
                )
                if not self._must_repeat(answer):
                    return answer
            except requests.RequestException:
                pass
            tries -= 1
            if not tries:
                raise Gone("no answer")
            time.sleep(self.rng.uniform(0.2, 0.8))

    def note(self, log: Log, entry: Entry) -> None:
        """Write a line into a log, and tell who waits for the end of a turn."""
        log.entries.append(entry)
        if entry.kind in ENDS or entry.kind == "reset":
            message = entry.data.get("message")
            ended = entry.data["messages"] if entry.kind == "reset" else [message] if message else []
            ended = [reply for reply in ended if "reply_to" in reply]
            with self._changed:
                for reply in ended:
                    known = self._ends.setdefault(reply["reply_to"], [])
                    known += [reply] if reply["id"] not in {other["id"] for other in known} else []
                if entry.data.get("withdrawn"):
                    self._ends.setdefault(entry.data["message_id"], []).append({"status": "withdrawn", "id": ""})
                self._changed.notify_all()

    def end_of(self, sent: Sent, within_s: float = 60) -> Json | None:
        """The end of a message's newest turn, once some client has seen it."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._ends.get(sent.id, [])) >= sent.asked, within_s)
            ends = self._ends.get(sent.id, [])
            return ends[-1] if len(ends) >= sent.asked else None

    def watch(self, **habits: Any) -> "Watcher":
        """One more client that watches."""
        watcher = Watcher(self, f"{self.name}/{len(self.logs)}", Random(self.rng.random()), **habits)
        self.logs.append(watcher.log)
        watcher.start()
        return watcher

    def send(self, order: Order) -> Sent:
        """Send a message, again and again under the same id until it is acknowledged. Raises Gone."""
        tag = f"{self.name}-{len(self.sent)}"
        sent = Sent(f"m-{tag}", order.message(tag), time.monotonic())
        self.sent.append(sent)
        while not sent.acknowledged:
            way = self.rng.choice((self._post, self._post, self._stream, self._send))
            with suppress(*LOST):
                sent.acknowledged = time.monotonic() if way(sent) else 0
            if not sent.acknowledged:
                time.sleep(self.rng.uniform(0.2, 1.0))
        return sent

    def stop(self, sent: Sent) -> None:
        """Stop a message's turn, or withdraw it while it waits."""
        sent.stop_at = time.monotonic()
        sent.outcome = self.call("POST", f"{self.path}/messages/{sent.id}/stop").json()["outcome"]

    def retry(self, sent: Sent, reply: Json) -> None:
        """Have the last message answered again."""
        answer = self.call("POST", f"{self.path}/messages/{sent.id}/retry", reply_id=reply["id"])
        sent.asked += answer.status_code == 202

    def caught_up(self) -> bool:
        """Whether all clients that watch have come to the final position."""
        newest = self.final["snapshot"]["position"]
        return all(log.left or not log.whole or log.position == newest for log in self.logs)

    def complain(self, what: str) -> None:
        """Note an answer that must not be."""
        self.complaints.append(Entry(time.monotonic(), what))

    def settle(self) -> None:
        """Fetch the final documents."""
        pages, before = list[Json](), ""
        while before != "&before=0":
            page = self.call("GET", f"{self.path}/messages?limit=50{before}").json()
            pages, before = page["messages"] + pages, f"&before={page['first']}"
        self.final = {
            "snapshot": self.call("GET", self.path).json(),
            "export": self.call("GET", f"{self.path}/export?format=json").json(),
            "pages": pages,
        }

    def _must_repeat(self, answer: requests.Response) -> bool:
        if answer.status_code == 404:
            raise Gone
        if answer.status_code >= 500 and answer.status_code != 503:
            self.complain(f"answer {answer.status_code} to {answer.request.method}")
        return answer.status_code in (429, 500, 502, 503, 504)

    def _post(self, sent: Sent) -> bool:
        answer = requests.post(
            f"{self.address}{self.path}/messages", json={"id": sent.id, "text": sent.text}, timeout=(CONNECT_S, 10)
        )
        if answer.status_code == 409:
            self.complain("409 for a repeat")
        return not self._must_repeat(answer)

    def _stream(self, sent: Sent) -> bool:
        """Post and have the turn's events read on; whether it was acknowledged by the first of them."""
        answer = requests.post(
            f"{self.address}{self.path}/messages", json={"id": sent.id, "text": sent.text},
            headers={"Accept": "text/event-stream"}, stream=True, timeout=(CONNECT_S, SILENCE_S),
        )  # fmt: skip
        if self._must_repeat(answer):
            return False
        log, events = Log(f"{self.name}/{sent.id}", whole=False), server_sent(answer)
        self.logs.append(log)
        if first := next(events, None):
            self.note(log, first)
            Thread(target=self._read_on, args=(log, events), daemon=True).start()
        return first is not None

    def _read_on(self, log: Log, events: Iterator[Entry]) -> None:
        with suppress(*LOST):
            for entry in events:
                self.note(log, entry)

    def _send(self, sent: Sent) -> bool:
        with self.socket() as socket:
            socket.send(json.dumps({"type": "send", "id": sent.id, "text": sent.text}))
            while True:
                frame = json.loads(socket.recv(timeout=10))
                if frame.get("ref") == sent.id:
                    return bool(frame["type"] == "ack")

    def socket(self, after: str = "") -> ClientConnection:
        """A WebSocket to the conversation."""
        address = f"ws{self.address.removeprefix('http')}{self.path}/socket?after={after}"
        return connect(
            address, open_timeout=CONNECT_S, close_timeout=0.5, compression=None,
            ping_interval=SILENCE_S / 2, ping_timeout=SILENCE_S / 2,
        )  # fmt: skip


class Watcher(Thread):
    """Watches over changing transports, from its position; some are slow, some leave for good."""

    def __init__(
        self, conversation: Conversation, name: str, rng: Random, slow_s: float = 0, leaves_at: float = float("inf"),
        transports: tuple[str, ...] = ("sse", "socket", "poll"), stays_s: tuple[float, float] = (5, 40),
    ) -> None:  # fmt: skip
        super().__init__(daemon=True, name=name)
        self.conversation, self.rng, self.slow_s, self.leaves_at = conversation, rng, slow_s, leaves_at
        self.transports, self.stays_s = transports, stays_s
        self.log = Log(name, slow=slow_s > 0)
        self._switch_at = 0.0

    def run(self) -> None:
        while time.monotonic() < self.leaves_at:
            self._switch_at = time.monotonic() + self.rng.uniform(*self.stays_s)
            try:
                for entry in getattr(self, f"_{self.rng.choice(self.transports)}")():
                    self._see(entry)
                    if time.monotonic() > min(self._switch_at, self.leaves_at):
                        break
                self._write("left")
            except Gone:
                return self._write("gone")
            except LOST as error:
                self._write("lost", why=type(error).__name__)
            except ValueError as error:
                self.conversation.complain(f"{self.name} got no JSON: {error}")
            if time.monotonic() < self._switch_at:
                time.sleep(self.rng.uniform(0.2, 1.0))
        self.log.left = True

    def _see(self, entry: Entry) -> None:
        if entry.kind == "gone":
            raise Gone
        self.conversation.note(self.log, entry)
        self.log.position = entry.id or self.log.position
        time.sleep(self.slow_s)

    def _write(self, kind: str, **data: Any) -> None:
        self.log.entries.append(Entry(time.monotonic(), kind, "", data))

    def _sse(self) -> Iterator[Entry]:
        # Without a position the first event is a reset.
        position = {"Last-Event-ID": self.log.position} if self.log.position else {}
        answer = requests.get(
            f"{self.conversation.address}{self.conversation.path}/events",
            headers={"Accept": "text/event-stream", **position}, stream=True, timeout=(CONNECT_S, SILENCE_S),
        )  # fmt: skip
        self._expect(answer)
        yield from server_sent(answer)
        raise EOFError

    def _socket(self) -> Iterator[Entry]:
        try:
            with self.conversation.socket(self.log.position) as socket:
                self._write("connected")
                while True:
                    yield framed(json.loads(socket.recv()))
        except InvalidHandshake:
            raise EOFError from None
        except ConnectionClosed as closed:
            if closed.rcvd and closed.rcvd.code == 1008:
                raise Gone from None
            raise

    def _poll(self) -> Iterator[Entry]:
        # At first without waiting, to know that it is connected.
        with closing(requests.Session()) as session:
            for wait_s in chain("0", repeat("10")):
                answer = session.get(
                    f"{self.conversation.address}{self.conversation.path}/events",
                    params={"after": self.log.position, "wait": wait_s}, headers={"Accept": "application/json"},
                    timeout=(CONNECT_S, SILENCE_S),
                )  # fmt: skip
                self._expect(answer)
                yield from map(framed, answer.json()["events"])
                self.log.position = answer.json()["position"]

    def _expect(self, answer: requests.Response) -> None:
        if self.conversation._must_repeat(answer) or answer.status_code != 200:
            raise EOFError
        self._write("connected")


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
