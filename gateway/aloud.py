"""The words of one reply on their way to the ear. When nobody can speak, the rest is only read.

Thinking never waits for a voice that has gone, and what had been spoken by then is still played.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing, suppress

from gateway import metrics
from gateway.backends import Backends, Speech
from gateway.pacer import Track, Wheel
from gateway.realtime import signals as sig
from gateway.realtime.effects import StartReply
from mesh.errors import MeshError, first_of

MOST_WAITING = 200  # pieces of text; a model that is so far ahead waits for the voice

log = logging.getLogger(__name__)


class Aloud:
    def __init__(
        self,
        start: StartReply,
        backends: Backends,
        take: Callable[[sig.Signal], None],
        *,
        wheel: Wheel,
        lead_s: float,
    ) -> None:
        """
        Args:
            take: Is told of the audio, and when there is no more.
        """
        self._start, self._backends, self._take = start, backends, take
        self._wheel, self._lead_s = wheel, lead_s
        self._words: asyncio.Queue[str | None] = asyncio.Queue(MOST_WAITING)
        self.has_words = self._is_whole = False
        self._lost: MeshError | None = None
        self._is_told = False

    async def say(self, text: str) -> None:
        """More words, cut anywhere."""
        self.has_words = True
        self._tell()
        await self._words.put(text)

    async def finish(self) -> None:
        """No more words will come."""
        self._is_whole = True
        await self._words.put(None)

    async def run(self) -> None:
        """Speak what is said until it is finished, for as long as somebody can."""
        try:
            async with self._backends.speak(self._start) as speech, asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass_on(speech), name="say")
                await self._play(speech)
        except* MeshError as lost:
            self._lost = first_of(lost)
        if self._lost is not None:
            self._tell()
            while not (self._is_whole and self._words.empty()):
                await self._words.get()

    def _tell(self) -> None:
        """If nobody speaks: say so, unless there is nothing to speak."""
        if self._lost is None or self._is_told or not self.has_words:
            return
        self._is_told = True
        metrics.DEGRADED_REPLIES.labels("no_tts").inc()
        about = {"response_id": self._start.response_id, "reason": self._lost.detail}
        log.warning("reply goes on as text", extra=about)
        self._take(sig.ReplyMuted(self._start.response_id))

    async def _pass_on(self, speech: Speech) -> None:
        with suppress(MeshError):  # who listens to the speech is told why
            while (text := await self._words.get()) is not None:
                await speech.say(text)
            await speech.finish()

    async def _play(self, speech: Speech) -> None:
        lost: MeshError | None = None
        track = Track(self._wheel, self._send, self._lead_s)
        self._wheel.join(track)
        try:
            try:
                await self._play_all(speech, track)
            except MeshError as error:
                lost = error
            await track.drain()
        finally:
            self._wheel.leave(track)
        if lost is not None:
            raise lost

    async def _play_all(self, speech: Speech, track: Track) -> None:
        async with aclosing(aiter(speech)) as sounds:  # stops synthesis while thinking stops, too
            async for sound in sounds:
                if isinstance(sound, sig.ReplyAudio):
                    await track.add(sound.pcm)
                    continue
                if isinstance(sound, sig.ReplyDegraded):
                    metrics.DEGRADED_REPLIES.labels("worse_voice").inc()
                self._take(sound)

    def _send(self, frame: bytes) -> None:
        self._take(sig.ReplyAudio(self._start.response_id, frame))
