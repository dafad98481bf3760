"""Keeps parts running, and ends them in the reverse order of their start.

A part that ends before it was ready ends the start. One that ends later is started
again: at once the first time, then after longer and longer rests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from voicemesh.keeper import Keeper, Part, Reporter


class Supervisor:
    """Waves of parts: those of one wave start and end together."""

    def __init__(self, log_dir: Path, reporter: Reporter) -> None:
        """
        Args:
            log_dir: Gets one log file a part.
        """
        self._log_dir, self._reporter = log_dir, reporter
        self._stop, self._hurry = asyncio.Event(), asyncio.Event()
        self._waves: list[list[Keeper]] = []
        self._tasks: asyncio.TaskGroup | None = None

    def stop(self) -> bool:
        """Ask for the end. Asking again hurries it.

        Returns:
            Whether it had been asked for before.
        """
        again = self._stop.is_set()
        (self._hurry if again else self._stop).set()
        return again

    async def run(self, begin: Callable[[], Awaitable[None]]) -> None:
        """Run `begin`, then keep what it started until `stop`, then end it.

        Raises:
            Exception: what `begin` raised, when all that it had started has ended.
        """
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            beginning = tasks.create_task(_outcome(begin), name="begin")
            stopping = tasks.create_task(self._stop.wait(), name="stop")
            await asyncio.wait({beginning, stopping}, return_when=asyncio.FIRST_COMPLETED)
            error = beginning.result() if beginning.done() else None
            if error is None:
                await stopping
            stopping.cancel()
            beginning.cancel()
            await asyncio.wait({beginning})
            await self._end()
        if error is not None:
            raise error

    async def start(self, *waves: Sequence[Part]) -> None:
        """Start all parts at once and wait until all are ready.

        Args:
            waves: In the order of their start; only their end has an order.

        Raises:
            PartFailed: one ended before it was ready.
        """
        assert self._tasks is not None, "only inside `run`"
        new: list[Keeper] = []
        for wave in waves:
            keepers = [Keeper(part, self._log_dir, self._reporter) for part in wave]
            self._waves.append(keepers)
            new += keepers
            for keeper in keepers:
                self._tasks.create_task(keeper.run(), name=keeper.part.name)
        if new:
            waiting = {keeper.started for keeper in new}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_EXCEPTION)
        for keeper in new:
            if keeper.started.done():
                keeper.started.result()

    async def _end(self) -> None:
        for wave in reversed(self._waves):
            async with asyncio.TaskGroup() as ends:
                for keeper in wave:
                    ends.create_task(keeper.stop(self._hurry), name=f"end {keeper.part.name}")


async def _outcome(begin: Callable[[], Awaitable[None]]) -> Exception | None:
    """What `begin` raised: the parts end in order before anybody hears of it."""
    try:
        await begin()
    except Exception as error:  # noqa: BLE001 - it is raised again when they have ended
        return error
    return None
