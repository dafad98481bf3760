from __future__ import annotations

import gc
import io
import time

import av
import numpy as np
import pytest

from gateway.rest.encoding import CONTENT_TYPES, RATE_HZ, encoder

FRAME_BYTES = 960  # 20 ms
SECOND = (np.sin(np.arange(RATE_HZ) * 2 * np.pi * 440 / RATE_HZ) * 8000).astype("<i2").tobytes()


def encode(form: str, pcm: bytes = SECOND) -> list[bytes]:
    """What came of each frame, and of the end."""
    it = encoder(form)
    frames = [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm), FRAME_BYTES)]
    return [*map(it.feed, frames), it.finish()]


def decode(data: bytes) -> tuple[np.ndarray, int]:
    """Samples, −1…1, and their rate."""
    with av.open(io.BytesIO(data)) as file:
        resampler = av.AudioResampler("flt", "mono", RATE_HZ)
        frames = [
            out.to_ndarray().ravel() for f in file.decode(audio=0) for out in resampler.resample(f)
        ]
    return np.concatenate(frames), RATE_HZ


@pytest.mark.parametrize("form", [form for form in CONTENT_TYPES if form != "pcm"])
def test_a_player_finds_what_was_spoken(form):
    samples, rate_hz = decode(b"".join(encode(form)))

    assert len(samples) / rate_hz == pytest.approx(1, abs=0.1)
    loudest = np.abs(np.fft.rfft(samples[2000:22000])).argmax() * rate_hz / 20_000
    assert loudest == pytest.approx(440, abs=3)
    assert np.abs(samples).max() == pytest.approx(8000 / 32768, rel=0.1)


def test_raw_audio_is_as_it_was():
    assert b"".join(encode("pcm")) == SECOND
    assert b"".join(encode("wav"))[44:] == SECOND


@pytest.mark.parametrize("form", list(CONTENT_TYPES))
def test_the_file_comes_while_it_is_spoken(form):
    parts = encode(form)
    early = sum(map(len, parts[:10]))  # 200 ms
    assert early > 0
    assert sum(map(len, parts[:-1])) > 0.8 * sum(map(len, parts))


@pytest.mark.parametrize("form", list(CONTENT_TYPES))
def test_what_nobody_spoke_ends_without_trouble(form):
    assert isinstance(encoder(form).finish(), bytes)


@pytest.mark.parametrize("form", list(CONTENT_TYPES))
def test_no_frame_keeps_the_event_loop_waiting(form):
    it = encoder(form)
    it.feed(SECOND[:FRAME_BYTES])
    took_s = []
    gc.disable()  # what other tests have left is not the encoder's
    for at in range(FRAME_BYTES, len(SECOND), FRAME_BYTES):
        began_s = time.thread_time()
        it.feed(SECOND[at : at + FRAME_BYTES])
        took_s.append(time.thread_time() - began_s)
    gc.enable()
    assert max(took_s) < 0.005
