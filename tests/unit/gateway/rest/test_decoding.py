from __future__ import annotations

import io
import struct

import av
import numpy as np
import pytest

from gateway.rest import decoding
from gateway.rest.decoding import RATE_HZ, Recording, TooLong, Unreadable
from gateway.rest.encoding import encoder

TONE = (np.sin(np.arange(48_000) * 2 * np.pi * 440 / 24_000) * 8000).astype("<i2").tobytes()


def file_of(form: str) -> bytes:
    """Two seconds."""
    it = encoder(form)
    return it.feed(TONE) + it.finish()


def stereo(rate_hz: int = 44_100) -> bytes:
    """A WAV of two seconds with the tone on the left only."""
    samples = (np.sin(np.arange(2 * rate_hz) * 2 * np.pi * 440 / rate_hz) * 8000).astype("<i2")
    pcm = np.stack([samples, np.zeros_like(samples)], 1).tobytes()
    form = struct.pack("<HHIIHH", 1, 2, rate_hz, rate_hz * 4, 4, 16)
    head = struct.pack("<4sI4s4sI", b"RIFF", 36 + len(pcm), b"WAVE", b"fmt ", 16)
    return head + form + struct.pack("<4sI", b"data", len(pcm)) + pcm


def mp4_with_sound_and_picture() -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as file:
        video = file.add_stream("mpeg4", rate=5)
        video.width = video.height = 16
        audio = file.add_stream("aac", rate=24_000, layout="mono")
        for _ in range(10):
            picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
            file.mux(video.encode(picture))
        samples = np.frombuffer(TONE, "<i2").reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 24_000
        file.mux(audio.encode(frame))
        file.mux(audio.encode(None))
        file.mux(video.encode(None))
    return out.getvalue()


def read_all(data: bytes) -> np.ndarray:
    recording = Recording(io.BytesIO(data))
    pcm = b"".join(iter(recording.read, b""))
    assert recording.n_samples == len(pcm) // 2
    return np.frombuffer(pcm, "<i2")


def hears_the_tone(samples: np.ndarray, amplitude: float = 8000) -> None:
    assert len(samples) / RATE_HZ == pytest.approx(2, abs=0.1)
    middle = samples[8_000:24_000]  # a second, so a bin is a hertz
    assert np.abs(np.fft.rfft(middle)).argmax() == 440
    assert np.abs(middle).max() == pytest.approx(amplitude, rel=0.15)


@pytest.mark.parametrize("form", ["mp3", "opus", "aac", "flac", "wav"])
def test_what_we_encode_we_decode(form):
    hears_the_tone(read_all(file_of(form)))


def test_a_video_is_heard():
    hears_the_tone(read_all(mp4_with_sound_and_picture()))


def test_channels_become_one():
    hears_the_tone(read_all(stereo()), amplitude=4000)


def test_rates_may_change_in_the_middle():
    file = file_of("mp3")
    samples = np.frombuffer(TONE, "<i2")[::3].copy().reshape(1, -1)
    out = io.BytesIO()
    with av.open(out, "w", format="mp3") as slow:
        stream = slow.add_stream("libmp3lame", rate=8_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 8_000
        slow.mux(stream.encode(frame))
        slow.mux(stream.encode(None))
    assert len(read_all(file + out.getvalue())) > 3 * RATE_HZ


def test_a_recording_that_was_cut_off_is_heard_up_to_there():
    assert len(read_all(file_of("mp3")[:16_000])) > 0.8 * RATE_HZ
    assert len(read_all(file_of("flac")[:-2000])) > 1.5 * RATE_HZ


def test_long_recordings_come_in_pieces():
    it = encoder("wav")
    recording = Recording(io.BytesIO(it.feed(TONE * 10)))
    pieces = list(iter(recording.read, b""))
    assert len(pieces) == 4
    assert max(map(len, pieces)) < 6 * RATE_HZ * 2


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not audio at all" * 100,
        bytes(100_000),
        PLAYLIST,
        b"ffconcat version 1.0\nfile '/etc/hostname'\n",
        b"RIFF",
        file_of("flac")[:20],
    ],
)
def test_what_is_no_recording_is_refused(data):
    with pytest.raises(Unreadable):
        read_all(data)


def test_a_picture_without_sound_is_refused():
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as file:
        video = file.add_stream("mpeg4", rate=5)
        video.width = video.height = 16
        picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        file.mux(video.encode(picture))
        file.mux(video.encode(None))
    with pytest.raises(Unreadable, match="no sound"):
        read_all(out.getvalue())


def test_there_is_a_longest_recording(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_S", 1)
    with pytest.raises(TooLong):
        read_all(file_of("flac"))


def frame_of(n_samples: int, rate_hz: int) -> bytes:
    """A recording that is one frame of silence."""
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as file:
        stream = file.add_stream("pcm_s16le", rate=rate_hz, layout="mono")
        silence = np.zeros((1, n_samples), np.int16)
        frame = av.AudioFrame.from_ndarray(silence, format="s16", layout="mono")
        frame.sample_rate = rate_hz
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


@pytest.mark.parametrize(("n_samples", "rate_hz"), [(3000, 1), (5_000_000, 8000)])
def test_a_small_file_that_would_take_much_memory_is_refused(n_samples, rate_hz):
    with pytest.raises(Unreadable):
        read_all(frame_of(n_samples, rate_hz))


def test_a_long_frame_is_read():
    assert len(read_all(frame_of(8000 * 30, 8000))) == 30 * RATE_HZ
