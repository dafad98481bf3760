"""Recordings in whatever container, as PCM16 LE mono 16 kHz, some seconds at a time.

Everything here waits for ffmpeg: not on the event loop.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import BinaryIO

import av
from av.container import InputContainer

RATE_HZ = 16_000
SUPPORTED = ("flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "wav", "webm")
MAX_S = 2 * 60 * 60
LEAST_HZ, MOST_HZ = 4_000, 768_000
"""Rates of recordings that are read. At 1 Hz a file of 14 KB would take 2 GB as 16 kHz."""

_MOST_FRAME_S = 60  # else a file of one frame would be in memory whole, and as floats

_READ_BYTES = 5 * RATE_HZ * 2
# In ffmpeg's words. No playlists and no lists of files: those would be opened, too.
_FORMATS = "mp3,wav,flac,ogg,mov,matroska,aac,mpeg,mpegts"


class Unreadable(Exception):
    """It is no recording that we can read."""


class TooLong(Exception):
    """It is longer than MAX_S."""


class Recording:
    """A file being decoded, on any thread, one call at a time.

    There is no `close`: whoever gives up may do so while a thread still reads, and what
    ffmpeg holds is freed with the last reference.
    """

    def __init__(self, file: BinaryIO) -> None:
        """
        Raises:
            Unreadable: see there.
        """
        options = {"format_whitelist": _FORMATS, "protocol_whitelist": "none"}
        try:
            self._container = av.open(file, "r", options=options, metadata_errors="ignore")
        except (av.FFmpegError, ValueError, OSError) as error:
            raise Unreadable from error
        if not self._container.streams.audio:
            self._container.close()
            raise Unreadable("it has no sound")
        self._pieces = _decoded(self._container)
        self.n_samples = 0
        """Read so far."""

    def read(self) -> bytes:
        """Some seconds; b"" at the end.

        Raises:
            Unreadable, TooLong: see there.
        """
        pcm = bytearray()
        while len(pcm) < _READ_BYTES:
            try:
                piece = next(self._pieces, b"")
            except (av.FFmpegError, ValueError, OSError) as error:  # among them _check's
                raise Unreadable from error
            if not piece:
                break
            pcm += piece
        self.n_samples += len(pcm) // 2
        if self.n_samples > MAX_S * RATE_HZ:
            raise TooLong
        return bytes(pcm)


def _decoded(container: InputContainer) -> Generator[bytes]:
    """Never b""."""
    stream = container.streams.audio[0]
    resampler = _Resampler()
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            continue  # a damaged piece, as at the end of a recording that was cut off
        for frame in frames:
            _check(frame)
            if pcm := resampler.feed(frame):
                yield pcm
    if pcm := resampler.feed(None):
        yield pcm


def _check(frame: av.AudioFrame) -> None:
    """
    Raises:
        ValueError: nobody records so, and it would take much memory.
    """
    rate_hz = frame.sample_rate
    if not LEAST_HZ <= rate_hz <= MOST_HZ or frame.samples > _MOST_FRAME_S * rate_hz:
        raise ValueError(f"a frame of {frame.samples} samples at {rate_hz} Hz")


class _Resampler:
    """Takes frames of one kind after those of another, which ffmpeg's does not."""

    def __init__(self) -> None:
        self._form: tuple[object, ...] = ()
        self._resampler: av.AudioResampler | None = None

    def feed(self, frame: av.AudioFrame | None) -> bytes:
        """
        Args:
            frame: None is the end.
        """
        pcm = b""
        form = (frame.format.name, frame.layout.name, frame.sample_rate) if frame else ()
        if form != self._form:
            if self._resampler is not None:
                pcm = _samples(self._resampler.resample(None))
            self._form = form
            self._resampler = av.AudioResampler("s16", "mono", RATE_HZ)
        if frame is not None and self._resampler is not None:
            frame.pts = None  # a gap in the times is no silence
            pcm += _samples(self._resampler.resample(frame))
        return pcm


def _samples(frames: list[av.AudioFrame]) -> bytes:
    return b"".join(bytes(frame.to_ndarray().astype("<i2").tobytes()) for frame in frames)
