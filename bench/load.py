"""The load generator, a process of its own: does what its argument says, as JSON, and prints what it measured, as JSON.

{"users": "parley", "port": 8000, "redis": "redis://…", "first": 0, "pids": {"web": […]}, "do": "replies", "with": {…}}
"""

import asyncio
import json
import random
import sys
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import uvloop

from bench.lanes.floor.link import Link, pack
from bench.probe import Redis, Usage, pss_kb
from bench.users import USERS, Reply, StreamUser, User

Found = dict[str, float]
OPEN_AT_A_TIME = 20
SHORT = 8  # pieces of a reply whose length does not matter
GIVEN_UP_S = 10.0


def percentile(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0


def times(replies: Sequence[Reply]) -> Found:
    """Milliseconds to first text and to the end. Who has not been answered waited as long as anybody had patience."""
    first = [1000 * (reply.first_s or GIVEN_UP_S) for reply in replies]
    return {
        "first text p50": percentile(first, 50),
        "first text p99": percentile(first, 99),
        "done p50": percentile([1000 * (reply.done_s or GIVEN_UP_S) for reply in replies], 50),
        "answered": sum(reply.whole for reply in replies) / max(1, len(replies)),
    }


async def side_by_side(work: Sequence[Awaitable[Any]], width: int) -> None:
    limit = asyncio.Semaphore(width)

    async def one(each: Awaitable[Any]) -> None:
        async with limit:
            await each

    await asyncio.gather(*map(one, work))


async def made(user: User) -> None:
    """Make a conversation and close what was needed for that."""
    await user.create()
    if isinstance(user, StreamUser):
        user.posts.transport.close()


@dataclass
class Load:
    """A lane under load."""

    users: str
    port: int
    redis: str
    first: int
    pids: dict[str, list[int]]

    async def open(self, count: int, conversations: Sequence[str] = ()) -> list[User]:
        """So many users, each with a conversation that it watches."""
        names = list(conversations) or [""] * count
        made = [USERS[self.users](self.port, self.first + n, name) for n, name in enumerate(names)]
        await side_by_side([user.open() for user in made], OPEN_AT_A_TIME)
        return made

    async def up(self) -> Found:
        """Wait for a first reply: only then the worker is there as well."""
        begun, (user,) = perf_counter(), await self.open(1)
        if not (await user.ask(SHORT, limit_s=60)).whole:
            raise TimeoutError("no reply within a minute")
        return {"up s": perf_counter() - begun}

    async def alone(self, for_s: float, pool: int = 10, conversations: Sequence[str] = ()) -> Found:
        """One message at a time, in turn in many conversations, with a breath in between."""
        users = await self.open(pool, conversations)
        replies: list[Reply] = []
        end = perf_counter() + for_s
        while perf_counter() < end:
            replies.append(await users[len(replies) % len(users)].ask(SHORT))
            await asyncio.sleep(0.002)
        return times(replies)

    async def paced(self, users: int, for_s: float) -> Found:
        """Each user sends a message a second; the users are spread evenly over it."""
        replies: list[Reply] = []

        async def talk(user: User, begin_s: float) -> None:
            for second in range(max(1, round(for_s))):
                await asyncio.sleep(begun + begin_s + second - perf_counter())
                replies.append(await user.ask(SHORT, due=begun + begin_s + second))

        opened = await self.open(users)
        begun = perf_counter()
        await asyncio.gather(*(talk(user, n / users) for n, user in enumerate(opened)))
        return times(replies)

    async def at_once(self, users: int, rounds: int) -> Found:
        opened, replies = await self.open(users), []
        for _ in range(rounds):
            replies += await asyncio.gather(*(user.ask(SHORT) for user in opened))
            await asyncio.sleep(0.2)
        return times(replies)

    async def replies(self, users: int, for_s: float, pool: int) -> Found:
        """Each user sends the next message as soon as the last one is answered; with what that costs.

        They do it in turn in many conversations, as one may have 120 messages a minute.
        """
        opened = await self.open(max(pool, users))
        usage = Usage(await Redis.open(self.redis), self.pids)
        replies: list[Reply] = []

        async def talk(mine: Sequence[User]) -> None:
            n = 0
            while perf_counter() < end:
                replies.append(await mine[n % len(mine)].ask(SHORT, limit_s=2 * for_s + 1))
                n += 1

        await usage.begin()
        begun = perf_counter()
        end = begun + for_s
        await asyncio.gather(*(talk(opened[n::users]) for n in range(users)))
        whole, took = sum(reply.whole for reply in replies), perf_counter() - begun
        cpu, calls = await usage.per(max(1, whole))
        found = {"replies/s": whole / took, "answered": whole / len(replies)}
        found |= {f"cpu ms {part}": value for part, value in cpu.items()}
        return found | {f"redis {name}": value for name, value in calls.items() if value >= 0.05}

    async def deltas(self, users: int, pieces: int, limit_s: float) -> Found:
        """Replies as long and as fast as they go: pieces of text that arrive, in a second."""
        opened = await self.open(users)
        begun = perf_counter()
        replies = await asyncio.gather(*(user.ask(pieces, limit_s=limit_s) for user in opened))
        return {"deltas/s": sum(reply.pieces for reply in replies) / (perf_counter() - begun)}

    async def burst(self, users: int, rate: int, for_s: float) -> Found:
        """All users send within one second, and their replies take `for_s` seconds."""
        opened, pieces = await self.open(users), round(rate * for_s) + 1
        begun = perf_counter()

        async def talk(user: User, begin_s: float) -> Reply:
            await asyncio.sleep(begun + begin_s - perf_counter())
            return await user.ask(pieces, rate, limit_s=3 * for_s, due=begun + begin_s)

        replies = await asyncio.gather(*(talk(user, n / users) for n, user in enumerate(opened)))
        in_time = [reply for reply in replies if reply.whole and reply.done_s <= 1.2 * for_s]
        return {"in time": len(in_time) / users} | times(replies)

    async def idle(self, streams: int, events: int) -> Found:
        """Streams on which nothing happens, then an event to one of them at a time, then many events to any of them."""
        await self.open(10)
        users = [USERS[self.users](self.port, self.first + 10 + n) for n in range(streams)]
        await side_by_side([made(user) for user in users], OPEN_AT_A_TIME)
        before, begun = pss_kb(self.pids["web"]), perf_counter()
        await side_by_side([user.watch() for user in users], OPEN_AT_A_TIME)
        took = perf_counter() - begun
        await asyncio.sleep(1)
        found = {"connects/s": streams / took, "KB a stream": (pss_kb(self.pids["web"]) - before) / streams}
        return found | (await self.events(users, events) if events else {})

    async def events(self, users: Sequence[User], count: int) -> Found:
        redis = await Redis.open(self.redis)
        numbers = dict.fromkeys(users, 0)

        def packed(user: User) -> tuple[bytes, int]:
            numbers[user] += 1
            commands = [pack(*command) for command in user.published(numbers[user])]
            return b"".join(commands), len(commands)

        took = []
        for user in random.choices(users, k=min(500, count)):
            user.arrived.clear()
            event, begun = packed(user), perf_counter()
            redis.tell(*event)
            await asyncio.wait_for(user.arrived.wait(), GIVEN_UP_S)
            took.append(1000 * (perf_counter() - begun))
            await asyncio.sleep(0.002)
        events = [packed(user) for user in random.choices(users, k=count)]
        begun, end = perf_counter(), User.arrivals + count
        for n, event in enumerate(events):
            redis.tell(*event)
            if n % 100 == 0:
                await asyncio.sleep(0)
        return {"event p50": percentile(took, 50), "event p99": percentile(took, 99)} | await self.last(
            begun, count, end
        )

    async def last(self, begun: float, count: int, end: int) -> Found:
        """Wait for the last of the events that were published; where some are lost, only for a while."""
        seen, at = User.arrivals, perf_counter()
        while seen < end and perf_counter() - at < 2:
            await asyncio.sleep(0.002)
            if User.arrivals > seen:
                seen, at = User.arrivals, perf_counter()
        return {"events/s": (count - end + seen) / (at - begun), "events lost": end - seen}

    async def raw(self, for_s: float) -> Found:
        """Redis alone: one connection publishes, another one hears it."""
        arrived: asyncio.Queue[Any] = asyncio.Queue()
        ears, redis = await Link.open(self.redis, arrived.put_nowait), await Redis.open(self.redis)
        ears.send("SUBSCRIBE", "raw")
        await arrived.get()
        took, end, packed = [], perf_counter() + for_s, pack("PUBLISH", "raw", "x" * 100)
        while (begun := perf_counter()) < end:
            redis.tell(packed, 1)
            await arrived.get()
            took.append(1000 * (perf_counter() - begun))
        count, begun = 50_000, perf_counter()
        for _ in range(count):
            redis.tell(packed, 1)
        for _ in range(count):
            await arrived.get()
        return {"event p50": percentile(took, 50), "events/s": count / (perf_counter() - begun)}


async def main(order: dict[str, Any]) -> None:
    load = Load(order["users"], order["port"], order["redis"], order["first"], order["pids"])
    print(json.dumps(await getattr(load, order["do"])(**order["with"])), flush=True)


if __name__ == "__main__":
    uvloop.run(main(json.loads(sys.argv[1])))
