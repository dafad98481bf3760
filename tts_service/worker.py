"""The engines of this process at work on their threads: text in, PCM at the rate asked out.

Segments of all streams take turns on the model threads in the order they come.
Whoever wants the first piece of a reply to go before other replies' later pieces
changes that order in `Worker.run`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from mesh.audio import SAMPLE_BYTES, Resampler, n_samples, to_pcm16
from mesh.chain import Chain
from mesh.errors import MeshError, NotInstalled, Unavailable
from mesh.threads import ModelThreads
from tts_service import metrics
from tts_service.engine import CannotSay, Engine, Halt, Manner, Word
from tts_service.loudness import Levels
from tts_service.speakable import Speakable, speakable

WARM_UP_TEXT = "Hello. How can I help you today?"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sound:
    """Some of a segment's audio."""

    pcm: bytes
    words: tuple[Word, ...] = ()
    """Timing known by now: characters of the segment as written, samples from its first."""


@dataclass(frozen=True, slots=True)
class Handover:
    """From here on another engine speaks."""

    failed: str
    serving: str
    reason: str


class Worker:
    """The engines of this process, and the threads they run on."""

    def __init__(self, chain: Chain[Engine], threads: ModelThreads, levels: Levels) -> None:
        self.chain, self.threads, self.levels = chain, threads, levels

    def speaker(self, manner: Manner, rate_hz: int) -> Speaker:
        return Speaker(self, manner, rate_hz)

    def run(self, make: Callable[[], Iterator[Sound]]) -> AsyncGenerator[Sound]:
        """Iterate `make()` on a model thread.

        Raises:
            Overloaded: too many segments wait already.
        """
        return self.threads.stream(make)


class Speaker:
    """The voice of one reply. An engine that fails does not speak in it again."""

    def __init__(self, worker: Worker, manner: Manner, rate_hz: int) -> None:
        self._worker, self._manner, self._rate_hz = worker, manner, rate_hz
        self._failed: set[str] = set()
        self._untold: tuple[str, str] | None = None  # a failure and its reason
        self._is_told = False  # whether the client knows of an engine that does not speak

    @property
    def engine(self) -> str:
        """Name of the engine that will speak."""
        ranked = self._worker.chain.ranked()
        able = (n for n, e in ranked if n not in self._failed and self._has_voice(e))
        return next(able, ranked[0][0])

    async def speak(self, text: str, pause_ms: int = 0) -> AsyncGenerator[Sound | Handover]:
        """Speak one segment. Closing this ends the engine's work on it.

        Args:
            pause_ms: Silence after it, at normal speed.

        Raises:
            Overloaded: too many segments wait already.
            Unavailable: every engine failed.
        """
        segment = _Progress(speakable(text))
        for name, engine in self._candidates(segment):
            if self._untold is not None:
                yield self._handover(*self._untold, serving=name)
            async with aclosing(self._attempt(name, engine, segment)) as sounds:
                async for sound in sounds:
                    if (worse := self._worse(name, segment)) is not None:
                        yield worse
                    yield sound
        if not segment.is_done and self._failed.issuperset(self._worker.chain.names):
            raise Unavailable("every engine failed", tier="tts")
        if segment.n_samples:
            n_silent = int(pause_ms * self._rate_hz / 1000 / self._manner.speed)
            yield Sound(bytes(n_silent * SAMPLE_BYTES))

    def _candidates(self, segment: _Progress) -> Iterator[tuple[str, Engine]]:
        candidates = self._worker.chain.candidates(skip=self._failed)
        while not segment.is_done and (candidate := next(candidates, None)) is not None:
            yield candidate

    def _has_voice(self, engine: Engine) -> bool:
        try:
            engine.voice_for(self._manner)
        except CannotSay:
            return False
        return True

    def _handover(self, failed: str, reason: str, *, serving: str) -> Handover:
        self._untold, self._is_told = None, True
        metrics.HANDOVERS.labels(failed, serving).inc()
        return Handover(failed, serving, reason)

    def _worse(self, serving: str, segment: _Progress) -> Handover | None:
        """What to tell of an engine that speaks because a better one rests. Once a reply;
        one that has no sounds for a language or a text is not better."""
        for name, engine in self._worker.chain.engines.items():
            if self._is_told or name == serving:
                break
            if name not in segment.declined and self._has_voice(engine):
                self._is_told = True
                return Handover(name, serving, "it rests after failures")
        return None

    async def _attempt(
        self, name: str, engine: Engine, segment: _Progress
    ) -> AsyncGenerator[Sound]:
        """What is left of the segment, by one engine."""
        halt, judge = Halt(), self._worker.chain.released
        rest, from_sample = segment.rest, segment.n_samples
        try:
            run = self._worker.run(lambda: self._on_thread(name, engine, rest.text, halt))
            async with aclosing(run) as sounds:
                async for sound in sounds:
                    yield segment.add(sound, rest, from_sample)
            segment.finish()
            judge = self._worker.chain.worked
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
            segment.skip_what_was_said()
        finally:
            halt.stop()  # the thread may be deep inside the library
            judge(name)

    def _on_thread(self, name: str, engine: Engine, text: str, halt: Halt) -> Iterator[Sound]:
        """Words are those of `text`, samples those of this attempt."""
        rate_hz, began_s = engine.sample_rate_hz, time.monotonic()
        resampler = Resampler(rate_hz, self._rate_hz)
        level = self._worker.levels.of(engine, engine.voice_for(self._manner))
        gain = level.gain
        scale = self._rate_hz / rate_hz
        try:
            for piece in engine.synthesize(text, self._manner, halt):
                level.hear(piece.samples, rate_hz)
                metrics.AUDIO.labels(name).inc(len(piece.samples) / rate_hz)
                words = tuple(
                    Word(w.start_char, w.end_char, round(w.start_sample * scale))
                    for w in piece.words
                )
                yield Sound(resampler.feed(to_pcm16(piece.samples * gain)), words)
            yield Sound(resampler.finish())
        finally:
            metrics.WORK.labels(name).inc(time.monotonic() - began_s)
            if halt.stopped_s is not None:
                metrics.CANCEL.observe(time.monotonic() - halt.stopped_s)


