"""Bidirectional calls whose reads outlive their reader, and who takes them.

Why: cancelling a task in the middle of a gRPC read cancels the whole call, and leaks in
grpcio (#43360). So one task reads each call to its end, into a queue; who listens to the
queue can be cancelled at will, and the call is ended in-band: the cancel message first,
RPC cancellation only if no answer comes in time.

A `Dial` opens the calls of one session or reply, each on another worker than those that failed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import grpc

from gateway import metrics
from mesh.dial import Link
from mesh.errors import Broken, Gone, MeshError, Unavailable, from_rpc
from mesh.pool import Pool
from mesh.worker import Worker

if TYPE_CHECKING:  # generic to the type checker only
    from grpc.aio import StreamStreamCall

# What grpcio 1.78 puts in place of a call's real status when the call ends under a write.
_LOST_STATUS = "Internal error from Core"
ANSWER_S = 0.1  # how long a peer may take to answer an in-band cancel

Req = TypeVar("Req")
Res = TypeVar("Res")

log = logging.getLogger(__name__)


class Stream(Generic[Req, Res]):
    """One call. Iterate it in one task, write from any; `stop` it in a `finally`."""

    def __init__(
        self,
        link: Link,
        dial: Callable[[], StreamStreamCall[Req, Res]],
        tasks: asyncio.TaskGroup,
        failed_s: float | None = None,
    ) -> None:
        """
        Args:
            dial: Starts the call; it is not started while the breaker is open.
            tasks: Outlives the call; the reading task lives in it.
            failed_s: When the call failed that this one replaces, `time.monotonic`.

        Raises:
            Unavailable: the link's breaker is open.
        """
        link.check()
        self._link, self._call = link, dial()
        self._writing = asyncio.Lock()  # gRPC breaks the call when two tasks write at once
        self._news: asyncio.Queue[Res | Exception | None] = asyncio.Queue()
        self._ended_by: grpc.aio.AioRpcError | None = None
        self._is_told = False
        self._lost: MeshError | None = None
        self.failed_s = failed_s
        """When it failed, or the one that it replaces, if it has not answered."""
        link.begin(self, self._lose)
        self._pump = tasks.create_task(self._read(), name=f"{link.tier} stream")
        self._pump.add_done_callback(lambda _: link.end(self))

    async def write(self, message: Req) -> None:
        """
        Raises:
            MeshError: the call has ended.
        """
        try:
            async with self._writing:
                await self._call.write(message)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            await asyncio.wait({self._pump}, timeout=ANSWER_S)  # it ended; its status says why
            raise self._tell(self._why(error)) from error
        except asyncio.CancelledError:  # so gRPC tells a writer that waits, when we give it up
            if _is_cancelled():
                raise
            if self._lost is None:  # `stop` did, which tells nothing about the peer
                raise Unavailable("the stream was given up", tier=self._link.tier) from None
            raise self._tell(self._lost) from None

    async def __aiter__(self) -> AsyncIterator[Res]:
        """What the peer sends. The queue has no bound of its own: audio has credit, words and
        recognition are small and as slow as their model.

        Raises:
            MeshError: the call failed.
        """
        while (news := await self._news.get()) is not None:
            if isinstance(news, Exception):
                raise self._tell(self._ours(news)) from news
            self._answered()
            yield news

    async def stop(self, *last: Req) -> None:
        """End the call: send `last`, give the peer a moment to answer, then cancel."""
        try:
            if not self._pump.done():
                async with asyncio.timeout(ANSWER_S), self._writing:  # a full window may block us
                    for message in last:
                        await self._call.write(message)
                    await self._call.done_writing()
                await asyncio.wait({self._pump}, timeout=ANSWER_S)
            if not self._pump.done():
                self._link.breaker.released()  # we leave it; that tells nothing about the peer
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError):
            pass  # it has ended by itself, or does not listen
        except asyncio.CancelledError:  # so gRPC tells of a call that was lost meanwhile
            if self._lost is None or _is_cancelled():
                raise
        finally:
            self._call.cancel()

    def _lose(self, error: MeshError) -> None:
        """Give the call up: nobody will answer it."""
        if not self._pump.done() and self._lost is None:
            self._lost = error
            self._news.put_nowait(error)
            self._call.cancel()

    def _answered(self) -> None:
        self._link.answered()
        if self.failed_s is not None:
            metrics.FAILOVER.labels(self._link.tier).observe(time.monotonic() - self.failed_s)
            self.failed_s = None

    def _why(self, error: Exception) -> MeshError:
        """Why a write failed: gRPC itself only says that it did."""
        if self._lost is not None:
            return self._lost
        if self._ended_by is not None:
            return self._ours(self._ended_by)
        return Gone(f"the stream has ended: {type(error).__name__}", tier=self._link.tier)

    def _tell(self, error: MeshError) -> MeshError:
        """Count a failure of the call against the peer, once, wherever it shows first."""
        if not self._is_told:
            self._is_told = True
            self._link.failed(error)
            if self.failed_s is None:
                self.failed_s = time.monotonic()
        return error

    def _ours(self, error: Exception) -> MeshError:
        if isinstance(error, MeshError):
            return error
        if not isinstance(error, grpc.aio.AioRpcError):
            return Broken("reading the stream failed", tier=self._link.tier)
        if error.details() == _LOST_STATUS:
            return Gone("the stream ended while it was written to", tier=self._link.tier)
        return from_rpc(error, self._link.tier)

    async def _read(self) -> None:
        try:
            async for news in self._call:
                self._news.put_nowait(news)
            self._news.put_nowait(None)
        except grpc.aio.AioRpcError as error:
            self._ended_by = error
            self._news.put_nowait(error)
        except asyncio.CancelledError:  # the call was cancelled by us; nobody listens any more
            self._news.put_nowait(None)
        except Exception as error:  # a bug is this call's trouble, not that of all in the group
            log.exception("reading failed", extra={"tier": self._link.tier})
            self._news.put_nowait(error)


class Dial(Generic[Req, Res]):
    """Opens streams of one kind, one after the other: call it for the next one.

    A stream that replaces one that failed goes to a worker that has not been tried since the
    last `worked`, if there is one.
    """

    def __init__(
        self,
        pool: Pool,
        start: Callable[[Worker], StreamStreamCall[Req, Res]],
        tasks: asyncio.TaskGroup,
    ) -> None:
        """
        Args:
            start: Starts the call.
            tasks: Outlives the calls.
        """
        self._pool, self._start, self._tasks = pool, start, tasks
        self._tried: list[Worker] = []
        self._last: Stream[Req, Res] | None = None

    def __call__(self) -> Stream[Req, Res]:
        """
        Raises:
            Overloaded: every worker is full.
            Unavailable: there is none.
        """
        if self._tried and not self.has_other:
            self._tried = []  # they had their chance; so they get another one
        worker = self._pool.pick(self._tried)
        self._tried.append(worker)
        failed_s = self._last.failed_s if self._last is not None else None
        stream = Stream(worker, lambda: self._start(worker), self._tasks, failed_s)
        self._last = stream
        return stream

    @property
    def has_other(self) -> bool:
        """Whether the next stream can be had at once, on a worker that was not tried."""
        return self._pool.has_other(self._tried)

    @property
    def is_usable(self) -> bool:
        """Whether there is a worker to call, tried or not."""
        return self._pool.n_usable > 0

    @property
    def is_deserted(self) -> bool:
        """Whether there is not one process of a worker."""
        return self._pool.is_deserted

    def worked(self) -> None:
        """The newest stream does what it should: if it fails, all others may be tried again."""
        self._tried = self._tried[-1:]


def _is_cancelled() -> bool:
    """Whether it is this task that somebody cancels, and not a call of its."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
