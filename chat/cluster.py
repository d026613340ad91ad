"""A Redis Cluster: which of its nodes has which key."""

from collections.abc import Callable
from typing import Any

import redis
from redis.crc import key_slot

Server = redis.Redis
# First and last slot, and the node that has them.
Slots = list[tuple[int, int, Server]]


class Cluster:
    """A client for each node, asked only for keys that are there. Who is sent elsewhere forgets, and asks anew.

    Not redis-py's RedisCluster: it connects as soon as it is made, asks a server which keys each command of a pipeline
    has, and repeats by itself what may have been done. Here what is asked while its slot moves is refused for now.
    """

    def __init__(self, hosts: list[str], connect: Callable[[str], Server]) -> None:
        self._connect = connect
        self._nodes = {host: connect(host) for host in hosts}
        self._slots: Slots = []

    def at(self, key: str) -> Server:
        """The primary that has this key. Raises redis.ConnectionError."""
        slot = key_slot(key.encode())
        for first, last, node in self._slots or self._ask():
            if first <= slot <= last:
                return node
        raise redis.ConnectionError("no node has this slot")

    def primaries(self) -> list[Server]:
        return list(dict.fromkeys(node for _, _, node in self._slots or self._ask()))

    def forget(self) -> None:
        self._slots = []

    def close(self) -> None:
        for node in self._nodes.values():
            node.close()

    def _ask(self) -> Slots:
        for host, node in list(self._nodes.items()):
            untyped: Any = node
            try:
                found = untyped.execute_command("CLUSTER SLOTS")
            except redis.RedisError:
                # The others are asked first from now on.
                self._nodes[host] = self._nodes.pop(host)
                continue
            self._slots = [
                (first, last, self._node(f"{name or host.rpartition(':')[0]}:{port}"))
                for first, last, (name, port, *_), *_ in found
            ]
            return self._slots
        raise redis.ConnectionError("no node of the cluster answers")

    def _node(self, host: str) -> Server:
        if host not in self._nodes:
            self._nodes[host] = self._connect(host)
        return self._nodes[host]
