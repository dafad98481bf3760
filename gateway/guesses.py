"""The model is asked before the user has ended, and waits with its answer until it is known
whether the question was right ("speculative start"). Else it is dropped: nobody heard of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from gateway import garbage, metrics
from gateway.backends import Backends, Thought
from gateway.realtime import signals as sig
from gateway.realtime.effects import StartReply
from gateway.realtime.guessing import agree, alike, guess
from gateway.realtime.session import Session
from mesh.errors import MeshError, first_of

MOST_WAITING = 200  # thoughts; a model that has thought so far waits for its question


class Guess:
    """A model at work on what may be the question."""

    def __init__(self, start: StartReply, backends: Backends) -> None:
        self.start, self._backends = start, backends
        self._news: asyncio.Queue[Thought | MeshError | None] = asyncio.Queue(MOST_WAITING)
        self._task: asyncio.Task[None] | None = None
        self.has_failed = False

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        self._task = tasks.create_task(self._run(), name="guess")
        self._task.add_done_callback(garbage.forget_cancelled)

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    @asynccontextmanager
    async def adopt(self, start: StartReply) -> AsyncIterator[AsyncIterator[Thought]]:
        """Its thoughts are those of this reply. Leaving stops it."""
        try:
            yield self._thoughts(start.response_id)
        finally:
            self.stop()

    async def _run(self) -> None:
        try:
            async with self._backends.think(self.start) as thoughts:
                async for thought in thoughts:
                    await self._news.put(thought)
        except* MeshError as errors:
            self.has_failed = True
            await self._news.put(first_of(errors))
        else:
            await self._news.put(None)

    async def _thoughts(self, response_id: str) -> AsyncIterator[Thought]:
        while (news := await self._news.get()) is not None:
            if isinstance(news, MeshError):
                raise news
            yield replace(news, response_id=response_id)


class Guesses:
    """Of one session: one at a time."""

    __slots__ = ("_backends", "_guess", "_n", "_utterance")

    def __init__(self, backends: Backends) -> None:
        self._backends = backends
        self._guess: Guess | None = None
        self._utterance, self._n = "", 0

    def see(self, news: sig.Signal, session: Session, tasks: asyncio.TaskGroup) -> None:
        """Something was heard, of which the session is told next."""
        match news:
            case sig.Hypothesis():
                self._seems(news, session, tasks)
            case sig.SpeechStarted() | sig.NotTranscribed() | sig.EarsLost():
                self.drop()

    def take(self, start: StartReply) -> Guess | None:
        """The guess that is at work on just this; any other one is dropped."""
        found, self._guess = self._guess, None
        if found is None:
            return None
        is_right = not found.has_failed and agree(found.start, start)
        metrics.GUESSES.labels("right" if is_right else "wrong").inc()
        if is_right:
            return found
        found.stop()
        return None

    def drop(self) -> None:
        if self._guess is not None:
            metrics.GUESSES.labels("wrong").inc()
            self._guess.stop()
            self._guess = None

    def _seems(self, news: sig.Hypothesis, session: Session, tasks: asyncio.TaskGroup) -> None:
        if self._guess is not None:
            if alike(self._guess.start.context[-1].text, news.text):
                return
            self.drop()  # there was more to say
        start = guess(session, news)
        if start is not None:
            self._n += 1
            self._guess = Guess(replace(start, response_id=f"guess_{self._n}"), self._backends)
            self._guess.begin(tasks)
