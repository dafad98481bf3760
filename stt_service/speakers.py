"""Who says what, told from the sound of voices, without a model.

    voices = Voices()           # one stream's
    voices.name(pcm)            # "A"; the same for the same voice, the next letter for a new one

A voice is described by its pitch and by the shape of its spectrum (the mean of mel
cepstra over its voiced frames). A run of words that is near enough to a voice is that
speaker's, and makes its description better; else it is somebody new.

What this can do: tell a few clearly different voices apart on one microphone, such as a
man and a woman who take turns. What it cannot: tell similar voices apart, hear a change
of speakers without a pause between them, hear who speaks when two do at once, or know
anybody in another stream. A voice that changes much (a shout, a whisper, a cold) may
become somebody else. Runs of less than LEAST_S are taken for the one who spoke last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from mesh.audio import to_float32
from stt_service.engine import RATE_HZ, Word

PAUSE_SAMPLES = RATE_HZ * 3 // 10  # between two words: speakers may have changed
LEAST_S = 0.4
MOST_S = 20  # of a run: more tells no more of the voice
MOST_SPEAKERS = 26
# Distance up to which it is the same voice. Of nine synthetic voices each is within 0.7 of
# itself; a man and a woman are 1.1 or more apart, two men 0.7 to 1.5, two women 0.4 to 1.4.
# So some voices of one sex are taken for one. No human voices were at hand to choose it by.
SAME = 0.9
PITCH_SCALE = 4.0  # semitones
SHAPE_SCALE = 1.6
FRAME, HOP = 512, 256  # samples: 32 and 16 ms
LOWEST_HZ, HIGHEST_HZ = 70, 350
BANDS, CEPSTRA = 26, 12
PERIODIC = 0.45  # normalized autocorrelation above which a frame is voiced
QUIET_DB = 25.0  # below the loudest frames nobody speaks

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(slots=True)
class Voice:
    """Means over what was heard of a voice."""

    pitch: float
    """Semitones above 1 Hz."""

    shape: Array
    """(CEPSTRA,)"""

    n_frames: int

    def distance(self, other: Voice) -> float:
        """SAME or less for two runs of one speaker, as a rule."""
        pitch = (self.pitch - other.pitch) / PITCH_SCALE
        shape = np.linalg.norm(self.shape - other.shape) / SHAPE_SCALE
        return float(np.hypot(pitch, shape) / np.sqrt(2))

    def learn(self, other: Voice) -> None:
        part = other.n_frames / (self.n_frames + other.n_frames)
        self.pitch += part * (other.pitch - self.pitch)
        self.shape = self.shape + part * (other.shape - self.shape)
        self.n_frames += other.n_frames


class Voices:
    """The speakers of one stream."""

    def __init__(self) -> None:
        self._voices: list[Voice] = []
        self._last = 0

    def name(self, pcm: bytes) -> str:
        """Whose voice this is (PCM16 LE mono 16 kHz). Blocks for some milliseconds."""
        voice = voice_of(pcm)
        if voice is not None:
            self._last = self._index(voice)
        return chr(ord("A") + self._last)

    def _index(self, voice: Voice) -> int:
        distances = [known.distance(voice) for known in self._voices]
        nearest = int(np.argmin(distances)) if distances else -1
        if distances and (distances[nearest] <= SAME or len(distances) == MOST_SPEAKERS):
            self._voices[nearest].learn(voice)
            return nearest
        self._voices.append(voice)
        return len(self._voices) - 1


def runs_of(words: Sequence[Word]) -> list[list[Word]]:
    """Words in the groups that pauses make of them. A speaker has each to themselves."""
    runs: list[list[Word]] = []
    for word in words:
        if runs and word.start_sample - runs[-1][-1].end_sample < PAUSE_SAMPLES:
            runs[-1].append(word)
        else:
            runs.append([word])
    return runs


def voice_of(pcm: bytes) -> Voice | None:
    """The voice in some audio; None if there is too little of it."""
    samples = to_float32(pcm[: 2 * RATE_HZ * MOST_S]).astype(np.float64)
    if len(samples) < LEAST_S * RATE_HZ:
        return None
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::HOP]
    frames = (frames - frames.mean(axis=1, keepdims=True)) * np.hanning(FRAME)
    power = (frames**2).mean(axis=1)
    loud = power > max(np.percentile(power, 95) * 10 ** (-QUIET_DB / 10), 1e-9)
    pitches, periodic = _pitches(frames)
    voiced = loud & (periodic > PERIODIC)
    if voiced.sum() * HOP < LEAST_S * RATE_HZ / 3:  # a third of speech is voiced, at least
        return None
    semitones = 12 * np.log2(pitches[voiced])
    return Voice(float(np.median(semitones)), _shape(frames[voiced]), int(voiced.sum()))


def _pitches(frames: Array) -> tuple[Array, Array]:
    """Of each frame: the pitch in hertz, and how periodic it is, 0 to 1."""
    spectra = np.abs(np.fft.rfft(frames, 2 * FRAME)) ** 2
    likeness = np.fft.irfft(spectra)[:, :FRAME]
    window = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(FRAME), 2 * FRAME)) ** 2)[:FRAME]
    likeness = likeness / np.maximum(likeness[:, :1], 1e-12) / (window / window[0] + 1e-3)
    shortest, longest = RATE_HZ // HIGHEST_HZ, RATE_HZ // LOWEST_HZ
    lags = likeness[:, shortest:longest]
    best = lags.max(axis=1)
    # The first lag that is nearly as good: multiples of the period are as good as it is.
    first = np.argmax(lags > 0.9 * best[:, None], axis=1)
    around = np.minimum(first[:, None] + np.arange(12), lags.shape[1] - 1)
    peak = np.take_along_axis(lags, around, axis=1).argmax(axis=1)
    return RATE_HZ / (first + peak + shortest), best


def _shape(frames: Array) -> Array:
    spectra = np.abs(np.fft.rfft(frames)) ** 2
    bands = np.log(spectra @ _mel_bands().T + 1e-8)
    return np.asarray((bands @ _cosines().T).mean(axis=0))


@cache
def _mel_bands() -> Array:
    """(BANDS, FRAME // 2 + 1): triangles from 100 Hz to 6 kHz, evenly spaced in mel."""
    mels = np.linspace(2595 * np.log10(1 + 100 / 700), 2595 * np.log10(1 + 6000 / 700), BANDS + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    hertz = np.fft.rfftfreq(FRAME, 1 / RATE_HZ)
    up = (hertz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    down = (edges[2:, None] - hertz) / (edges[2:] - edges[1:-1])[:, None]
    return np.clip(np.minimum(up, down), 0, None)


@cache
def _cosines() -> Array:
    """(CEPSTRA, BANDS): the discrete cosine transform without its first row, the loudness."""
    rows = np.arange(1, CEPSTRA + 1)[:, None]
    return np.cos(np.pi * rows * (np.arange(BANDS) + 0.5) / BANDS) / BANDS * 2
