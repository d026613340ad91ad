"""The users of each lane: they make a conversation, watch it, send a message at a time, and look at their own clock."""

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import ClassVar
from zlib import crc32

from bench.wires import EventStream, Http, WebSocket, address, connect, number

TOKEN = b"tok"
Command = tuple[str | bytes, ...]


@dataclass(slots=True)
class Reply:
    """What a user saw of one reply: when its first text and its end came, in seconds after sending, and its pieces."""

    wanted: int
    sent: float = field(default_factory=perf_counter)
    first_s: float = 0.0
    done_s: float = 0.0
    pieces: int = 0
    over: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def add(self, pieces: int) -> None:
        self.first_s = self.first_s or perf_counter() - self.sent
        self.pieces += pieces

    def end(self, well: bool = True) -> None:
        if not self.over.done():
            self.done_s = perf_counter() - self.sent if well else 0.0
            self.over.set_result(None)

    @property
    def whole(self) -> bool:
        return self.done_s > 0 and self.pieces == self.wanted


class User:
    """What all have in common. `conversation` names one that is there already."""

    reply: Reply | None = None
    arrivals: ClassVar[int] = 0  # pieces of text that came to all users, in events

    def __init__(self, port: int, n: int, conversation: str = "") -> None:
        self.port, self.address, self.conversation = port, address(n), conversation
        self.arrived = asyncio.Event()

    async def create(self) -> None:
        """Make the conversation, where the lane wants it made."""
        self.conversation = self.conversation or number()

    async def watch(self) -> None:
        """Open the stream or socket, and wait until nothing can be missed any more."""
        raise NotImplementedError

    async def open(self) -> None:
        await self.create()
        await self.watch()

    def send(self, text: str) -> None:
        raise NotImplementedError

    def published(self, n: int) -> Iterator[Command]:
        """The commands that publish the nth event of this user's conversation, as the lane's own worker would."""
        raise NotImplementedError

    async def ask(self, pieces: int, rate: int = 0, limit_s: float = 10.0, due: float = 0.0) -> Reply:
        """Send a message and wait for its reply, or until the time is over. Who is late has waited since it was due."""
        now = perf_counter()
        # Timers may go off a little early.
        self.reply = Reply(pieces, sent=min(due or now, now))
        self.send(f"Tell me more. #{pieces}@{rate}")
        await asyncio.wait([self.reply.over], timeout=limit_s)
        return self.reply


async def posted(user: User, path: str) -> bytes:
    """What a POST over a connection of its own is answered."""
    posts = await connect(Http, lambda answer: None, user.port, user.address)
    posts.post(path, b"{}")
    answer = await posts.opened
    posts.transport.close()
    return answer[3:]


class StreamUser(User):
    """Posts over one connection and hears an event stream over another, as the browser's EventSource does."""

    stream: EventStream
    posts: Http
    field = "text"
    messages, events = "/{}", "/{}"

    async def create(self) -> None:
        await super().create()
        self.posts = await connect(Http, self.answered, self.port, self.address)

    async def watch(self) -> None:
        self.stream = await connect(EventStream, self.heard, self.port, self.address)
        self.stream.watch(self.events.format(self.conversation))
        await self.stream.opened

    def send(self, text: str) -> None:
        self.posts.post(self.messages.format(self.conversation), json.dumps({self.field: text}).encode())

    def answered(self, answer: bytes) -> None:
        if self.reply and not answer.startswith(b"20"):
            print(f"refused: {answer[:200]!r}", file=sys.stderr)
            self.reply.end(well=False)

    def heard(self, event: bytes) -> None:
        if b"event: delta" in event:
            User.arrivals += 1
            self.arrived.set()
            if self.reply:
                self.reply.add(event.count(TOKEN))
        elif not self.reply:
            return
        elif b"event: completed" in event:
            if not self.reply.first_s:  # all came with the end
                self.reply.add(event.count(TOKEN))
            self.reply.end()
        elif b"event: failed" in event:
            self.reply.end(well=False)

    def published(self, n: int) -> Iterator[Command]:
        yield "PUBLISH", self.events.format(self.conversation), b'event: delta\ndata: {"text":" tok"}\n\n'


