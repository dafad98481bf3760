"""The replies that one connection has under way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace

from gateway import garbage, metrics, reply
from gateway.guesses import Guesses
from gateway.realtime import signals as sig
from gateway.realtime.effects import Effect, StartReply
from gateway.realtime.session import Session
from gateway.reply import Audience, Stage

_IDLE = metrics.CANCEL.labels("idle")


class Replies:
    """Tasks by response id."""

    __slots__ = ("_guesses", "_running", "_stage")

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._guesses = Guesses(stage.backends) if stage.speculates else None
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
        rid, stage = start.response_id, self._stage
        if self._guesses is not None and (guess := self._guesses.take(start)):
            stage = replace(stage, ask=guess.adopt)
        task = tasks.create_task(reply.run(start, stage, audience), name=rid)
        self._running[rid] = task
        task.add_done_callback(self._forget)
        task.add_done_callback(garbage.forget_cancelled)

    def see(self, news: sig.Signal, session: Session, tasks: asyncio.TaskGroup) -> None:
        """News of the mesh, before the session is told: a reply may be begun for what seems to
        be said."""
        if self._guesses is not None:
            self._guesses.see(news, session, tasks)

    def stop(self, response_id: str) -> None:
        """Stop one, if it runs."""
        if (task := self._running.pop(response_id, None)) is not None:
            began_s = time.monotonic()
            task.add_done_callback(lambda _: _IDLE.observe(time.monotonic() - began_s))
            task.cancel()

    def stop_all(self) -> None:
        """They go on elsewhere."""
        for task in self._running.values():
            task.cancel()
        self._running = {}

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._running = {rid: live for rid, live in self._running.items() if live is not task}
