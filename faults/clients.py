"""Clients that behave like real ones. They use the public API only, log what they see, and judge nothing."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from random import Random
from threading import Condition, Thread
from typing import Any

import requests
from websockets.sync.client import ClientConnection, connect

from faults.replies import Order
from faults.story import ENDS, Entry, Json, Log, Sent, Story
from faults.watching import AS_STREAM, LOST, Gone, Watcher, server_sent

# The server gives a sign of life every 15 s; who hears nothing for longer comes back on a new connection.
CONNECT_S, SILENCE_S = 3.0, 20.0
# It prints a traceback for each connection that is lost, which here is nothing of note.
logging.getLogger("websockets").setLevel(logging.CRITICAL)


class Conversation(Story):
    """A conversation and how its clients speak to the server."""

    def __init__(self, address: str, name: str, rng: Random) -> None:
        super().__init__(name)
        self.address, self.path, self.rng = address, "/api/conversations", rng
        self._ends: dict[str, dict[str, Json]] = {}
        self._changed = Condition()
        self.id: str = self.call("POST").json()["id"]
        self.path += f"/{self.id}"

    def ask(self, method: str, path: str, read_s: float = SILENCE_S, via: Any = requests, **how: Any) -> Any:
        """Ask once. Raises Gone for a 404, and a RequestException where there is nothing but to ask again."""
        answer = via.request(method, f"{self.address}{self.path}{path}", timeout=(CONNECT_S, read_s), **how)
        if answer.status_code == 404:
            raise Gone
        if answer.status_code >= 500 and answer.status_code != 503:
            self.complain(f"answer {answer.status_code} to {method}")
        if answer.status_code == 429 or answer.status_code >= 500:
            answer.raise_for_status()
        return answer

    def call(self, method: str, path: str = "", **body: Any) -> Any:
        """Ask until there is an answer that is one. Raises Gone, also when there is none for long."""
        for _ in range(200):
            with suppress(requests.RequestException):
                return self.ask(method, path, json=body or None)
            time.sleep(self.rng.uniform(0.2, 0.8))
        raise Gone("no answer")

    def note(self, log: Log, entry: Entry) -> None:
        """Write a line into a log, and tell who waits for the end of a turn."""
        log.entries.append(entry)
        log.position = entry.id or log.position
        for reply in _ended(entry):
            with self._changed:
                self._ends.setdefault(reply["reply_to"], {}).setdefault(reply["id"], reply)
                self._changed.notify_all()

    def end_of(self, sent: Sent, within_s: float = 60) -> Json | None:
        """The end of a message's newest turn, once some client has seen it."""
        with self._changed:
            ended = self._changed.wait_for(lambda: len(self._ends.get(sent.id, ())) >= sent.asked, within_s)
            return list(self._ends[sent.id].values())[-1] if ended else None

    def watch(self, slow_s: float = 0, **habits: Any) -> Log:
        """One more client that watches, and what it sees."""
        log = Log(f"{self.name}/{len(self.logs)}", slow_s=slow_s)
        self.logs.append(log)
        watcher = Watcher(self, log, Random(self.rng.random()), **habits)
        Thread(target=watcher.run, daemon=True, name=log.name).start()
        return log

    def send(self, order: Order) -> Sent:
        """Send a message, again and again under the same id until it is acknowledged. Raises Gone."""
        tag = f"{self.name}-{len(self.sent)}"
        sent = Sent(f"m-{tag}", order.message(tag), time.monotonic())
        self.sent.append(sent)
        while not sent.acknowledged:
            way = self.rng.choice((self._post, self._post, self._stream, self._send))
            with suppress(*LOST):
                sent.acknowledged = way(id=sent.id, text=sent.text)
            time.sleep(0 if sent.acknowledged else self.rng.uniform(0.2, 1.0))
        return sent

    def stop(self, sent: Sent) -> None:
        """Stop a message's turn, or withdraw it while it waits."""
        sent.stop_at = time.monotonic()
        sent.outcome = self.call("POST", f"/messages/{sent.id}/stop").json()["outcome"]

    def retry(self, sent: Sent, reply: Json) -> None:
        """Have the last message answered again."""
        sent.asked += self.call("POST", f"/messages/{sent.id}/retry", reply_id=reply["id"]).status_code == 202

    def is_quiet(self) -> bool:
        """Whether nothing is answered, and nothing waits."""
        now = self.call("GET").json()
        return not now["turn"] and not now["pending"]

    def caught_up(self) -> bool:
        """Whether all clients that watch have come to the final position."""
        return all(log.left or log.position == self.final["snapshot"]["position"] for log in self.watched)

    def complain(self, what: str) -> None:
        """Note an answer that must not be."""
        self.complaints.append(Entry(time.monotonic(), what))

    def settle(self) -> None:
        """Fetch the final documents."""
        pages, before = list[Json](), ""
        while before != "&before=0":
            page = self.call("GET", f"/messages?limit=50{before}").json()
            pages, before = page["messages"] + pages, f"&before={page['first']}"
        self.final = {"snapshot": self.call("GET").json(), "pages": pages}
        self.final["export"] = self.call("GET", "/export?format=json").json()

    def _post(self, **message: str) -> bool:
        if self.ask("POST", "/messages", read_s=10, json=message).status_code == 409:
            self.complain("409 for a repeat")
        return True

    def _stream(self, **message: str) -> bool:
        """Post and have the turn's events read on; whether it was acknowledged by the first of them."""
        events = server_sent(self.ask("POST", "/messages", json=message, headers=AS_STREAM, stream=True))
        log = Log(f"{self.name}/{message['id']}", whole=False)
        self.logs.append(log)
        if first := next(events, None):
            self.note(log, first)
            Thread(target=self._read_on, args=(log, events), daemon=True).start()
        return first is not None

    def _read_on(self, log: Log, events: Iterator[Entry]) -> None:
        with suppress(*LOST):
            for entry in events:
                self.note(log, entry)

    def _send(self, **message: str) -> bool:
        with self.socket() as socket:
            socket.send(json.dumps({"type": "send", **message}))
            while True:
                frame = json.loads(socket.recv(timeout=10))
                if frame.get("ref") == message["id"]:
                    return bool(frame["type"] == "ack")

    def socket(self, after: str = "") -> ClientConnection:
        """A WebSocket to the conversation."""
        address = f"ws{self.address.removeprefix('http')}{self.path}/socket?after={after}"
        return connect(
            address, open_timeout=CONNECT_S, close_timeout=0.5, compression=None,
            ping_interval=SILENCE_S / 2, ping_timeout=SILENCE_S / 2,
        )  # fmt: skip


def _ended(entry: Entry) -> list[Json]:
    """The replies that this event shows at their ends. A message that is withdrawn ends without one."""
    if entry.data.get("withdrawn"):
        return [{"id": entry.id, "reply_to": entry.data["message_id"], "status": "withdrawn"}]
    told = entry.data["messages"] if entry.kind == "reset" else [entry.data["message"]] if entry.kind in ENDS else []
    return [message for message in told if "reply_to" in message]
