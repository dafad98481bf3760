import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh import audio

RATE_HZ = 24_000


def tone(duration_ms=500, rate_hz=RATE_HZ, hertz=440):
    at_s = np.arange(duration_ms * rate_hz // 1000) / rate_hz
    return audio.to_pcm16((0.5 * np.sin(2 * np.pi * hertz * at_s)).astype(np.float32))


def samples(pcm):
    return np.frombuffer(pcm, dtype="<i2").astype(int)


def test_counts_and_times():
    assert audio.n_samples(b"\0" * 96) == 48
    assert audio.duration_ms(b"\0" * 96, RATE_HZ) == 2
    assert audio.n_bytes(2, RATE_HZ) == 96
    assert audio.n_bytes(0.1, 11_025) == 2, "a part of a sample is none"


@given(st.binary(min_size=2).filter(lambda pcm: len(pcm) % 2 == 0))
def test_floats_hold_pcm_exactly(pcm):
    floats = audio.to_float32(pcm)
    assert floats.dtype == np.float32
    assert -1 <= floats.min() <= floats.max() < 1
    assert audio.to_pcm16(floats) == pcm


def test_too_loud_is_clipped_not_wrapped():
    loud = np.array([1.0, 1.5, 100, -1.0, -1.5, 0.0], dtype=np.float32)
    assert samples(audio.to_pcm16(loud)).tolist() == [32767, 32767, 32767, -32768, -32768, 0]


def test_pcm_is_little_endian():
    assert audio.to_pcm16(np.array([1 / 32768], dtype=np.float32)) == b"\x01\x00"


@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(24_000, 16_000), (22_050, 24_000), (8_000, 16_000)]
)
def test_a_tone_stays_the_tone(from_hz, to_hz):
    resampled = samples(audio.resample(tone(rate_hz=from_hz), from_hz, to_hz))
    wanted = samples(tone(rate_hz=to_hz))
    assert abs(len(resampled) - len(wanted)) <= 1
    middle = slice(to_hz // 20, -to_hz // 20)  # the ends ring
    n = min(len(resampled), len(wanted))
    error = np.abs(resampled[:n] - wanted[:n])[middle]
    assert error.max() < 32768 * 0.005


@given(cuts=st.lists(st.integers(0, 12_000), max_size=20))
def test_where_a_stream_was_cut_cannot_be_heard(cuts):
    pcm = tone()
    resampler = audio.Resampler(RATE_HZ, 16_000)
    edges = [0, *sorted(cuts), 12_000]
    pieces = [pcm[2 * a : 2 * b] for a, b in itertools.pairwise(edges)]
    streamed = samples(b"".join(map(resampler.feed, pieces)) + resampler.finish())
    whole = samples(audio.resample(pcm, RATE_HZ, 16_000))
    assert len(streamed) == len(whole)
    assert np.abs(streamed - whole).max() <= 4  # soxr dithers


def test_a_stream_gives_audio_before_its_end():
    resampler = audio.Resampler(RATE_HZ, 16_000)
    ready = audio.n_samples(resampler.feed(tone(duration_ms=200)))
    assert 16_000 * 0.15 < ready < 16_000 * 0.2


def test_the_same_rate_passes_through():
    pcm = tone()
    resampler = audio.Resampler(RATE_HZ, RATE_HZ)
    assert resampler.feed(pcm) == pcm
    assert resampler.finish() == b""
