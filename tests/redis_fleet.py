"""Redis that survives the death of a node: a Sentinel fleet and a Cluster, to be shot at.

Both are started once for all tests, from the `redis-server` of this machine, in about three
seconds. A test that takes `sentinel_fleet` or `cluster_fleet` has it whole and empty.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis
from redis.crc import key_slot

from tests.ports import free_ports
from voicemesh import child

PASSWORD = "of-the-fleet"
SERVICE = "mesh"
LIMIT_S = 30.0

_SETTINGS = {
    "bind": "127.0.0.1",
    "requirepass": PASSWORD,
    "masterauth": PASSWORD,
    "save": '""',
    "appendonly": "no",
    "repl-diskless-sync-delay": "0",
    "repl-ping-replica-period": "1",
    "set-proc-title": "no",
}
_OF_CLUSTER = {
    "cluster-enabled": "yes",
    "cluster-config-file": "nodes.conf",
    "cluster-node-timeout": "2000",
    "cluster-replica-validity-factor": "0",
    "cluster-require-full-coverage": "no",
    "cluster-allow-pubsubshard-when-down": "yes",
}


class Node:
    """One process: a Redis or a sentinel."""

    def __init__(self, folder: Path, port: int, settings: dict[str, Any], *options: str) -> None:
        self.port, self._options = port, options
        self._folder = folder / str(port)
        self._folder.mkdir()
        lines = {"port": port, "dir": f'"{self._folder}"', **settings}
        self._file = self._folder / "redis.conf"
        self._file.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        server = ["redis-server", str(self._file), *self._options]
        command = child.dying_with_us(server, signal.SIGKILL)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def hang(self) -> None:
        """It keeps its connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, what: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(what)

    def ask(self, *command: Any) -> Any:
        """One command to this node and no other."""
        client = redis.Redis(port=self.port, password=PASSWORD, socket_timeout=1, protocol=2)
        with contextlib.closing(client):
            return client.execute_command(*command)  # type: ignore[no-untyped-call]

    def role(self) -> str:
        """master, slave, or empty where nobody answers."""
        try:
            return str(self.ask("INFO", "replication")["role"])
        except redis.RedisError:
            return ""

    def has(self, slot: int) -> bool:
        """Whether this node of a cluster says that a slot is its own."""
        with contextlib.suppress(redis.RedisError):
            for first, last, primary, *_ in self.ask("CLUSTER SLOTS"):
                if first <= slot <= last:
                    return bool(primary[1] == self.port)
        return False

    def answers(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(self.ask("PING"))
        return False


class Fleet(ABC):
    """Nodes of which some are primaries."""

    url: str
    nodes: list[Node]
    others: list[Node]
    """Processes without data."""

    @abstractmethod
    def primary_of(self, key: str) -> Node:
        """The node that takes writes of a key."""

    @abstractmethod
    def is_whole(self) -> bool:
        """Whether all are there, and have found each other."""

    def heal(self) -> None:
        """Start what was killed, wake what hangs, and wait until all is as it should be."""
        self._start()
        until(self.is_whole)

    def _start(self) -> None:
        for node in [*self.nodes, *self.others]:
            if node.is_running:
                node.wake()
            else:
                node.start()

    def empty(self) -> None:
        for node in self.nodes:
            if node.role() == "master":
                node.ask("FLUSHALL")

    def end(self) -> None:
        for node in [*self.nodes, *self.others]:
            node.kill()


class SentinelFleet(Fleet):
    """One primary, two replicas, three sentinels."""

    def __init__(self, folder: Path) -> None:
        ports = free_ports(6)
        first = Node(folder, ports[0], _SETTINGS)
        copies = {**_SETTINGS, "replicaof": f"127.0.0.1 {first.port}"}
        self.nodes = [first, *(Node(folder, port, copies) for port in ports[1:3])]
        watching = {
            "bind": "127.0.0.1",
            "requirepass": PASSWORD,
            "sentinel monitor": f"{SERVICE} 127.0.0.1 {first.port} 2",
            "sentinel auth-pass": f"{SERVICE} {PASSWORD}",
            "sentinel sentinel-pass": PASSWORD,
            "sentinel down-after-milliseconds": f"{SERVICE} 1000",
            "sentinel failover-timeout": f"{SERVICE} 5000",
        }
        self.others = [Node(folder, port, watching, "--sentinel") for port in ports[3:]]
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports[3:])
        self.url = f"redis+sentinel://:{PASSWORD}@{hosts}/{SERVICE}/0?sentinel_password={PASSWORD}"

    def begin(self) -> None:
        for node in self.nodes:
            node.start()
        until(lambda: all(node.answers() for node in self.nodes))
        self.heal()

    def primary_of(self, key: str) -> Node:
        [_, port] = self.others[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next(node for node in self.nodes if node.port == int(port))

    def heal(self) -> None:
        self._start()
        until(self._follows)
        until(self.is_whole)

    def _follows(self) -> bool:
        """Tell a former primary whom to follow: the sentinels take ten seconds to."""
        with contextlib.suppress(redis.RedisError, StopIteration):
            primary = self.primary_of("")
            for node in self.nodes:
                if node is not primary and node.role() == "master" and primary.role() == "master":
                    node.ask("REPLICAOF", "127.0.0.1", primary.port)
            return all((node.role() == "master") == (node is primary) for node in self.nodes)
        return False

    def is_whole(self) -> bool:
        try:
            states = [_pairs(node.ask("SENTINEL", "MASTER", SERVICE)) for node in self.others]
            info = self.primary_of("").ask("INFO", "replication")
            copies = [_pairs(raw) for raw in self.others[0].ask("SENTINEL", "REPLICAS", SERVICE)]
        except redis.RedisError:
            return False
        return (
            all((s["flags"], s["num-other-sentinels"]) == ("master", "2") for s in states)
            and len({s["port"] for s in states}) == 1
            and info["role"] == "master"
            and all(info.get(f"slave{n}", {}).get("state") == "online" for n in range(2))
            and sorted(copy["flags"] for copy in copies) == ["slave", "slave"]
        )


class ClusterFleet(Fleet):
    """Three primaries with a replica each."""

    def __init__(self, folder: Path) -> None:
        ports = free_ports(12)  # of each node, and of its bus
        self.nodes = [
            Node(folder, port, {**_SETTINGS, **_OF_CLUSTER, "cluster-port": bus})
            for port, bus in zip(ports[:6], ports[6:], strict=True)
        ]
        self._buses = dict(zip(ports[:6], ports[6:], strict=True))
        self.others = []
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports[:6])
        self.url = f"redis+cluster://:{PASSWORD}@{hosts}"

    def begin(self) -> None:
        for node in self.nodes:
            node.start()
        until(lambda: all(node.answers() for node in self.nodes))
        first = self.nodes[0]
        for n, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
        for node, slots in zip(
            self.nodes, [(0, 5460), (5461, 10922), (10923, 16383)], strict=False
        ):
            node.ask("CLUSTER", "ADDSLOTSRANGE", *slots)
        for node in self.nodes[1:]:
            node.ask("CLUSTER", "MEET", "127.0.0.1", first.port, self._buses[first.port])
        for primary, copy in zip(self.nodes[:3], self.nodes[3:], strict=True):
            name = primary.ask("CLUSTER", "MYID")
            until(partial(_done, copy, "CLUSTER", "REPLICATE", name))
        self.heal()

    def primary_of(self, key: str) -> Node:
        """The node that says so of itself: others learn it later."""
        slot = key_slot(key.encode())
        owners: list[Node] = []

        def has_one() -> bool:
            masters = (node for node in self.nodes if node.role() == "master")
            owners.extend(node for node in masters if node.has(slot))
            return bool(owners)

        until(has_one)
        return owners[0]

    def is_whole(self) -> bool:
        roles: list[str] = []
        for node in self.nodes:
            try:
                state = node.ask("CLUSTER INFO")
                info = node.ask("INFO", "replication")
                lines = node.ask("CLUSTER NODES")
            except redis.RedisError:
                return False
            text = str(lines)
            if state["cluster_state"] != "ok" or state["cluster_known_nodes"] != "6":
                return False
            if "fail" in text or "handshake" in text:
                return False
            if info["role"] == "slave" and info["master_link_status"] != "up":
                return False
            roles.append(info["role"])
        return sorted(roles) == ["master"] * 3 + ["slave"] * 3


