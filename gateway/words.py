"""Words that a session waits for: of recordings, which are recognised here, of utterances that
could not be recognised, which wait in a queue until they can, and of those whose words may never
come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from gateway import metrics
from gateway.backends import Backends, TurnQueue, Unheard
from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.settings import RATE_HZ
from gateway.told import told
from mesh.errors import MeshError, Overloaded, TooSlow, Unavailable

MOST_AT_A_TIME = 2  # recordings of one session: the recognisers are everyone's

Take = Callable[[sig.Signal], None]
Start = Callable[[Coroutine[Any, Any, None], str], None]

_AWAY = (Unavailable, Overloaded, TooSlow)
_TOO_LONG = "Speech recognition took too long."

log = logging.getLogger(__name__)


class Words:
    __slots__ = ("_backends", "_late", "_queue", "_room", "_start", "_tell")

    def __init__(
        self, backends: Backends, queue: TurnQueue | None, tell: Take, start: Start
    ) -> None:
        """
        Args:
            queue: Where utterances wait for recognition; None if there is none.
            tell: Is told the words.
            start: Starts a task that lasts no longer than the session.
        """
        self._backends, self._queue = backends, queue
        self._tell, self._start = tell, start
        self._late: set[str] | tuple[()] = ()  # most sessions have none
        self._room: asyncio.Semaphore | None = None  # most sessions have no recordings

    @property
    def names(self) -> tuple[str, ...]:
        """Utterances whose words come from here, if at all."""
        return tuple(self._late)

    def transcribe(self, wanted: do.Transcribe, how: do.Listening) -> None:
        """Have a recording recognised; later, if it cannot be now."""
        unheard = Unheard(wanted.utterance, wanted.pcm)
        self._begin(unheard, self._transcribe(unheard, how))

    def take(self, unheard: Unheard, how: do.Listening) -> None:
        """Have an utterance recognised later."""
        self._begin(unheard, self._wait(unheard, how, "It cannot be reached."))

    def overdue(self, utterance: str, after_s: float) -> None:
        """Give an utterance up whose words do not come: a response may wait for them."""
        self._start(self._give_up(utterance, after_s), f"words of {utterance}")

    def _begin(self, unheard: Unheard, work: Coroutine[Any, Any, None]) -> None:
        self._late = {*self._late, unheard.utterance}
        self._start(self._until_known(unheard.utterance, work), f"transcribe {unheard.utterance}")

    async def _until_known(self, utterance: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            self._late = {*self._late} - {utterance}

    async def _transcribe(self, wanted: Unheard, how: do.Listening) -> None:
        if self._room is None:
            self._room = asyncio.Semaphore(MOST_AT_A_TIME)
        try:
            async with self._room:
                text = await self._backends.transcribe(wanted.pcm, how)
        except _AWAY as error:
            log.warning("recording not transcribed", extra={"reason": error.detail})
            await self._wait(wanted, how, told(error))
        except MeshError as error:
            log.warning("recording not transcribed", extra={"reason": error.detail})
            self._tell(sig.NotTranscribed(wanted.utterance, told(error)))
        else:
            audio_ms = len(wanted.pcm) * 1000 // (RATE_HZ * 2)
            self._tell(sig.Transcribed(wanted.utterance, text, audio_ms))

    async def _wait(self, unheard: Unheard, how: do.Listening, otherwise: str) -> None:
        """Queue it. Its words come by another way: what is told here, after that, is not heard.

        Args:
            otherwise: Why there are none, if it cannot be queued.
        """
        queue, utterance = self._queue, unheard.utterance
        try:
            if queue is None:
                raise Unavailable("there is no queue", tier="stt")
            known = await queue.put(utterance, unheard.pcm, how)
        except MeshError as error:
            log.warning("utterance not queued", extra={"reason": error.detail})
            metrics.QUEUED_TURNS.labels("not_queued").inc()
            return self._tell(sig.NotTranscribed(utterance, otherwise))
        if known is not None:
            return self._tell(known)
        metrics.QUEUED_TURNS.labels("queued").inc()
        await asyncio.sleep(queue.patience_s)
        self._tell(sig.NotTranscribed(utterance, _TOO_LONG))

    async def _give_up(self, utterance: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        if utterance not in self._late:  # it will have an end all the same
            self._tell(sig.NotTranscribed(utterance, _TOO_LONG))
