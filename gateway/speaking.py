"""The replies that one connection has under way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from gateway import garbage, reply
from gateway.realtime.effects import Effect, StartReply
from gateway.reply import Audience, Stage


class Replies:
    """Tasks by response id."""

    __slots__ = ("_running", "_stage")

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._running: dict[str, asyncio.Task[None]] = {}

    def __bool__(self) -> bool:
        """Whether any runs."""
        return bool(self._running)

    def start(
        self, effects: Iterable[Effect], tasks: asyncio.TaskGroup, audience: Audience
    ) -> None:
        """Start those that are to be. Do it before all else that is to be done: tasks run in the
        order in which they were started, and to keep and to send things takes its time."""
        for effect in effects:
            if isinstance(effect, StartReply):
                self._start(effect, tasks, audience)

    def _start(self, start: StartReply, tasks: asyncio.TaskGroup, audience: Audience) -> None:
        rid = start.response_id
        task = tasks.create_task(reply.run(start, self._stage, audience), name=rid)
        self._running[rid] = task
        task.add_done_callback(self._forget)
        task.add_done_callback(garbage.forget_cancelled)

    def stop(self, response_id: str) -> None:
        """Stop one, if it runs."""
        if response_id in self._running:
            self._running.pop(response_id).cancel()

    def stop_all(self) -> None:
        for response_id in list(self._running):
            self.stop(response_id)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._running = {rid: live for rid, live in self._running.items() if live is not task}
