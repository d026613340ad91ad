"""What a turn costs when much is stored: long conversations, and many of them."""

import json
import time
from collections.abc import Iterator
from uuid import uuid4

import psutil
import redis

from bench.race import LANES, Running, running
from bench.results import Results
from chat import keys
from chat.config import Config
from chat.conversation import Conversation
from chat.store import Store

AT = "2026-11-20T10:00:00.000Z"
LENGTHS, COUNTS, SAME = (10, 100, 1_000, 10_000), (100, 10_000, 1_000_000), 10
# Leave the machine so much memory, also if that means fewer conversations.
SPARE_BYTES = 3 * 2**30
BATCH = 500


def messages(count: int) -> Iterator[tuple[str, str]]:
    for n in range(count):
        yield ("bot", "human")[n % 2 == 0], f"Message {n} of a conversation that goes on for quite a while."


def parley(redis_url: str, count: int) -> str:
    """A conversation with so many messages, made by the product, its history put in as the product would store it."""
    store = Store(Config(redis_url=redis_url))
    conversation = Conversation.create(store)
    entries = [json.dumps({"id": str(uuid4()), "role": role, "text": text, "at": AT}) for role, text in messages(count)]
    for first in range(0, count, BATCH):
        store.execute(
            "JSON.ARRAPPEND", keys.conversation(conversation.id)[0], "$.messages", *entries[first : first + BATCH]
        )
    store.close()
    return conversation.id


def handbook(redis_url: str, count: int) -> str:
    token = str(uuid4())
    entries = [{"id": token, "msg": f"{role}: {text}", "timestamp": AT} for role, text in messages(count)]
    session = {"token": token, "messages": entries, "name": "Ada", "session_start": AT}
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command("JSON.SET", token, ".", json.dumps(session))
    return token


def naive(redis_url: str, count: int) -> str:
    name = str(uuid4())
    with redis.Redis.from_url(redis_url) as client:
        client.rpush(f"history:{name}", *(json.dumps({"role": role, "text": text}) for role, text in messages(count)))
    return name


MAKE = {"parley": parley, "handbook": handbook, "naive": naive}


def lengths(results: Results, model_url: str, quick: bool) -> None:
    """First text in conversations of each length, in turn."""
    for name, make in MAKE.items():
        with running(LANES[name], model_url) as ran:
            made = {n: [make(ran.redis, n) for _ in range(SAME)] for n in (LENGTHS[:2] if quick else LENGTHS)}
            for _ in range(1 if quick else 3):
                for n, conversations in made.items():
                    found = ran.load("alone", for_s=0.3 if quick else 1.5, conversations=conversations)
                    results.add(f"{n:,} messages", name, found)


def counts(results: Results, model_url: str, quick: bool) -> None:
    """First text while so many conversations of guests are stored."""
    with running(LANES["parley"], model_url) as ran:
        stored = 0
        for count in COUNTS[:1] if quick else COUNTS:
            stored += fill(ran, count - stored)
            for _ in range(1 if quick else 3):
                results.add(f"{stored:,} conversations", "parley", ran.load("alone", for_s=0.3 if quick else 1.5))


def fill(ran: Running, count: int) -> int:
    """Make so many conversations, or as many as memory allows; return how many."""
    store, done = Store(Config(redis_url=ran.redis)), 0
    while done < count and psutil.virtual_memory().available > SPARE_BYTES:
        ids = [str(uuid4()) for _ in range(min(BATCH, count - done))]
        store.run_all(("create", keys.conversation(each), (each, "", "", store.config.chat_ttl_s)) for each in ids)
        done += len(ids)
    # Valkey writes its file anew when that has grown so much, which would be measured as well.
    while store.client.info("persistence")["aof_rewrite_in_progress"]:
        time.sleep(0.5)
    store.close()
    return done


def processes(results: Results, model_url: str, quick: bool) -> None:
    """Replies a second with more web processes and workers."""
    for _ in range(1 if quick else 2):
        for web, workers in ((2, 2),) if quick else ((1, 1), (2, 1), (1, 2), (2, 2), (4, 4)):
            with running(LANES["parley"], model_url, workers, WEB_CONCURRENCY=str(web)) as ran:
                found = ran.load(
                    "replies", users=20 if quick else 200, for_s=0.5 if quick else 4, pool=20 if quick else 200
                )
                results.add(f"{web} web, {workers} workers", "parley", {"replies/s": found["replies/s"]})
