"""Speech (PCM16 LE mono 24 kHz) as a file, made while it is spoken.

A chunk of 20 ms costs half a millisecond at most, so this runs on the event loop.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast

import av
import numpy as np
from av.audio import AudioStream
from av.audio.format import AudioFormat

RATE_HZ = 24_000

CONTENT_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
"""What we make, and how HTTP calls it."""


class Encoder(Protocol):
    def feed(self, pcm: bytes) -> bytes:
        """Whole samples; returns what of the file is ready."""

    def finish(self) -> bytes:
        """The rest of the file. Nothing can be fed after it."""


def encoder(form: str) -> Encoder:
    """
    Args:
        form: A key of CONTENT_TYPES.
    """
    if form in _CODECS:
        return _Compressed(_CODECS[form])
    return _Raw(_wav_header() if form == "wav" else b"")


@dataclass(frozen=True, slots=True)
class _Codec:
    """In ffmpeg's words."""

    container: str
    name: str
    sample_format: str
    bit_rate: int = 0  # 0: as the codec likes
    options: Mapping[str, str] = field(default_factory=dict)  # of the container


# None can go back to its beginning to write how long it became, so none tries to.
_CODECS = {
    "mp3": _Codec("mp3", "libmp3lame", "s16p", 128_000, {"write_xing": "0", "id3v2_version": "0"}),
    "opus": _Codec("ogg", "libopus", "s16", 48_000, {"page_duration": "100000"}),
    "aac": _Codec("adts", "aac", "fltp", 64_000),
    "flac": _Codec("flac", "flac", "s16"),
}


class _Raw:
    def __init__(self, header: bytes) -> None:
        self._header = header

    def feed(self, pcm: bytes) -> bytes:
        ready, self._header = self._header + pcm, b""
        return ready

    def finish(self) -> bytes:
        return self.feed(b"")


class _Compressed:
    def __init__(self, codec: _Codec) -> None:
        self._made = _Made()
        self._samples = 0
        # Else what is ready waits in ffmpeg until 32 KiB are.
        options = {**codec.options, "flush_packets": "1"}
        self._file = av.open(self._made, "w", format=codec.container, container_options=options)
        self._stream = cast(
            AudioStream, self._file.add_stream(codec.name, rate=RATE_HZ, layout="mono")
        )
        self._stream.codec_context.format = AudioFormat(codec.sample_format)
        if codec.bit_rate:
            self._stream.bit_rate = codec.bit_rate

    def feed(self, pcm: bytes) -> bytes:
        if pcm:
            samples = np.frombuffer(pcm, "<i2").reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE_HZ, self._samples
            self._samples += frame.samples
            self._file.mux(self._stream.encode(frame))
        return self._made.take()

    def finish(self) -> bytes:
        self._file.mux(self._stream.encode(None))
        self._file.close()
        return self._made.take()


class _Made:
    """What ffmpeg has written and nobody has taken."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def write(self, data: bytes) -> int:
        self._bytes += data
        return len(data)

    def take(self) -> bytes:
        ready, self._bytes = bytes(self._bytes), bytearray()
        return ready


def _wav_header() -> bytes:
    """Of a file whose length is not known: as long as can be, which players understand."""
    most = 0xFFFFFFFF
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", most, b"WAVE") + form + struct.pack("<4sI", b"data", most)
