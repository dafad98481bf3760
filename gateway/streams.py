"""A bidirectional call whose reads outlive their reader.

Why: cancelling a task in the middle of a gRPC read cancels the whole call, and leaks in
grpcio (#43360). So one task reads each call to its end, into a queue; who listens to the
queue can be cancelled at will, and the call is ended in-band: the cancel message first,
RPC cancellation only if no answer comes in time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import grpc

from mesh.dial import Link
from mesh.errors import Broken, MeshError, Unavailable, from_rpc

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
        self, link: Link, dial: Callable[[], StreamStreamCall[Req, Res]], tasks: asyncio.TaskGroup
    ) -> None:
        """
        Args:
            dial: Starts the call; it is not started while the breaker is open.
            tasks: Outlives the call; the reading task lives in it.

        Raises:
            Unavailable: the link's breaker is open.
        """
        link.check()
        self._link, self._call = link, dial()
        self._writing = asyncio.Lock()  # gRPC breaks the call when two tasks write at once
        self._news: asyncio.Queue[Res | Exception | None] = asyncio.Queue()
        self._ended_by: grpc.aio.AioRpcError | None = None
        self._is_told = False
        self._pump = tasks.create_task(self._read(), name=f"{link.tier} stream")

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

    async def __aiter__(self) -> AsyncIterator[Res]:
        """What the peer sends. The queue has no bound of its own: audio has credit, words and
        recognition are small and as slow as their model.

        Raises:
            MeshError: the call failed.
        """
        while (news := await self._news.get()) is not None:
            if isinstance(news, Exception):
                raise self._tell(self._ours(news)) from news
            self._link.answered()
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
        finally:
            self._call.cancel()

    def _why(self, error: Exception) -> MeshError:
        """Why a write failed: gRPC itself only says that it did."""
        if self._ended_by is not None:
            return self._ours(self._ended_by)
        return Unavailable(f"the stream has ended: {type(error).__name__}", tier=self._link.tier)

    def _tell(self, error: MeshError) -> MeshError:
        """Count a failure of the call against the peer, once, wherever it shows first."""
        if not self._is_told:
            self._is_told = True
            self._link.failed(error)
        return error

    def _ours(self, error: Exception) -> MeshError:
        if not isinstance(error, grpc.aio.AioRpcError):
            return Broken("reading the stream failed", tier=self._link.tier)
        if error.details() == _LOST_STATUS:
            return Unavailable("the stream ended while it was written to", tier=self._link.tier)
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
