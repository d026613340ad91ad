"""One client for each transport, all with the same face, so that one suite can hold them to one contract."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any, Protocol

import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

Json = dict[str, Any]
TIMEOUT_S = 20


class Stream(Protocol):
    """Watches a conversation: events as {"id", "type", "data"}; `close` leaves."""

    def __iter__(self) -> Iterator[Json]: ...
    def close(self) -> None: ...


def lines_to_events(response: requests.Response) -> Iterator[Json]:
    """Parse text/event-stream (WHATWG HTML, section 9.2): fields of UTF-8 lines, an event at each blank one.

    Pings are left out.
    """
    fields: dict[str, str] = {}
    for raw in response.iter_lines(chunk_size=None, delimiter=b"\n"):
        name, _, value = raw.decode().partition(": ")
        if raw and name in ("id", "event", "data"):
            fields[name] = value
        elif not raw and "data" in fields:
            if fields["event"] != "ping":
                yield {"id": fields.get("id"), "type": fields["event"], "data": json.loads(fields["data"])}
            fields = {}


class Sse:
    """EventSource's way."""

    def __init__(self, server: str, conversation: str, after: str | None) -> None:
        headers = {"Last-Event-ID": after} if after else {}
        self._response = requests.get(
            f"{server}/api/conversations/{conversation}/events", headers=headers, stream=True, timeout=TIMEOUT_S
        )
        self._response.raise_for_status()

    def __iter__(self) -> Iterator[Json]:
        return lines_to_events(self._response)

    def close(self) -> None:
        self._response.close()


class Socket:
    """A WebSocket, by a client library that others wrote."""

    def __init__(self, server: str, conversation: str, after: str | None) -> None:
        address = f"{server.replace('http', 'ws', 1)}/api/conversations/{conversation}/socket"
        self._stack = ExitStack()
        opened = connect(f"{address}?after={after}" if after else address, open_timeout=TIMEOUT_S)
        self._socket = self._stack.enter_context(opened)

    def __iter__(self) -> Iterator[Json]:
        while True:
            try:
                yield as_event(json.loads(self._socket.recv(timeout=TIMEOUT_S)))
            except ConnectionClosed:
                return

    def close(self) -> None:
        self._stack.close()


class Polling:
    """GET after GET."""

    def __init__(self, server: str, conversation: str, after: str | None) -> None:
        self._address = f"{server}/api/conversations/{conversation}/events"
        self._position = after
        self._closed = False

    def __iter__(self) -> Iterator[Json]:
        while not self._closed:
            query = {"wait": "5"} | ({"after": self._position} if self._position else {})
            response = requests.get(self._address, query, headers={"Accept": "application/json"}, timeout=TIMEOUT_S)
            response.raise_for_status()
            answer = response.json()
            self._position = answer["position"]
            yield from map(as_event, answer["events"])

    def close(self) -> None:
        self._closed = True


def as_event(message: Json) -> Json:
    data = {name: value for name, value in message.items() if name not in ("id", "type")}
    return {"id": message["id"], "type": message["type"], "data": data}


TRANSPORTS: dict[str, Any] = {"sse": Sse, "socket": Socket, "polling": Polling}


def take(stream: Stream, count: int) -> list[Json]:
    """The next events, so many of them; then leave."""
    with closing(stream):
        events = iter(stream)
        return [next(events) for _ in range(count)]


def take_until(stream: Stream, kind: str) -> list[Json]:
    """The events up to the first of this kind; then leave."""
    seen = []
    with closing(stream):
        for event in stream:
            seen.append(event)
            if event["type"] == kind:
                break
    return seen
