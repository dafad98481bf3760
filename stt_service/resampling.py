"""From the stream's rate to 16 kHz, without waiting.

Why not `mesh.audio.Resampler` alone: soxr works in blocks of its own, so at 24 kHz its output is
21 ms behind what it was fed, 36 ms at worst. Here it is 3 ms, which is what the filter needs to
hear on both sides of a sample. By so much sooner is the end of speech found, and its beginning.
"""

from __future__ import annotations

import functools
import math
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mesh.audio import Resampler, Samples
from stt_service.engine import RATE_HZ

HALF_S = 0.0027  # of the filter, to each side; a steeper one would take longer
KAISER_BETA = 8.0  # what is left of tones that have no place at 16 kHz: −80 dB
TRANSITION_HZ = 1000.0  # that filter's: up to 7 kHz all passes, from 8 kHz on nothing
MOST_PHASES = 8  # of 24, 32, 48 kHz and the like; more make a large table


class ToRate(Protocol):
    """Changes the rate of a stream of PCM16."""

    def feed(self, pcm: bytes) -> bytes: ...

    def finish(self) -> bytes:
        """Returns what was held back. Nothing can be fed after it."""


def resampler(from_hz: int) -> ToRate:
    """To RATE_HZ."""
    phases = RATE_HZ // math.gcd(from_hz, RATE_HZ)
    quick = from_hz > RATE_HZ and phases <= MOST_PHASES
    return Quick(from_hz) if quick else Resampler(from_hz, RATE_HZ)


class Quick:
    """A windowed sinc, to a lower rate. Every `_step` samples become as many as the table has
    columns."""

    def __init__(self, from_hz: int) -> None:
        common = math.gcd(from_hz, RATE_HZ)
        self._step, self._phases = from_hz // common, RATE_HZ // common
        half = round(HALF_S * from_hz)
        self._table = _table(from_hz, half, self._step, self._phases)
        self._samples: Samples = np.zeros(half, dtype=np.float32)  # before the first: silence
        self._half, self._n_in, self._n_out = half, 0, 0

    def feed(self, pcm: bytes) -> bytes:
        new = np.frombuffer(pcm, dtype="<i2")
        self._n_in += len(new)
        self._samples = np.concatenate((self._samples, new), dtype=np.float32)
        made = self._made()
        self._n_out += len(made)
        return made.astype("<i2").tobytes()

    def finish(self) -> bytes:
        left = -(-self._n_in * self._phases // self._step) - self._n_out
        silence = np.zeros(len(self._table) + self._step, dtype=np.float32)
        self._samples = np.concatenate((self._samples, silence))
        return self._made()[: max(0, left)].astype("<i2").tobytes()

    def _made(self) -> npt.NDArray[np.int16]:
        """All that can be."""
        width = len(self._table)
        n_steps = max(0, (len(self._samples) - width) // self._step + 1)
        if not n_steps:
            return np.empty(0, dtype=np.int16)
        windows = np.lib.stride_tricks.sliding_window_view(self._samples, width)
        steps = np.ascontiguousarray(windows[: n_steps * self._step : self._step])
        self._samples = self._samples[n_steps * self._step :]
        made: Samples = np.rint(steps @ self._table).reshape(-1)
        return np.clip(made, -32768, 32767).astype(np.int16)


@functools.cache  # of few rates, for every stream
def _table(from_hz: int, half: int, step: int, phases: int) -> Samples:
    """What each sample of a window, down, has to do with each sample that is made, across."""
    width = 2 * half + (step * (phases - 1)) // phases + 1
    centres = half + np.arange(phases) * step / phases
    away = np.arange(width)[:, np.newaxis] - centres
    cutoff = (RATE_HZ - TRANSITION_HZ) / from_hz  # of half the stream's rate
    inside = np.clip(1 - (away / half) ** 2, 0, None)
    window = np.i0(KAISER_BETA * np.sqrt(inside)) / np.i0(KAISER_BETA) * (np.abs(away) <= half)
    taps = np.sinc(cutoff * away) * window
    return np.asarray(taps / taps.sum(axis=0), dtype=np.float32)
