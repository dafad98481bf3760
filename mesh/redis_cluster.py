"""A client of a Redis Cluster that goes on where a shard is away.

redis-py's own pipeline takes the whole cluster for away when one node is: it closes all
connections, also those that others wait on, and starts over. And a part of its errors are no
RedisError, so that whoever waits for Redis to come back would fall over them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio.cluster import ClusterNode, ClusterPipeline, PipelineCommand, RedisCluster
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ConnectionError,
    RedisClusterException,
    RedisError,
    ResponseError,
    SlotNotCoveredError,
    TimeoutError,
    TryAgainError,
)

_AT_ONCE = 64  # commands; each takes a connection
_LOOK_EVERY_S = 0.1  # at the topology, while something is wrong with it: it costs reconnects
_SHUNNED_S = 0.5  # how long a node that hung is not waited for again

_LOOK_AGAIN = (AskError, ClusterDownError, TryAgainError, ConnectionError, OSError)


@dataclass(frozen=True, slots=True)
class Command:
    """A command on one key, or on several of one slot."""

    key: str
    args: tuple[Any, ...]


class _Pipeline(ClusterPipeline):
    """Its failures are RedisErrors."""

    async def execute(self, *args: Any, **kwargs: Any) -> list[Any]:
        try:
            return await super().execute(*args, **kwargs)
        except SlotNotCoveredError as error:
            raise ConnectionError(str(error)) from error


class Cluster(RedisCluster):
    """All its failures are RedisErrors, and too many commands wait instead of fail."""

    def __init__(self, nodes: list[ClusterNode], *, max_connections: int, **options: Any) -> None:
        super().__init__(
            startup_nodes=nodes,
            require_full_coverage=False,
            max_connections=max_connections + _AT_ONCE,
            reinitialize_steps=0,  # that closes all connections: what moved is asked for one by one
            **options,
        )
        self._free = asyncio.Semaphore(_AT_ONCE)
        self._looked_at_s = 0.0
        self._last_failed: str | None = None
        self._shunned: dict[str, float] = {}  # node → until when, monotonic

    async def initialize(self, *args: Any, **kwargs: Any) -> Cluster:
        with _as_redis_error():
            await super().initialize(*args, **kwargs)
        return self

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        async with self._free:
            try:
                return await super().execute_command(*args, **kwargs)
            except SlotNotCoveredError as error:
                raise ConnectionError(str(error)) from error

    def pipeline(self, transaction: bool | None = None, shard_hint: None = None) -> ClusterPipeline:
        return _Pipeline(self, transaction)  # type: ignore[abstract]

    async def __aenter__(self) -> Cluster:
        return self  # it connects at first use, as other clients do

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await super().aclose()
        known = [*self.nodes_manager.nodes_cache.values(), *self.startup_nodes]
        for node in [*known, *self.nodes_manager.startup_nodes.values()]:
            await node.disconnect()  # it closes nothing where it was about to look again

    async def each(self, commands: Sequence[Command]) -> list[Any]:
        """See mesh.redis.each."""
        answers: list[Any] = [None] * len(commands)
        await self.initialize()
        left = await self._send(commands, range(len(commands)), answers)
        if left:
            await self._look()
            left = await self._send(commands, left, answers)
        for n in left:
            if type(answers[n]) in (AskError, TryAgainError):  # its slot is on its way
                answers[n] = await self._ask(commands[n])
        return answers

    async def _send(
        self, commands: Sequence[Command], which: Iterable[int], answers: list[Any]
    ) -> list[int]:
        """Send these commands to where their slots should be; returns those to try again."""
        by_node: dict[ClusterNode, list[int]] = {}
        for n in which:
            try:
                by_node.setdefault(self._node(commands[n].key), []).append(n)
            except ConnectionError as error:
                answers[n] = error
        async with asyncio.TaskGroup() as tasks:
            for node, numbers in by_node.items():
                mine = [PipelineCommand(n, *commands[n].args) for n in numbers]
                tasks.create_task(self._send_to(node, mine, answers), name="redis node")
        return [n for n in which if isinstance(answers[n], _LOOK_AGAIN)]

    def _node(self, key: str) -> ClusterNode:
        try:
            node = self.nodes_manager.get_node_from_slot(self.keyslot(key))
        except SlotNotCoveredError as error:
            raise ConnectionError(str(error)) from error
        if time.monotonic() < self._shunned.get(node.name, 0.0):
            raise ConnectionError(f"{node.name} hung a moment ago")
        return node

    async def _send_to(
        self, node: ClusterNode, commands: list[PipelineCommand], answers: list[Any]
    ) -> None:
        broken: Exception | None = None
        async with self._free:
            try:
                await node.execute_pipeline(commands)
            except (RedisError, OSError) as error:
                broken = error
        for command in commands:
            answer = command.result if broken is None else broken
            if isinstance(answer, Exception) and not isinstance(answer, ResponseError):
                broken = answer  # all that follow would have come over the same connection
            answers[command.position] = answer
        if broken is not None:
            if isinstance(broken, TimeoutError):
                self._shunned[node.name] = time.monotonic() + _SHUNNED_S
            node.update_active_connections_for_reconnect()
            await node.disconnect_free_connections()
            self._last_failed = node.name

    async def _look(self) -> None:
        """Ask where the slots are now, unless that was just done."""
        now_s = time.monotonic()
        if now_s - self._looked_at_s > _LOOK_EVERY_S:
            self._looked_at_s = now_s
            with _as_redis_error():
                await self.nodes_manager.initialize(last_failed_node_name=self._last_failed)

    async def _ask(self, command: Command) -> Any:
        try:
            return await self.execute_command(*command.args)
        except (RedisError, OSError) as error:
            return error


@contextmanager
def _as_redis_error() -> Iterator[None]:
    """No node answers, or one that does knows of no others (IndexError)."""
    try:
        yield
    except (RedisClusterException, IndexError) as error:
        raise ConnectionError(f"no node of the cluster answers: {error}") from error
