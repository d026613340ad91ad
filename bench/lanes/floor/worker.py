"""The worker of the floor: jobs out of Redis, the model's pieces back into it, over connections that are kept."""

import asyncio
import os
from typing import Any, ClassVar
from urllib.parse import urlsplit

import orjson
import uvloop
from link import Link

ROOM = 100


class Model(asyncio.Protocol):
    """A connection to the model: one reply at a time, each of its pieces published as it comes."""

    transport: asyncio.Transport
    idle: ClassVar[list["Model"]] = []

    def __init__(self, redis: Link) -> None:
        self.redis, self.heard, self.path = redis, b"", b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def ask(self, path: bytes, text: str) -> None:
        self.path = path
        body = orjson.dumps({"inputs": f"Human: {text}\nBot:", "parameters": {}, "stream": True})
        self.transport.write(b"POST / HTTP/1.1\r\nHost: model\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    def data_received(self, data: bytes) -> None:
        *blocks, self.heard = (self.heard + data).split(b"\n\n")
        for block in blocks:
            said = orjson.loads(block[block.index(b"data:") + 5 :])
            if said["generated_text"] is None:
                event = b"event: delta\ndata: %s\n\n" % orjson.dumps({"text": said["token"]["text"]})
            else:
                event = b"event: completed\ndata: {}\n\n"
                Model.idle.append(self)
            self.redis.send("PUBLISH", self.path, event)


async def main() -> None:
    loop, where = asyncio.get_running_loop(), urlsplit(os.environ["MODEL_URL"])
    redis = await Link.open(os.environ["REDIS_URL"], lambda answer: None)

    async def begin(path: bytes, text: str) -> None:
        if Model.idle:
            model = Model.idle.pop()
        else:
            _, model = await loop.create_connection(lambda: Model(redis), where.hostname, where.port)
        model.ask(path, text)

    def take(answer: Any) -> None:
        for job in answer[1]:
            path, _, body = job.partition(b"\n")
            running.add(task := loop.create_task(begin(path, orjson.loads(body)["text"])))
            task.add_done_callback(running.discard)
        jobs.send("BLMPOP", "0", "1", "jobs", "LEFT", "COUNT", str(ROOM))

    running: set[asyncio.Task[None]] = set()
    jobs = await Link.open(os.environ["REDIS_URL"], take)
    jobs.send("BLMPOP", "0", "1", "jobs", "LEFT", "COUNT", str(ROOM))
    await asyncio.Event().wait()


uvloop.run(main())