class NaiveUser(StreamUser):
    messages, events = "/chat/{}", "/stream/{}"

    def published(self, n: int) -> Iterator[Command]:
        yield "PUBLISH", f"chat:{self.conversation}", '{"type":"delta","text":" tok"}'


class ParleyUser(StreamUser):
    messages, events = "/api/conversations/{}/messages", "/api/conversations/{}/events"

    async def create(self) -> None:
        self.conversation = self.conversation or json.loads(await posted(self, "/api/conversations"))["id"]
        await super().create()

    async def watch(self) -> None:
        self.epoch: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        await super().watch()
        await self.epoch

    def heard(self, event: bytes) -> None:
        if b"event: reset" in event and not self.epoch.done():
            # The first event, which tells where the conversation stands.
            self.epoch.set_result(event.partition(b"id: ")[2][:8].decode())
        super().heard(event)

    def published(self, n: int) -> Iterator[Command]:
        # Stored as well, as the product's own script does: the hub compares what is stored with what has arrived.
        key = f"{{b{crc32(self.conversation.encode()) % 64:02}}}:{self.conversation}"
        data = '{"reply_id":"r","text":" tok","offset":0}'
        yield ("MULTI",)
        yield "XADD", f"{key}:deltas", f"0-{n}", "type", "delta", "data", data
        yield "HSET", f"{key}:run", "n", str(n)
        yield "SPUBLISH", f"{key}:live", f"{self.epoch.result()}-{n}\ndelta\n{data}"
        yield ("EXEC",)


class SocketUser(User):
    """Sends and hears over one WebSocket."""

    socket: WebSocket
    path, headers = "", ""

    async def watch(self) -> None:
        self.socket = await connect(WebSocket, self.heard, self.port, self.address)
        self.socket.shake(self.path.format(self.conversation), self.headers)
        await self.socket.opened

    def heard(self, message: bytes) -> None:
        raise NotImplementedError


class HandbookUser(SocketUser):
    """Hears of a reply when it is whole."""

    path = "/chat?token={}"

    async def create(self) -> None:
        self.conversation = self.conversation or json.loads(await posted(self, "/token?name=Ada"))["token"]

    def send(self, text: str) -> None:
        self.socket.send(text.encode())

    def heard(self, message: bytes) -> None:
        if self.reply and message:
            self.reply.add(message.count(TOKEN))
            self.reply.end()


class ChannelsUser(SocketUser):
    """Sends the whole history, hears the text so far at each step; nothing tells it the end but the text itself."""

    path = "/ws/chat/llm/{}/"
    headers = "Cookie: sessionid=benchbenchbenchbenchbenchbenchbe\r\nOrigin: http://bench\r\n"

    def send(self, text: str) -> None:
        # The last messages alone, as in the other lanes' prompts.
        self.socket.send(json.dumps({"history": [{"role": "user", "content": text}]}).encode())

    def heard(self, message: bytes) -> None:
        if self.reply and message:
            self.reply.pieces = 0
            self.reply.add(message.count(TOKEN))
            if self.reply.pieces == self.reply.wanted:
                self.reply.end()


class ParleySocket(SocketUser):
    """Only watches: for what an idle WebSocket costs."""

    path = "/api/conversations/{}/socket"

    async def create(self) -> None:
        self.conversation = json.loads(await posted(self, "/api/conversations"))["id"]

    def heard(self, message: bytes) -> None:
        """It hears its reset."""


USERS: dict[str, type[User]] = {
    "floor": StreamUser, "naive": NaiveUser, "parley": ParleyUser, "handbook": HandbookUser, "channels": ChannelsUser,
    "parley-socket": ParleySocket,
}  # fmt: skip
