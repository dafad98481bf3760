"""G.711, the audio of telephones: µ-law and A-law at 8 kHz, and the session's PCM at 24 kHz.

The rate changes by exactly three, here and not in a library, because libraries hold audio
back: `n` bytes in give `3 n` samples at once, and three samples give one byte at once, so
that milliseconds counted on one side are milliseconds on the other. The price is a delay
of 34 samples (1.4 ms) in each direction, the middle of a linear-phase filter: the first
output holds silence for that long, and the last 1.4 ms of input are never heard.

The coefficients of the filter are whole numbers, so that sums are exact in float64 and the
output does not depend on where the input is cut.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Law = Literal["audio/pcmu", "audio/pcma"]

RATE_HZ = 8_000
"""A byte of silence."""

_Floats = NDArray[np.float64]

PCM_BYTES = 6
"""Of PCM at 24 kHz, for one byte of G.711."""
_UP = 3
_TAPS = 69  # of the filter at 24 kHz; three times 23
_CUTOFF_HZ = 3_850.0  # half way down: flat to 3.4 kHz, silent from 4.4 kHz
_KAISER = 4.6  # 50 dB
_UNIT = 1 << 20  # what a coefficient of 1 is as a whole number
_BLOCK = 16  # samples at 8 kHz that one row of a product makes or takes


def _filter() -> _Floats:
    """Low-pass at 24 kHz. Shape (_TAPS,); whole numbers, `_UNIT` together."""
    n = np.arange(_TAPS) - _TAPS // 2
    taps = np.sinc(2 * _CUTOFF_HZ / (_UP * RATE_HZ) * n) * np.kaiser(_TAPS, _KAISER)
    whole: _Floats = np.rint(taps / taps.sum() * _UNIT)
    return whole


def _upsampler() -> _Floats:
    """Takes _BLOCK samples, and those before that the filter reaches, to 3 * _BLOCK samples.

    Shape (_BLOCK + _BEFORE_UP, 3 * _BLOCK).
    """
    matrix = np.zeros((_BLOCK + _BEFORE_UP, _UP * _BLOCK))
    taps = _filter() * _UP  # two of three samples that it sees are zeros
    for column in range(_UP * _BLOCK):
        phase, newest = column % _UP, column // _UP + _BEFORE_UP
        for k, tap in enumerate(taps[phase::_UP]):
            matrix[newest - k, column] = tap
    return matrix


def _downsampler() -> _Floats:
    """Takes 3 * _BLOCK samples, and those before, to _BLOCK samples."""
    matrix = np.zeros((_UP * _BLOCK + _BEFORE_DOWN, _BLOCK))
    taps = _filter()
    for column in range(_BLOCK):
        matrix[_UP * column : _UP * column + _TAPS, column] = taps[::-1]
    return matrix


_BEFORE_UP = _TAPS // _UP - 1
_BEFORE_DOWN = _TAPS - _UP
_UPSAMPLE = _upsampler()
_DOWNSAMPLE = _downsampler()


def _mulaw_levels() -> NDArray[np.int64]:
    """The levels of µ-law that are not negative, in PCM16, rising. Shape (128,)."""
    i = np.arange(128)
    return ((((i & 15) << 3) + 132) << (i >> 4)) - 132


def _alaw_levels() -> NDArray[np.int64]:
    """The levels of A-law above zero, in PCM16, rising. Shape (128,)."""
    i = np.arange(128)
    exponent, mantissa = i >> 4, ((i & 15) << 4) + 8
    high = (mantissa + 256) << np.maximum(exponent - 1, 0)
    return np.where(exponent == 0, mantissa, high)


def _tables(law: Law) -> tuple[_Floats, NDArray[np.uint8]]:
    """The level of each byte, and the byte of each PCM16 sample taken as unsigned."""
    levels, mask = (_mulaw_levels(), 0xFF) if law == "audio/pcmu" else (_alaw_levels(), 0xD5)
    codes = np.arange(128, dtype=np.uint8)
    decode = np.zeros(256)
    decode[codes ^ mask] = levels
    decode[codes ^ mask ^ 0x80] = -levels

    # The nearest level, on the 14 bits that the standard hears.
    bounds = (levels[:-1] + levels[1:] + 4) >> 3
    heard = np.arange(1 << 16).astype(np.uint16).view(np.int16).astype(np.int64) >> 2
    code = np.searchsorted(bounds, np.minimum(np.abs(heard), 8191), side="right")
    encode = code.astype(np.uint8) ^ mask ^ np.where(heard < 0, 0x80, 0).astype(np.uint8)
    return decode, encode.astype(np.uint8)


_TABLES: dict[str, tuple[_Floats, NDArray[np.uint8]]] = {
    "audio/pcmu": _tables("audio/pcmu"),
    "audio/pcma": _tables("audio/pcma"),
}


class Decoder:
    """What a telephone says, as the session hears it."""

    def __init__(self, law: Law) -> None:
        self._levels = _TABLES[law][0]
        self._before = np.zeros(_BEFORE_UP)

    def feed(self, data: bytes) -> bytes:
        """PCM16 LE at 24 kHz, three samples for each byte."""
        if not data:
            return b""
        samples = self._levels[np.frombuffer(data, np.uint8)]
        made, self._before = _apply(_UPSAMPLE, self._before, samples, _BLOCK)
        return _pcm16(made[: _UP * len(data)]).tobytes()


class Encoder:
    """What the session says, as a telephone hears it."""

    def __init__(self, law: Law) -> None:
        self._codes = _TABLES[law][1]
        self._before = np.zeros(_BEFORE_DOWN)
        self._rest = b""

    def feed(self, pcm: bytes) -> bytes:
        """One byte for each three samples (PCM16 LE, 24 kHz). A rest waits, cut anywhere."""
        if self._rest:
            pcm = self._rest + pcm
        n_bytes = len(pcm) // (2 * _UP)
        self._rest = pcm[n_bytes * 2 * _UP :]
        if not n_bytes:
            return b""
        samples = np.frombuffer(pcm, "<i2", n_bytes * _UP).astype(np.float64)
        made, self._before = _apply(_DOWNSAMPLE, self._before, samples, _UP * _BLOCK)
        return self._codes[_pcm16(made[:n_bytes]).view(np.uint16)].tobytes()

    def finish(self) -> bytes:
        """The byte of the rest, filled up with silence; the encoder may be used on."""
        return self.feed(bytes(2 * _UP - len(self._rest))) if self._rest else b""


def decode(data: bytes, law: Law) -> bytes:
    """A whole recording as PCM16 LE at 24 kHz."""
    return Decoder(law).feed(data)


def encode(pcm: bytes, law: Law) -> bytes:
    """A whole recording (PCM16 LE, 24 kHz); its last byte may be filled up with silence."""
    encoder = Encoder(law)
    return encoder.feed(pcm) + encoder.finish()


def _apply(
    matrix: _Floats, before: _Floats, samples: _Floats, step: int
) -> tuple[_Floats, _Floats]:
    """Multiply overlapping windows of `samples`, one for each `step` begun.

    Returns:
        All products in a row, those of the last window filled up with zeros; and what
        comes before the next samples.
    """
    n_windows = -(-len(samples) // step)
    line = np.zeros(len(before) + n_windows * step)
    end = len(before) + len(samples)
    line[: len(before)] = before
    line[len(before) : end] = samples
    shape = (n_windows, len(matrix))
    windows = np.ndarray(shape, np.float64, line, strides=(8 * step, 8))
    # A copy: the product of overlapping rows does not go to BLAS, and is slower.
    return (windows.copy() @ matrix).ravel(), line[end - len(before) : end]


def _pcm16(sums: _Floats) -> NDArray[np.int16]:
    return np.minimum(np.maximum(np.rint(sums / _UNIT), -32768), 32767).astype("<i2")
