"""What the processes of a lane have used: CPU time, memory, calls to Redis."""

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.lanes.floor.link import Link

TICKS = os.sysconf("SC_CLK_TCK")
# What the load generator asks itself, and what only opens a connection, as do all commands of two words.
OWN = ("info", "hello")


def cpu_s(pids: Sequence[int]) -> float:
    """CPU seconds that these processes have taken so far."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(each[11]) + int(each[12]) for each in fields) / TICKS


def pss_kb(pids: Sequence[int]) -> int:
    """Memory of these processes, what they share divided among those who share it."""
    found = (re.search(r"(?m)^Pss: +(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text()) for pid in pids)
    return sum(int(match[1]) for match in found if match)


class Redis:
    """Asks one thing at a time, and publishes many."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[Any] = asyncio.Queue()
        self.muted = 0

    @classmethod
    async def open(cls, url: str) -> "Redis":
        redis = cls()
        redis.link = await Link.open(url, redis.heard)
        return redis

    link: Link

    def heard(self, answer: Any) -> None:
        if self.muted:
            self.muted -= 1
        else:
            self.answers.put_nowait(answer)

    def tell(self, packed: bytes, commands: int) -> None:
        """Send commands whose answers nobody wants."""
        self.muted += commands
        self.link.write(packed)

    async def ask(self, *words: str | bytes) -> Any:
        self.link.send(*words)
        return await self.answers.get()

    async def calls(self) -> dict[str, int]:
        """How often each command was called since `config resetstat`, also those that scripts call."""
        text = (await self.ask("INFO", "commandstats")).decode()
        return {name: int(n) for name, n in re.findall(r"cmdstat_([\w.]+):calls=(\d+)", text) if name not in OWN}


class Usage:
    """What was used between `begin` and `per`."""

    def __init__(self, redis: Redis, pids: Mapping[str, Sequence[int]]) -> None:
        self.redis, self.pids = redis, pids

    async def begin(self) -> None:
        await self.redis.ask("CONFIG", "RESETSTAT")
        self.before = {part: cpu_s(pids) for part, pids in self.pids.items()}

    async def per(self, replies: int) -> tuple[dict[str, float], dict[str, float]]:
        """CPU milliseconds of each part, and calls of each command of Redis, for one reply."""
        cpu = {part: 1000 * (cpu_s(pids) - self.before[part]) / replies for part, pids in self.pids.items()}
        return cpu, {name: n / replies for name, n in (await self.redis.calls()).items()}
