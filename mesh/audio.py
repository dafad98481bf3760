"""PCM arithmetic. Everywhere in the mesh PCM is signed 16 bit, little-endian, mono.

Positions and lengths are in samples; a rate turns them into time.
"""

from __future__ import annotations

import numpy as np
import soxr

SAMPLE_BYTES = 2

Samples = np.ndarray[tuple[int], np.dtype[np.float32]]
"""float32, (n_samples,), −1…1."""


def n_samples(pcm: bytes) -> int:
    return len(pcm) // SAMPLE_BYTES


def n_bytes(duration_ms: float, rate_hz: int) -> int:
    """Bytes of so much PCM, whole samples."""
    return int(duration_ms * rate_hz / 1000) * SAMPLE_BYTES


def duration_ms(pcm: bytes, rate_hz: int) -> float:
    return n_samples(pcm) * 1000 / rate_hz


def to_float32(pcm: bytes) -> Samples:
    """PCM as float32, −1…1."""
    return np.frombuffer(pcm, dtype="<i2").astype(np.float32) / np.float32(32768)


def to_pcm16(samples: Samples) -> bytes:
    """float32 −1…1 as PCM; what is louder is clipped, not wrapped."""
    scaled = np.clip(np.rint(samples * np.float32(32768)), -32768, 32767)
    return bytes(scaled.astype("<i2").tobytes())


class Resampler:
    """Changes the rate of a stream of PCM, without clicks where it was cut."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._stream = (
            None
            if from_hz == to_hz
            else soxr.ResampleStream(from_hz, to_hz, 1, dtype="int16", quality="HQ")
        )

    def feed(self, pcm: bytes) -> bytes:
        """Returns what is ready; the filter holds some milliseconds back."""
        return self._run(pcm, last=False)

    def finish(self) -> bytes:
        """Returns what was held back. Nothing can be fed after it."""
        return self._run(b"", last=True)

    def _run(self, pcm: bytes, *, last: bool) -> bytes:
        if self._stream is None:
            return pcm
        samples = np.frombuffer(pcm, dtype="<i2")
        out: bytes = self._stream.resample_chunk(samples, last=last).astype("<i2").tobytes()
        return out


def resample(pcm: bytes, from_hz: int, to_hz: int) -> bytes:
    """Change the rate of a whole recording."""
    resampler = Resampler(from_hz, to_hz)
    return resampler.feed(pcm) + resampler.finish()
