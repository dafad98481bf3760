"""Threads for model code, so that the event loop never waits for a model."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Generic, TypeVar

from mesh.errors import Overloaded, Unavailable

T = TypeVar("T")


class ModelThreads:
    """A bounded queue in front of a few threads. Work that finds it full is refused at once."""

    def __init__(self, name: str, threads: int = 1, max_waiting: int = 64) -> None:
        """
        Args:
            name: Begins the threads' names.
            max_waiting: Pieces of work that may wait for a free thread.
        """
        self._name, self._threads = name, threads
        self._limit = threads + max_waiting
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._taken = 0  # running or waiting
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """Pieces of work that wait for a thread."""
        return max(0, self._taken - self._threads)

    @property
    def busy(self) -> int:
        """Threads at work."""
        return min(self._taken, self._threads)

    async def run(self, work: Callable[..., T], *args: object) -> T:
        """Call `work(*args)` on a model thread. Cancelled while it waits, it never runs.

        Raises:
            Overloaded: too much waits already.
            Unavailable: the threads are closed, now or while it waited.
        """
        call = asyncio.wrap_future(self._submit(work, *args))
        try:
            # Not `await call`: that raises CancelledError also when `close` drops the work.
            await asyncio.wait({call})
            return _result(call)
        finally:
            call.cancel()  # drops it if it still waits

    def stream(self, make: Callable[[], Iterator[T]]) -> AsyncGenerator[T]:
        """Iterate `make()` on a model thread, as fast as it goes.

        It does not wait for a slow reader, since the thread is everyone's: keep what one
        iterator gives small (a sentence). Closing the stream stops it between two items.

        Raises:
            Overloaded: too much waits already.
            Unavailable: the threads are closed, now or while it waited.
            Exception: whatever the iterator raises.
        """
        return _Stream(self._submit, make).items()

    async def close(self) -> None:
        """Let running work end, drop what waits."""
        await asyncio.get_running_loop().run_in_executor(None, self._shut_down)

    def _shut_down(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self, work: Callable[..., T], *args: object) -> Future[T]:
        with self._lock:
            if self._taken >= self._limit:
                raise Overloaded(f"{self._name}: {self.waiting} pieces of work wait already")
            self._taken += 1
        try:
            future = self._pool.submit(contextvars.copy_context().run, _call, work, *args)
        except RuntimeError as error:  # shut down
            self._release(None)
            raise Unavailable(f"{self._name}: closed") from error
        future.add_done_callback(self._release)
        return future

    def _release(self, _: object) -> None:
        with self._lock:
            self._taken -= 1


class _End:
    """Stands behind the last item of a stream."""


_END: Final = _End()


class _Stream(Generic[T]):
    """What one iterator gives, brought from its thread to the event loop."""

    def __init__(
        self, submit: Callable[..., Future[None]], make: Callable[[], Iterator[T]]
    ) -> None:
        self._submit, self._make = submit, make
        self._stopped = threading.Event()
        self._items: asyncio.Queue[T | _End] = asyncio.Queue()

    async def items(self) -> AsyncGenerator[T]:
        loop = asyncio.get_running_loop()
        done = asyncio.wrap_future(self._submit(self._produce, loop))
        # However it ends. It comes behind the items: the loop calls in the order it was asked.
        done.add_done_callback(lambda _: self._items.put_nowait(_END))
        try:
            while not isinstance(item := await self._items.get(), _End):
                yield item
            _result(done)
        finally:
            self._stopped.set()
            done.cancel()  # drops it if it still waits; what runs sees `stopped`

    def _produce(self, loop: asyncio.AbstractEventLoop) -> None:
        iterator = self._make()
        try:
            for item in iterator:
                if self._stopped.is_set():
                    return
                loop.call_soon_threadsafe(self._items.put_nowait, item)
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()


def _call(work: Callable[..., T], *args: object) -> T:
    try:
        return work(*args)
    except StopIteration as error:  # a future cannot carry it: its awaiter would wait forever
        raise RuntimeError("work raised StopIteration") from error


def _result(ended: asyncio.Future[T]) -> T:
    if ended.cancelled():
        raise Unavailable("closed before the work began")
    return ended.result()
