"""The one task: answer the next message of a conversation."""

import logging
import time
from contextlib import suppress
from typing import Any

import kombu.utils.functional
from celery.signals import worker_init, worker_shutting_down
from celery.worker import worker as celery_worker
from celery.worker.control import Panel
from celery.worker.request import Request

from chat.config import Config, from_environ
from chat.errors import ChatError, StoreUnavailable, StoreUnsuitable
from chat.store import Store, check
from chat.turns import Turn
from gptj.client import Model
from tasks import celery, tiny
from tasks.bell import ring
from tasks.keeper import Keeper
from tasks.writing import Writing

# A restart of Redis must not cost the reply that is being written.
PATIENCE_S = 20

# Who can write to the broker may look at a worker, as `celery status`, `inspect` and Flower do, but not command it.
LOOKS = {name for name, of in Panel.meta.items() if of.type == "inspect"} | {"enable_events", "disable_events"}
for command in {*Panel.data} - LOOKS | {"hello", "memdump", "memsample", "objgraph"}:
    del Panel.data[command]

log = logging.getLogger(__name__)


class Worker:
    """The parts of this worker process."""

    def __init__(self, config: Config) -> None:
        self.keeper = Keeper(config, ring, answer)
        self.store = Store(config, PATIENCE_S)
        self.model = Model(config if config.model_url else tiny.start(config, self.keeper.leaving))


_worker: Worker | None = None


class Ring(Request):
    """What is known of a running task: its argument, the id that opens a guest's conversation, is not told."""

    def info(self, safe: bool = False) -> Any:
        return {**super().info(safe), "args": "(…)"}


@celery.task(name="tasks.answer", Request=Ring)
def answer(conversation_id: str) -> None:
    """Answer the next message of a conversation, if there is one and no other worker does."""
    worker, turn = _worker, None
    # Where it is full, with what the sweep has taken up, the sweep will ring again.
    if worker is None or worker.keeper.leaving.is_set() or not worker.keeper.seats.acquire(blocking=False):
        return
    try:
        turn = Turn.begin(worker.store, conversation_id)
        if turn:
            writing = Writing(turn, worker.model)
            with worker.keeper.watching(writing):
                waiting = writing.write()
            if waiting:
                ring(conversation_id)
    except StoreUnavailable:
        log.error("Redis stayed away; the turn of %.8s is left to its lease", conversation_id)
    except ChatError as error:
        log.error("%.8s cannot be answered: %s", conversation_id, error.detail)
    except Exception:
        log.exception("answering %.8s failed", conversation_id)
        if turn:
            with suppress(ChatError):
                turn.release(strike=True)
    finally:
        worker.keeper.seats.release()


@worker_init.connect
def start(**_: Any) -> None:
    """Make the parts when the worker starts, once gevent has patched what blocks. Ends a start that cannot work."""
    global _worker
    # gevent, while it patches, makes Celery import kombu, which so keeps the sleep that stops the whole process
    # (gevent 26.9, Celery 5.7): a broker that is away would freeze every turn.
    for module in (kombu.utils.functional, celery_worker):
        vars(module)["sleep"] = time.sleep
    config = from_environ()
    try:
        check(Store(config))
    except StoreUnsuitable as error:
        raise SystemExit(f"parley: {error.detail}") from None
    except StoreUnavailable:
        log.warning("Redis cannot be reached yet; the worker waits for it")
    _worker = Worker(config)
    _worker.keeper.start()


@worker_shutting_down.connect
def leave(**_: Any) -> None:
    """Have the running turns given back; Celery waits for their tasks to end. Runs inside a signal handler."""
    if _worker:
        _worker.keeper.leave()
        _worker.store.patience_s = 0