class _Progress:
    """How far a segment has come."""

    def __init__(self, text: Speakable) -> None:
        self.rest = text
        self.n_samples = 0
        self.declined: set[str] = set()
        """Engines that have no sounds for it."""

        self._rest_words: list[Word] = []  # characters of `rest`, samples of the segment

    def add(self, sound: Sound, spoken: Speakable, from_sample: int) -> Sound:
        """The sound with its words placed in the segment as written."""
        self.n_samples += n_samples(sound.pcm)
        written = []
        for word in sound.words:
            start_sample = from_sample + word.start_sample
            self._rest_words.append(Word(word.start_char, word.end_char, start_sample))
            start, last = spoken.written_at[word.start_char], spoken.written_at[word.end_char - 1]
            written.append(Word(start, last + 1, start_sample))
        return Sound(sound.pcm, tuple(written))

    @property
    def is_done(self) -> bool:
        return self.rest.is_silent

    def finish(self) -> None:
        self.rest = self.rest.behind(len(self.rest.text))

    def skip_what_was_said(self) -> None:
        """Go on behind the last word begun. Without word timing that is the end: better
        a gap than the same words twice."""
        if not self.n_samples:
            return
        begun = [word for word in self._rest_words if word.start_sample < self.n_samples]
        self.rest = self.rest.behind(begun[-1].end_char if begun else len(self.rest.text))
        self._rest_words.clear()


def warm_up(engine: Engine, levels: Levels) -> None:
    """Let an engine speak once: the first inference is slow, and tells how loud it is.

    Raises:
        NotInstalled: it cannot speak here.
    """
    try:
        for piece in engine.synthesize(WARM_UP_TEXT, Manner(), Halt()):
            levels.of(engine).hear(piece.samples, engine.sample_rate_hz)
    except CannotSay:
        return  # a voice for another script
    except Exception as error:
        raise NotInstalled(f"it loads but cannot speak: {error}") from error
