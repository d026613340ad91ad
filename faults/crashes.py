"""Faults of processes: the worker, the web process, Redis."""

import os
import signal
import time
from contextlib import suppress
from functools import partial

from faults.replies import Order
from faults.scene import Scene, fault
from faults.system import RESTART_S, wait_for

LEASE_S = 5

# --- the worker ---


@fault("worker: SIGKILL while idle", quick=False)
def kill_idle(scene: Scene) -> None:
    scene.traffic.pause()
    scene.strike()
    scene.system.workers[n := scene.victim()].end()
    scene.traffic.goes_on.set()
    time.sleep(RESTART_S)
    scene.system.workers[n].start()


@fault("worker: SIGKILL between ring and begin", settle_s=9)
def kill_before_begin(scene: Scene) -> None:
    n = scene.victim()
    # It hears the ring, and its `begin` never arrives.
    scene.system.worker_store[n].silent = True
    scene.turns(6, Order(pieces=20))
    time.sleep(0.5)
    scene.strike()
    scene.system.workers[n].end()
    scene.system.worker_store[n].heal()
    scene.system.worker_store[n].cut()
    scene.system.workers[n].start()


@fault("worker: SIGKILL in mid-reply", settle_s=9)
def kill(scene: Scene) -> None:
    scene.until_text(scene.turns(3, Order(pieces=60)))
    scene.strike()
    scene.system.workers[scene.victim()].restart()


@fault("worker: SIGKILL between last delta and finish", settle_s=9)
def kill_before_finish(scene: Scene) -> None:
    scene.until_text(scene.turns(4, Order(pieces=4, pause_ms=20, last_ms=3000)))
    time.sleep(0.3)
    scene.strike()
    scene.system.workers[scene.victim()].restart()


@fault("worker: frozen for twice its lease", settle_s=6)
def freeze(scene: Scene) -> None:
    turns = scene.turns(6, Order(pieces=120, pause_ms=120))
    scene.until_text(turns)
    worker = scene.system.workers[scene.victim()]
    scene.strike()
    worker.send(signal.SIGSTOP)
    time.sleep(2 * LEASE_S)
    worker.send(signal.SIGCONT)


@fault("worker: SIGTERM in mid-reply", settle_s=6)
def terminate(scene: Scene) -> None:
    scene.until_text(scene.turns(3, Order(pieces=60)))
    scene.strike()
    scene.system.workers[scene.victim()].restart(signal.SIGTERM)


# --- the web process ---


def _end_web_worker(number: int, scene: Scene) -> None:
    scene.strike()
    with suppress(ProcessLookupError):
        os.kill(scene.rng.choice(scene.system.web.children()), number)


def _end_master(number: int, scene: Scene) -> None:
    scene.strike()
    scene.system.web.restart(number)
    wait_for(scene.system.serves)


for _signal in (signal.SIGKILL, signal.SIGTERM):
    fault(f"web: {_signal.name} of a gunicorn worker")(partial(_end_web_worker, _signal))
    fault(f"web: {_signal.name} of the master", quick=_signal == signal.SIGKILL)(partial(_end_master, _signal))


# --- Redis ---


@fault("redis: SIGKILL and restart")
def kill_redis(scene: Scene) -> None:
    scene.strike()
    scene.system.store.end()
    scene.system.start_store()


@fault("redis: frozen for 15 s", quick=False, settle_s=6)
def freeze_redis(scene: Scene) -> None:
    scene.strike()
    scene.system.store.send(signal.SIGSTOP)
    time.sleep(15)
    scene.system.store.send(signal.SIGCONT)


def _kill_clients(kind: str, scene: Scene) -> None:
    scene.strike()
    scene.system.redis.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")


for _kind in ("normal", "pubsub"):
    fault(f"redis: CLIENT KILL {_kind}")(partial(_kill_clients, _kind))


@fault("redis: CLIENT PAUSE 8 s", quick=False, settle_s=6)
def pause_redis(scene: Scene) -> None:
    scene.strike()
    scene.system.redis.execute_command("CLIENT", "PAUSE", "8000", "ALL")
    time.sleep(8)


def _configure(setting: str, bad: str, good: str, scene: Scene) -> None:
    scene.strike()
    scene.system.redis.config_set(setting, bad)
    time.sleep(4)
    scene.system.redis.config_set(setting, good)


fault("redis: out of memory")(partial(_configure, "maxmemory", "1mb", "0"))
fault("redis: too few replicas to write")(partial(_configure, "min-replicas-to-write", "1", "0"))


@fault("redis: a read-only replica for a while")
def demote_redis(scene: Scene) -> None:
    scene.strike()
    scene.system.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    time.sleep(4)
    scene.system.redis.execute_command("REPLICAOF", "NO", "ONE")
