"""The voice of one reply: which engine speaks, and what happens when it fails."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mesh.audio import SAMPLE_BYTES, n_samples
from mesh.errors import MeshError, Unavailable
from tts_service import metrics
from tts_service.engine import CannotSay, Engine, Manner
from tts_service.listener import Listener
from tts_service.openers import Opener
from tts_service.progress import Progress, Sound
from tts_service.rendition import Rendition
from tts_service.speakable import speakable

if TYPE_CHECKING:
    from tts_service.worker import Worker

SPARE_S = 2.0  # who has so much to hear can wait for a part that is made twice

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Handover:
    """From here on another engine speaks."""

    failed: str
    serving: str
    reason: str


class Speaker:
    """An engine that fails does not speak again in the same reply."""

    def __init__(self, worker: Worker, manner: Manner, rate_hz: int, tenant: str = "") -> None:
        self._worker, self._manner, self._rate_hz = worker, manner, rate_hz
        self._tenant, self._listener = tenant, Listener(tenant)
        self._failed: set[str] = set()
        self._untold: tuple[str, str] | None = None  # a failure and its reason
        self._is_told = False  # whether the client knows of an engine that does not speak

    @property
    def engine(self) -> str:
        """Name of the engine that will speak."""
        ranked = self._worker.chain.ranked()
        able = (n for n, e in ranked if n not in self._failed and self._has_voice(e))
        return next(able, ranked[0][0])

    def interrupted(self) -> None:
        """What was made will not be heard; what is spoken next begins a reply."""
        self._listener.interrupts()

    async def speak(self, text: str, pause_ms: int = 0) -> AsyncGenerator[Sound | Handover]:
        """Speak one segment. Closing this ends the engine's work on it.

        Args:
            pause_ms: Silence after it, at normal speed.

        Raises:
            Overloaded: too much waits already.
            Unavailable: every engine failed.
        """
        segment = Progress(speakable(text))
        for name, engine in self._candidates(segment):
            if self._untold is not None:
                yield self._handover(*self._untold, serving=name)
            async with aclosing(self._attempt(name, engine, segment)) as sounds:
                async for sound in sounds:
                    if (worse := self._worse(name, segment)) is not None:
                        yield worse
                    yield self._heard(sound)
        if not segment.is_done and self._failed.issuperset(self._worker.chain.names):
            raise Unavailable("every engine failed", tier="tts")
        if segment.n_samples:
            yield self._heard(self._silence(pause_ms))

    def _candidates(self, segment: Progress) -> Iterator[tuple[str, Engine]]:
        candidates = self._worker.chain.candidates(skip=self._failed)
        while not segment.is_done and (candidate := next(candidates, None)) is not None:
            yield candidate

    def _has_voice(self, engine: Engine) -> bool:
        try:
            engine.voice_for(self._manner)
        except CannotSay:
            return False
        return True

    def _heard(self, sound: Sound) -> Sound:
        self._listener.hears(n_samples(sound.pcm) / self._rate_hz, time.monotonic())
        return sound

    def _silence(self, pause_ms: int) -> Sound:
        n_silent = int(pause_ms * self._rate_hz / 1000 / self._manner.speed)
        return Sound(bytes(n_silent * SAMPLE_BYTES))

    def _handover(self, failed: str, reason: str, *, serving: str) -> Handover:
        self._untold, self._is_told = None, True
        metrics.HANDOVERS.labels(failed, serving).inc()
        return Handover(failed, serving, reason)

    def _worse(self, serving: str, segment: Progress) -> Handover | None:
        """What to tell of an engine that speaks because a better one rests. Once a reply;
        one that has no sounds for a language or a text is not better."""
        for name, engine in self._worker.chain.engines.items():
            if self._is_told or name == serving:
                break
            if name not in segment.declined and self._has_voice(engine):
                self._is_told = True
                return Handover(name, serving, "it rests after failures")
        return None

    async def _attempt(self, name: str, engine: Engine, segment: Progress) -> AsyncGenerator[Sound]:
        """What is left of the segment, by one engine."""
        judge = self._worker.chain.released
        try:
            async with aclosing(self._by(name, engine, segment)) as sounds:
                async for sound in sounds:
                    yield sound
        except CannotSay as error:
            segment.declined.add(name)
            log.debug("engine cannot say this", extra={"engine": name, "reason": str(error)})
        except MeshError:
            raise
        except Exception as error:  # whatever a library raises, the next one speaks
            reason = type(error).__name__  # its message may quote the text
            log.debug("engine raised", extra={"engine": name}, exc_info=True)
            self._failed.add(name)
            self._untold = name, reason
            judge = partial(self._worker.chain.failed, reason=reason)
            segment.break_off()
        finally:
            judge(name)

    async def _by(self, name: str, engine: Engine, segment: Progress) -> AsyncGenerator[Sound]:
        voice_id = engine.voice_for(self._manner)
        level = self._worker.levels.of(engine, voice_id)
        gain, openers = level.gain, self._worker.openers
        opener = self._opener(name, voice_id, segment)
        if opener is not None and (kept := openers.find(opener, gain)) is not None:
            segment.begin(len(opener.text))
            yield segment.add(kept)
            segment.end()
            return
        made: list[Sound] = []
        gave_way = False
        while not segment.is_done:
            text = segment.begin(engine.most_chars)
            rendition = Rendition(name, engine, self._manner, self._rate_hz)
            make = partial(rendition.sounds, text, level, gain)
            async with aclosing(self._on_thread(rendition, make, gave_way)) as sounds:
                async for sound in sounds:
                    made.append(sound)
                    yield segment.add(sound)
            if gave_way := rendition.gave_way:
                continue
            if pause_ms := segment.end():
                yield segment.add(self._silence(pause_ms))
        if opener is not None:
            openers.keep(opener, gain, made)
        self._worker.chain.worked(name)

    async def _on_thread(
        self, rendition: Rendition, make: Callable[[], Iterator[Sound]], gave_way: bool
    ) -> AsyncGenerator[Sound]:
        now_s = time.monotonic()
        turn, yields = self._listener.turn(now_s), self._listener.ahead_s(now_s) > SPARE_S
        run = self._worker.run(rendition, make, turn, yields=yields and not gave_way)
        try:
            async with aclosing(run) as sounds:
                async for sound in sounds:
                    yield sound
        except (asyncio.CancelledError, GeneratorExit):
            rendition.stop()
            raise

    def _opener(self, name: str, voice_id: str, segment: Progress) -> Opener | None:
        """What to remember the segment as, if it begins the reply and is short."""
        text = segment.rest.text
        if self._listener.has_heard or not self._worker.openers.takes(text):
            return None
        speed, rate_hz = self._manner.speed, self._rate_hz
        return Opener(self._tenant, name, voice_id, speed, rate_hz, text)
