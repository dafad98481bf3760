"""The workers of one tier, as those who call it see them.

    pool = Pool("stt", ["127.0.0.1:50051"], Registry(redis, "stt"))
    ...                                  # `pool.run()` in a task
    worker = pool.pick()                 # raises Unavailable or Overloaded
    stub = worker.stub(SttServiceStub)

Redis says who there is; whether one lives, only its own connection does. So a list that cannot
be read, or is empty for a moment, takes nobody away, and a worker that dies is out of view
within milliseconds. Those that settings name are always members: to begin with, and when Redis
is away.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from typing import TypeVar

from redis.exceptions import RedisError

from mesh.call import RETRY_AFTER_S
from mesh.errors import MeshError, Overloaded, Unavailable
from mesh.registry import EVERY_S, Registry
from mesh.stream import stop_if_cancelled
from mesh.worker import LOOK_S, Worker

R = TypeVar("R")

_UNREAD_OFTEN = 3  # in a row: worth a warning

log = logging.getLogger(__name__)


class Pool:
    def __init__(
        self,
        tier: str,
        targets: Sequence[str],
        registry: Registry | None = None,
        *,
        every_s: float = EVERY_S,
        chance: random.Random | None = None,
    ) -> None:
        """
        Args:
            tier: Its name in errors and logs, e.g. "stt".
            targets: gRPC targets that are always members, e.g. `dns:///stt:50051`.
            registry: Where more of them are listed.
            every_s: How often it is read.
        """
        self.tier, self._registry, self._every_s = tier, registry, every_s
        self._chance = chance or random.Random()
        self._workers = {target: Worker(tier, target, is_static=True) for target in targets}
        self._tasks: asyncio.TaskGroup | None = None
        self._unread = 0  # how often in a row the list could not be read

    @property
    def workers(self) -> Collection[Worker]:
        """All that are known."""
        return self._workers.values()

    @property
    def serving(self) -> bool:
        """Whether there is one that serves."""
        return any(worker.serving for worker in self.workers)

    @property
    def n_usable(self) -> int:
        """How many a call could go to now, if they are not full."""
        return len(self._view())

    @property
    def is_deserted(self) -> bool:
        """Whether no worker's process answers, not even that it cannot serve now."""
        return not any(worker.serving or worker.answers for worker in self.workers)

    @property
    def is_full(self) -> bool:
        """Whether every usable worker says that it takes nothing more."""
        view = self._view()
        return bool(view) and all(worker.is_full for worker in view)

    def pick(self, avoid: Collection[Worker] = ()) -> Worker:
        """The less full one of two random usable workers. Open the call at once: it counts.

        Why not the least full of all: what is known of them is up to a second old, and all
        gateways would go to the same one.

        Args:
            avoid: Those that have just failed.

        Raises:
            Overloaded: every usable one is full.
            Unavailable: there is none.
        """
        found = self._candidates(avoid)
        free = [worker for worker in found if not worker.is_full]
        if found and not free:
            raise Overloaded("every worker is full", tier=self.tier, retry_after_s=RETRY_AFTER_S)
        if not free:
            rest_s = self._rest_s()
            why = "the breaker is open" if rest_s else "there is none that can be called"
            raise Unavailable(f"no worker: {why}", tier=self.tier, retry_after_s=rest_s)
        two = self._chance.sample(free, min(2, len(free)))
        return min(two, key=lambda worker: worker.load)

    def has_other(self, avoid: Collection[Worker]) -> bool:
        """Whether one that serves has room, besides these."""
        return any(w.in_view and not w.is_full for w in self._candidates(avoid))

    async def ask(self, call: Callable[[Worker], Awaitable[R]]) -> R:
        """Make a call that may be repeated: if a worker cannot take it, another one gets it.

        Raises:
            MeshError: what it failed with in the end.
        """
        worker = self.pick()
        try:
            with worker.calling():
                return await call(worker)
        except MeshError as error:
            if not error.retryable or not self.has_other([worker]):
                raise
        other = self.pick(avoid=[worker])
        with other.calling():
            return await call(other)

    async def run(self) -> None:
        """Keep the view, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for worker in self.workers:
                self._welcome(worker)
            tasks.create_task(self._look_on(), name=f"look at {self.tier}")
            if self._registry is not None:
                tasks.create_task(self._read_on(self._registry), name=f"list {self.tier}")

    async def close(self) -> None:
        """Afterwards no worker can be called."""
        for worker in self.workers:
            await worker.close()

    def _candidates(self, avoid: Collection[Worker]) -> list[Worker]:
        """Whom to call; while nobody is in view, who may be there all the same."""
        view = self._view()
        if not view:
            now_s = time.monotonic()
            view = [w for w in self.workers if not w.breaker.rest_s(now_s)]
        names = {worker.name for worker in avoid}
        return [worker for worker in view if worker.name not in names]

    def _view(self) -> list[Worker]:
        """Those that serve, each process once."""
        now_s = time.monotonic()
        found = [w for w in self.workers if w.in_view and not w.breaker.rest_s(now_s)]
        return list({worker.name: worker for worker in found}.values())

    def _rest_s(self) -> float | None:
        now_s = time.monotonic()
        return min((worker.breaker.rest_s(now_s) for worker in self.workers), default=0) or None

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            for worker in self.workers:
                worker.look()
            for worker in self._stuck():
                worker.lose(Unavailable("the worker hangs", tier=self.tier))

    def _stuck(self) -> Iterator[Worker]:
        """Those that hang while there are others. Alone, one may as well be waited for: if it
        is dead, its connection will break."""
        if self._view():
            yield from (worker for worker in self.workers if worker.hangs)

    async def _read_on(self, registry: Registry) -> None:
        while True:
            await self._read(registry)
            stop_if_cancelled()
            await asyncio.sleep(self._every_s)

    async def _read(self, registry: Registry) -> None:
        try:
            listed = await registry.list()
        except (RedisError, OSError, TimeoutError) as error:
            self._unread += 1
            if self._unread == _UNREAD_OFTEN:
                reason = type(error).__name__
                log.warning("list is stale", extra={"tier": self.tier, "reason": reason})
            return
        if self._unread >= _UNREAD_OFTEN:
            log.info("list is read again", extra={"tier": self.tier})
        self._unread = 0
        self._take(listed)

    def _take(self, listed: Mapping[str, Mapping[str, str]]) -> None:
        """Who is new is called from now on; who is gone for good is let go."""
        found = {fields["address"]: id_ for id_, fields in listed.items() if fields.get("address")}
        for address in found.keys() - self._workers.keys():
            log.info("worker found", extra={"tier": self.tier, "worker": address})
            self._workers[address] = Worker(self.tier, address)
            self._welcome(self._workers[address])
        for address, worker in list(self._workers.items()):
            worker.is_listed = address in found
            if worker.is_listed:
                worker.listed_as(found[address], listed[found[address]])
            elif not (worker.is_static or worker.serving):
                log.info("worker gone", extra={"tier": self.tier, "worker": address})
                del self._workers[address]
                worker.leave()

    def _welcome(self, worker: Worker) -> None:
        assert self._tasks is not None, "only inside `run`"
        self._tasks.create_task(worker.run(), name=f"{self.tier} {worker.target}")
