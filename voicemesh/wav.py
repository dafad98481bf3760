"""WAV files: any in, PCM out; PCM in, a file out.

Why not the standard library's `wave` for reading: it knows neither float samples nor,
before Python 3.12, the extensible header that many recorders write.
"""

from __future__ import annotations

import struct
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mesh import audio

_EXTENSIBLE = 0xFFFE  # the true tag comes later


class NotWav(ValueError):
    """The file is not a WAV, or of a kind we cannot read. The message says which."""


class _Format(NamedTuple):
    """The beginning of the chunk `fmt `."""

    tag: int
    n_channels: int
    rate_hz: int
    bytes_per_second: int
    frame_bytes: int
    sample_bits: int


def read(file: Path, rate_hz: int) -> bytes:
    """The recording as PCM at `rate_hz`; channels are mixed.

    Raises:
        NotWav: it is not a recording we can read.
        OSError: the file cannot be read.
    """
    chunks = dict(_chunks(file.read_bytes()))
    if b"fmt " not in chunks or b"data" not in chunks or len(chunks[b"fmt "]) < 16:
        raise NotWav("it is a WAV file without format or data")
    form = _Format(*struct.unpack_from("<HHIIHH", chunks[b"fmt "]))
    if form.tag == _EXTENSIBLE and len(chunks[b"fmt "]) >= 26:
        [tag] = struct.unpack_from("<H", chunks[b"fmt "], 24)
        form = form._replace(tag=tag)
    if form.n_channels < 1 or not 1000 <= form.rate_hz <= 768_000:
        raise NotWav(f"it has {form.n_channels} channels at {form.rate_hz} Hz")
    samples = _samples(chunks[b"data"], form)
    whole = samples[: len(samples) // form.n_channels * form.n_channels]
    mono = whole.reshape(-1, form.n_channels).mean(axis=1, dtype=np.float32)
    return audio.resample(audio.to_pcm16(mono), form.rate_hz, rate_hz)


def write(file: Path, pcm: bytes, rate_hz: int) -> None:
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(audio.SAMPLE_BYTES)
        out.setframerate(rate_hz)
        out.writeframes(pcm)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each chunk."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise NotWav("it does not begin as a WAV file does")
    at = 12
    while at + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        # A recorder that wrote to a pipe could not know the size: then it is all there is.
        yield name, content[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _samples(data: bytes, form: _Format) -> audio.Samples:
    """All samples as float32, −1…1, channels interleaved."""
    width = max(1, form.sample_bits // 8)
    whole = data[: len(data) // width * width]
    match form.tag, form.sample_bits:
        case (1, 8):  # the one unsigned width
            return (np.frombuffer(whole, np.uint8).astype(np.float32) - 128) / np.float32(128)
        case (1, 16):
            return audio.to_float32(whole)
        case (1, 24):
            padded = np.zeros((len(whole) // 3, 4), np.uint8)
            padded[:, 1:] = np.frombuffer(whole, np.uint8).reshape(-1, 3)
            return padded.reshape(-1).view("<i4").astype(np.float32) / np.float32(2**31)
        case (1, 32):
            return np.frombuffer(whole, "<i4").astype(np.float32) / np.float32(2**31)
        case (3, 32):
            return np.frombuffer(whole, "<f4").astype(np.float32)
        case (3, 64):
            return np.frombuffer(whole, "<f8").astype(np.float32)
    raise NotWav(f"format {form.tag} with {form.sample_bits} bits is neither PCM nor float")
