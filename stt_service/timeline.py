"""A stream's audio at 16 kHz: resampled, cleaned, the end of it kept, positions both ways."""

from __future__ import annotations

from mesh.audio import SAMPLE_BYTES, n_samples
from stt_service.denoise import Denoiser
from stt_service.engine import RATE_HZ
from stt_service.resampling import resampler


class Timeline:
    """Audio comes in at the stream's rate. Positions in it count from the session's first
    sample; those at 16 kHz from the first sample of this stream."""

    def __init__(
        self,
        rate_hz: int,
        first_sample: int,
        keep_samples: int,
        denoiser: Denoiser | None = None,
    ) -> None:
        """
        Args:
            keep_samples: How much of the past `between` can give, at 16 kHz.
            denoiser: Cleans the audio, if it is to be cleaned.
        """
        self.rate_hz, self._keep = rate_hz, keep_samples
        self._resampler, self._denoiser = resampler(rate_hz), denoiser
        self._anchor = (0, first_sample)  # the same instant, at 16 kHz and in the stream
        self._kept = bytearray()
        self.at = 0
        """Samples at 16 kHz so far."""

        self.received = first_sample
        """Samples before this one have been taken in."""

    @property
    def oldest(self) -> int:
        """First sample at 16 kHz that is kept."""
        return self.at - len(self._kept) // SAMPLE_BYTES

    def add(self, pcm: bytes) -> bytes:
        """Take in PCM16 LE mono of the stream's rate.

        Returns:
            What is new at 16 kHz. Resampler and denoiser hold some milliseconds back.
        """
        self.received += n_samples(pcm)
        return self._take(self._cleaned(self._resampler.feed(pcm)))

    def flush(self) -> bytes:
        """Make `at` the same instant as `received`.

        Returns:
            What was held back.
        """
        rest = self._cleaned(self._resampler.finish())
        new = self._take(rest + (self._denoiser.flush() if self._denoiser else b""))
        self._resampler = resampler(self.rate_hz)
        self._anchor = (self.at, self.received)
        return new

    def clean_with(self, denoiser: Denoiser | None) -> bytes:
        """Clean what comes from here on with another denoiser, or not at all.

        Returns:
            What was held back.
        """
        rest = self.flush()
        self._denoiser = denoiser
        return rest

    def between(self, start: int, end: int) -> bytes:
        """Audio at 16 kHz, as far as it is kept."""
        oldest = self.oldest
        first = max(0, start - oldest) * SAMPLE_BYTES
        return bytes(self._kept[first : max(0, end - oldest) * SAMPLE_BYTES])

    def in_stream(self, at: int) -> int:
        """The stream's sample at a position at 16 kHz; never one that is yet to come."""
        anchor, sample = self._anchor
        return min(self.received, max(0, sample + (at - anchor) * self.rate_hz // RATE_HZ))

    def _cleaned(self, pcm: bytes) -> bytes:
        return pcm if self._denoiser is None else self._denoiser.feed(pcm)

    def _take(self, pcm: bytes) -> bytes:
        self._kept += pcm
        self.at += n_samples(pcm)
        excess = len(self._kept) - self._keep * SAMPLE_BYTES
        if excess > 0:
            del self._kept[:excess]
        return pcm
