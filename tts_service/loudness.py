"""Every voice as loud as the others, so that a change of engine is not a change of volume. Pure."""

from __future__ import annotations

import numpy as np

from mesh.audio import Samples

TARGET_RMS = 0.1  # −20 dBFS: peaks of speech stay below full scale
SILENCE_RMS = 0.01  # pauses say nothing about a voice
LEAST_GAIN, MOST_GAIN = 0.25, 4.0  # ±12 dB
LEARN_S = 30.0  # after that a voice is known and its gain stays
FRAME_S = 0.02


class Level:
    """How loud a voice is, learned over its first seconds of speech."""

    def __init__(self, like: Level | None = None) -> None:
        """
        Args:
            like: What to assume until more is known: counts as one second of speech.
        """
        self._heard_s: float = min(1.0, like._heard_s) if like else 0.0
        self._power: float = like._power if like else 0.0

    @property
    def gain(self) -> float:
        """What brings the voice to TARGET_RMS. Take it once a segment: a change in the
        middle would be heard."""
        if not self._heard_s:
            return 1.0
        return float(np.clip(TARGET_RMS / np.sqrt(self._power), LEAST_GAIN, MOST_GAIN))

    def hear(self, samples: Samples, sample_rate_hz: int) -> None:
        size = int(FRAME_S * sample_rate_hz)
        frames = samples[: len(samples) // size * size].reshape(-1, size)
        powers = np.mean(np.square(frames), axis=1)
        loud = powers[powers > SILENCE_RMS**2]
        if self._heard_s >= LEARN_S or not len(loud):
            return
        new_s = len(loud) * FRAME_S
        total = self._power * self._heard_s + float(loud.mean()) * new_s
        self._heard_s += new_s
        self._power = total / self._heard_s


class Levels:
    """The levels of a worker's voices."""

    def __init__(self) -> None:
        self._levels: dict[tuple[object, str], Level] = {}

    def of(self, engine: object, voice_id: str = "") -> Level:
        """The level of a voice, or of an engine: a new voice starts with its engine's."""
        key = (engine, voice_id)
        if key not in self._levels:
            self._levels[key] = Level(like=self.of(engine) if voice_id else None)
        return self._levels[key]
