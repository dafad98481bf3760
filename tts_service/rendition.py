"""One engine at work on a text: PCM at the rate and the loudness asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from mesh.audio import Resampler, to_pcm16
from tts_service import metrics
from tts_service.engine import Engine, Halt, Manner, Word
from tts_service.loudness import Level
from tts_service.progress import Sound


class Rendition:
    def __init__(self, name: str, engine: Engine, manner: Manner, rate_hz: int) -> None:
        """
        Args:
            name: Of the engine.
        """
        self._name, self._engine, self._manner, self._rate_hz = name, engine, manner, rate_hz
        self._halt = Halt()
        self._lock = threading.Lock()  # between giving way and the first sound
        self._has_begun = self._has_sounded = False
        self.gave_way = False
        """It ended before its first sound so that another could begin: make it anew."""

    def sounds(self, text: str, level: Level, gain: float) -> Iterator[Sound]:
        """On a model thread. Words are those of `text`, samples from its first."""
        self._has_begun = True
        rate_hz, began_s = self._engine.sample_rate_hz, time.monotonic()
        resampler = Resampler(rate_hz, self._rate_hz)
        scale = self._rate_hz / rate_hz
        try:
            for piece in self._engine.synthesize(text, self._manner, self._halt):
                if not self._may_sound():
                    return
                level.hear(piece.samples, rate_hz)
                metrics.AUDIO.labels(self._name).inc(len(piece.samples) / rate_hz)
                words = tuple(
                    Word(w.start_char, w.end_char, round(w.start_sample * scale))
                    for w in piece.words
                )
                yield Sound(resampler.feed(to_pcm16(piece.samples * gain)), words)
            if self._may_sound():
                yield Sound(resampler.finish())
        finally:
            metrics.WORK.labels(self._name).inc(time.monotonic() - began_s)
            if self._halt.stopped_s is not None and not self.gave_way:
                metrics.CANCEL.observe(time.monotonic() - self._halt.stopped_s)

    def give_way(self) -> bool:
        """End, if it is at work and nothing of it has been heard. Returns whether it does."""
        with self._lock:
            if not self._has_begun or self._has_sounded or self._halt.stopped:
                return False
            self.gave_way = True
        metrics.GAVE_WAY.inc()
        self._halt.stop()
        return True

    def _may_sound(self) -> bool:
        with self._lock:
            self._has_sounded = not self.gave_way
            return self._has_sounded

    def stop(self) -> None:
        """Nobody listens any more. The thread may be deep inside the library."""
        self._halt.stop()
        if not self._has_begun:  # it waits, and no thread is there to count it
            metrics.CANCEL.observe(0.0)
