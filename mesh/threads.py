"""Threads for model code, so that the event loop never waits for a model.

Who comes next is decided when a thread is free, not before: see `fair_queue`. A thread that is
woken takes what comes first by then, and goes on until nothing is left for it. So one whose work
was cancelled, or taken by another, finds nothing to do.

Why spare threads come before the others with the processor, too: a crowd that keeps every core
busy makes all else take several times as long, the event loop included. Where there are spare
ones, the others are the last that the operating system lets run (on Linux, where a thread can
say so). Threads that a library makes of its own, as CTranslate2 does, are not ours to tell.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeVar

from mesh.crew import Crew
from mesh.errors import Overloaded, Unavailable
from mesh.fair_queue import FairQueue, Place, Turn
from mesh.utilisation import Utilisation

T = TypeVar("T")

ANY_TURN = Turn()
LOCK_S = 0.0002
"""`sys.setswitchinterval` of a process with model threads: how long one that wants Python's lock
lets another keep it. A piece of speech takes it some ten times, and beside a busy event loop each
could take the default of 5 ms: 120 ms until the first audio of a clause instead of 3 (eSpeak)."""


class ModelThreads:
    """A bounded queue in front of a few threads. Work that finds it full is refused at once."""

    def __init__(
        self, name: str, threads: int = 1, max_waiting: int = 64, *, spare: int = 0
    ) -> None:
        """
        Args:
            name: Begins the threads' names.
            threads: As many as one tenant may keep at work.
            max_waiting: Pieces of work that may wait for a free thread.
            spare: Threads beyond those, for other tenants: whoever has nothing at work then
                shares the processor at once, instead of waiting for a long piece to end.
        """
        self._name, self._threads = name, threads
        self._limit = threads + max_waiting
        self._usual = Crew(name, threads, yields=spare > 0)
        self._spare = Crew(f"{name}-spare", spare) if spare else None
        self._spare_free = spare
        self._running: Counter[str] = Counter()
        self._queue = FairQueue[_Call]()
        self._use = Utilisation(threads, time.monotonic())
        self._taken = 0  # running or waiting
        self._is_closed = False
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """Pieces of work that wait for a thread."""
        return max(0, self._taken - self._threads)

    @property
    def busy(self) -> int:
        """Threads at work."""
        return min(self._taken, self._threads)

    @property
    def free(self) -> int:
        """Threads that would begin at once."""
        return max(0, self._threads - self._taken)

    @property
    def utilisation(self) -> float:
        """The share of the threads' time that was work, 0 to 1, over the last seconds."""
        with self._lock:
            return min(1.0, self._use.share(time.monotonic()))

    async def run(self, work: Callable[..., T], *args: object, turn: Turn = ANY_TURN) -> T:
        """Call `work(*args)` on a model thread. Cancelled while it waits, it never runs.

        Args:
            turn: When it comes, of all that waits.

        Raises:
            Overloaded: too much waits already.
            Unavailable: the threads are closed, now or while it waited.
        """
        call = asyncio.wrap_future(self._submit(turn, work, *args))
        try:
            # Not `await call`: that raises CancelledError also when `close` drops the work.
            await asyncio.wait({call})
            return _result(call)
        finally:
            call.cancel()  # drops it if it still waits

    def stream(
        self, make: Callable[[], Iterator[T]], *, turn: Turn = ANY_TURN
    ) -> AsyncGenerator[T]:
        """Iterate `make()` on a model thread, as fast as it goes.

        It does not wait for a slow reader, since the thread is everyone's: keep what one
        iterator gives small (a sentence). Closing the stream stops it between two items.

        Args:
            turn: When it begins, of all that waits.

        Raises:
            Overloaded: too much waits already.
            Unavailable: the threads are closed, now or while it waited.
            Exception: whatever the iterator raises.
        """
        return _Stream(partial(self._submit, turn), make).items()

    async def close(self) -> None:
        """Let running work end, drop what waits."""
        await asyncio.get_running_loop().run_in_executor(None, self._shut_down)

    def _shut_down(self) -> None:
        with self._lock:
            self._is_closed = True
        pools = [crew.pool for crew in (self._spare, self._usual) if crew is not None]
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            dropped = list(iter(self._queue.pop, None))
        for call in dropped:
            call.future.cancel()
        for pool in pools:
            pool.shutdown(wait=True)

    def _submit(self, turn: Turn, work: Callable[..., T], *args: object) -> Future[T]:
        future = Future[T]()
        call = _Call(
            turn.tenant, future, partial(contextvars.copy_context().run, _call, work, *args)
        )
        with self._lock:
            if self._is_closed:
                raise Unavailable(f"{self._name}: closed")
            if self._taken >= self._limit:
                raise Overloaded(f"{self._name}: {self.waiting} pieces of work wait already")
            self._taken += 1
            place = self._queue.push(call, turn)
            n_usual = self._usual.asks(1)
            n_spare = self._spare.asks(1) if self._spare is not None else 0
        future.add_done_callback(lambda _: self._release(place))
        try:
            self._wake(self._spare, n_spare)
            self._wake(self._usual, n_usual)
        except RuntimeError as error:  # shut down
            future.cancel()
            raise Unavailable(f"{self._name}: closed") from error
        return future

    def _wake(self, crew: Crew | None, n: int) -> None:
        for _ in range(n):
            assert crew is not None
            crew.pool.submit(self._next, crew)

    def _next(self, crew: Crew) -> None:
        """Do what comes next, and what had to wait until its tenant had less at work."""
        call = self._begun(crew)
        while call is not None:
            result = call.run() if call.future.set_running_or_notify_cancel() else None
            call = self._begun(crew, ended=call)
            if result is not None:
                result()

    def _begun(self, crew: Crew, ended: _Call | None = None) -> _Call | None:
        """The next one. In one go with the end of the last: a tenant who has more waiting is
        never one that has nothing at work."""
        is_spare = crew is self._spare
        others = self._usual if is_spare else self._spare
        with self._lock:
            now_s = time.monotonic()
            if ended is None:
                crew.asked -= 1
            else:
                self._use.ended(now_s)
                self._spare_free += is_spare
                self._running[ended.tenant] -= 1
                self._running += Counter()  # drops who has none
            call = self._queue.pop(partial(self._may_begin, is_spare))
            if call is not None:
                self._running[call.tenant] += 1
                self._spare_free -= is_spare
                self._use.began(now_s)
            changed = call is not None or ended is not None
            n = others.asks(len(self._queue)) if others is not None and changed else 0
        with suppress(RuntimeError):  # shut down
            self._wake(others, n)
        return call

    def _may_begin(self, is_spare: bool, call: _Call) -> bool:
        n_running = self._running[call.tenant]
        if is_spare:
            return not n_running and self._spare_free > 0
        return n_running < self._threads and (n_running > 0 or not self._spare_free)

    def _release(self, place: Place[_Call]) -> None:
        with self._lock:
            self._queue.drop(place)  # it is still there if it was cancelled
            self._taken -= 1


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    """Work that waits for a thread, and where its result goes."""

    tenant: str
    future: Future[Any]
    work: Callable[[], object]

    def run(self) -> Callable[[], None]:
        """Do the work. Returns: what tells whoever waits for it."""
        try:
            result = self.work()
        except BaseException as error:  # noqa: BLE001 - it is for who waits, whatever it is
            return partial(self.future.set_exception, error)
        return partial(self.future.set_result, result)


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
