"""Recognises the turns that wait in the queue, while this worker has room for them.

A turn has two attempts. A worker that dies uses one up, so that what kills workers kills two
of them and no more. What this worker has no room for, or cannot finish before it goes, is
given back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from redis.exceptions import RedisError

from mesh import log as logs
from mesh.errors import Broken, MeshError, Overloaded, Rejected, TooSlow, detail_of
from mesh.stream import stop_if_cancelled
from mesh.turns import Turns
from ovos.stt.v1 import stt_pb2 as pb
from stt_service import metrics
from stt_service.waiting import Taken, Waiting

ATTEMPTS = 2  # R5.6: retry once, then say that it failed
_ROOM_S = 0.05  # between looks for room
_AGAIN_S = 0.5
_MEASURE_S = 1.0
_LAST_S = 2.0  # to give back what we leave

log = logging.getLogger(__name__)

Recognise = Callable[[Taken], Awaitable[pb.Transcript]]


class Backlog:
    def __init__(
        self,
        waiting: Waiting,
        turns: Turns,
        recognise: Recognise,
        has_room: Callable[[], bool],
        *,
        at_a_time: int = 1,
    ) -> None:
        """
        Args:
            recognise: Its transcript; raises MeshError if there is none.
            has_room: Whether nobody who is on the line would wait for us.
            at_a_time: Turns that are recognised side by side.
        """
        self._waiting, self._turns, self._recognise = waiting, turns, recognise
        self._has_room, self._at_a_time = has_room, at_a_time
        self._is_well = True

    async def run(self) -> None:
        """Until cancelled. Redis may go and come back."""
        async with asyncio.TaskGroup() as tasks:
            for n in range(self._at_a_time):
                tasks.create_task(self._forever(self._turn), name=f"turns {n}")
            tasks.create_task(self._forever(self._measure), name="measure turns")

    async def _forever(self, work: Callable[[], Awaitable[None]]) -> None:
        must_join = True
        while True:
            try:
                if must_join:  # also after a Redis that lost its data came back
                    await self._waiting.join()
                    stop_if_cancelled()
                    must_join = False
                await work()
                self._says(is_well=True)
            except (RedisError, OSError, MeshError) as error:
                stop_if_cancelled()
                must_join = True
                self._says(is_well=False, why=type(error).__name__)
                await asyncio.sleep(_AGAIN_S)
            except Exception:  # a mistake of ours: it must not end the worker
                log.exception("turn failed inside")
                await asyncio.sleep(_AGAIN_S)
            stop_if_cancelled()

    async def _turn(self) -> None:
        while not self._has_room():  # noqa: ASYNC110 - it is asked, not told
            await asyncio.sleep(_ROOM_S)
        taken = await self._waiting.take_over() or await self._waiting.take()
        if taken is None:
            return
        with logs.bound(tenant_id=taken.tenant, session_id=taken.session_id):
            try:
                if self._has_room():
                    await self._serve(taken)
                else:  # somebody has come on the line while we waited for a turn
                    await self._waiting.give_back(taken, is_attempt=False)
            finally:  # what is still pending will be taken over, by us as well
                self._waiting.forget(taken)

    async def _serve(self, taken: Taken) -> None:
        """Bring it to its end, or to a second attempt."""
        try:
            transcript = await self._transcript(taken)
        except asyncio.CancelledError:
            await self._leave(taken)
            raise
        except Overloaded:
            await self._waiting.give_back(taken, is_attempt=False)
            await asyncio.sleep(_AGAIN_S)
        except MeshError as error:
            await self._failed(taken, error)
        else:
            if transcript is None:
                return log.warning("turn taken away", extra={"turn_id": taken.id})
            await self._finish(taken, pb.TurnResult(transcript=transcript), "done")

    async def _transcript(self, taken: Taken) -> pb.Transcript | None:
        """None if the turn is somebody else's by now.

        Raises:
            MeshError: it has none.
        """
        if taken.is_late:
            raise TooSlow("it waited for too long", tier="stt")
        if taken.attempt > ATTEMPTS:
            raise Broken(f"{ATTEMPTS} workers died of it", tier="stt")
        transcript, failure = None, None
        scope = asyncio.timeout(None)
        async with asyncio.TaskGroup() as tasks:
            staying = tasks.create_task(self._stay(taken, scope), name=f"stay {taken.id}")
            try:
                async with scope:
                    transcript = await self._recognise(taken)
            except (MeshError, RedisError, OSError) as error:  # a timeout is one, too
                failure = error
            finally:
                staying.cancel()
        if failure is not None and not scope.expired():
            raise failure  # out here, where it is not wrapped in a group
        return transcript

    async def _stay(self, taken: Taken, scope: asyncio.Timeout) -> None:
        """Say that we are at work; end it once somebody else is."""
        while True:
            await asyncio.sleep(self._waiting.idle_ms / 5000)
            try:
                is_ours = await self._waiting.stay(taken)
            except (RedisError, OSError):
                is_ours = True  # as far as one can tell
            stop_if_cancelled()
            if not is_ours:
                scope.reschedule(0)
                return

    async def _failed(self, taken: Taken, error: MeshError) -> None:
        is_final = isinstance(error, Rejected) or taken.is_late or taken.attempt >= ATTEMPTS
        told = {"turn_id": taken.id, "attempt": taken.attempt, "reason": error.detail}
        log.warning("turn failed", extra=told)
        if is_final:
            await self._finish(taken, pb.TurnResult(error=detail_of(error)), "failed")
        else:
            await self._waiting.give_back(taken, is_attempt=True)

    async def _finish(self, taken: Taken, result: pb.TurnResult, outcome: str) -> None:
        if await self._waiting.finish(taken, result):
            metrics.TURNS.labels(outcome).inc()
            log.info("turn over", extra={"turn_id": taken.id, "outcome": outcome})

    async def _leave(self, taken: Taken) -> None:
        """This worker goes away: the next one begins at once."""
        try:
            async with asyncio.timeout(_LAST_S):
                await self._waiting.give_back(taken, is_attempt=False)
        except (RedisError, OSError):
            log.warning("turn left behind", extra={"turn_id": taken.id})  # it will be taken over

    async def _measure(self) -> None:
        n, age_s = await self._turns.waiting()
        metrics.TURNS_WAITING.set(n)
        metrics.TURNS_AGE.set(age_s)
        stop_if_cancelled()
        await asyncio.sleep(_MEASURE_S)

    def _says(self, *, is_well: bool, why: str = "") -> None:
        if is_well != self._is_well:
            self._is_well = is_well
            log.log(
                logging.INFO if is_well else logging.WARNING,
                "queue of turns is back" if is_well else "queue of turns is away",
                extra={"reason": why},
            )


@asynccontextmanager
async def working(backlog: Backlog) -> AsyncIterator[None]:
    """It runs until the block ends, and gives back what it works on."""
    try:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(backlog.run(), name="backlog")
            try:
                yield
            finally:
                task.cancel()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None  # the block's own: ours ends with the process only