def _pairs(raw: Any) -> dict[str, str]:
    if isinstance(raw, dict):
        return {str(name): str(value) for name, value in raw.items()}
    words = [word.decode() if isinstance(word, bytes) else str(word) for word in raw]
    return dict(zip(words[::2], words[1::2], strict=True))


def _done(node: Node, *command: Any) -> bool:
    """Whether a command was taken; before they have met, nodes refuse it."""
    with contextlib.suppress(redis.ResponseError):
        node.ask(*command)
        return True
    return False


def until(condition: Callable[[], bool]) -> None:
    """Wait for what other processes do."""
    ends_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < ends_s, "the fleet does not get whole"
        time.sleep(0.05)


F = TypeVar("F", SentinelFleet, ClusterFleet)


@contextlib.contextmanager
def running(kind: type[F]) -> Iterator[F]:
    with tempfile.TemporaryDirectory() as folder:
        fleet = kind(Path(folder))
        try:
            fleet.begin()
            yield fleet
        finally:
            fleet.end()


@pytest.fixture(scope="session")
def _sentinel_fleet() -> Iterator[SentinelFleet]:
    with running(SentinelFleet) as fleet:
        yield fleet


@pytest.fixture(scope="session")
def _cluster_fleet() -> Iterator[ClusterFleet]:
    with running(ClusterFleet) as fleet:
        yield fleet


@pytest.fixture
def sentinel_fleet(_sentinel_fleet: SentinelFleet) -> SentinelFleet:
    """Whole and empty."""
    _sentinel_fleet.heal()
    _sentinel_fleet.empty()
    return _sentinel_fleet


@pytest.fixture
def cluster_fleet(_cluster_fleet: ClusterFleet) -> ClusterFleet:
    """Whole and empty."""
    _cluster_fleet.heal()
    _cluster_fleet.empty()
    return _cluster_fleet
