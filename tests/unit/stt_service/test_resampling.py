from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.audio import Resampler, n_samples
from stt_service.engine import RATE_HZ
from stt_service.resampling import Quick, resampler

STREAM_HZ = 24_000
RATES_HZ = [24_000, 32_000, 48_000]


def tone(hz: float, rate_hz: int, seconds: float = 0.5) -> bytes:
    moments = np.arange(int(rate_hz * seconds)) / rate_hz
    return np.rint(16_000 * np.sin(2 * np.pi * hz * moments)).astype("<i2").tobytes()


def samples(pcm: bytes) -> np.ndarray:
    return np.frombuffer(pcm, "<i2").astype(int)


def whole(pcm: bytes, from_hz: int) -> np.ndarray:
    changed = resampler(from_hz)
    return samples(changed.feed(pcm) + changed.finish())


@pytest.mark.parametrize("from_hz", RATES_HZ)
@pytest.mark.parametrize("hz", [100, 1000, 6_000])
def test_a_tone_stays_the_tone_in_its_place(from_hz, hz):
    got, wanted = whole(tone(hz, from_hz), from_hz), samples(tone(hz, RATE_HZ))
    assert len(got) == len(wanted)
    middle = slice(RATE_HZ // 50, -RATE_HZ // 50)  # the ends ring
    assert np.abs(got - wanted)[middle].max() <= 16_000 * 0.001


def test_speech_up_to_seven_kilohertz_passes_and_what_has_no_place_does_not():
    passed, gone = (
        whole(tone(6_900, STREAM_HZ), STREAM_HZ),
        whole(tone(9_000, STREAM_HZ), STREAM_HZ),
    )
    middle = slice(RATE_HZ // 50, -RATE_HZ // 50)
    assert np.abs(passed[middle]).max() > 16_000 * 0.95
    assert np.abs(gone[middle]).max() < 16_000 * 0.001


@given(cuts=st.lists(st.integers(0, 6_000), max_size=20))
def test_where_a_stream_was_cut_cannot_be_heard(cuts):
    pcm = tone(440, STREAM_HZ, 0.25)
    stream = Quick(STREAM_HZ)
    edges = [0, *sorted(cuts), 6_000]
    pieces = [pcm[2 * a : 2 * b] for a, b in itertools.pairwise(edges)]
    streamed = samples(b"".join(map(stream.feed, pieces)) + stream.finish())
    assert np.abs(streamed - whole(pcm, STREAM_HZ)).max() <= 1


@pytest.mark.parametrize("from_hz", RATES_HZ)
def test_it_is_three_milliseconds_behind_after_every_frame(from_hz):
    stream, n_fed, n_got = resampler(from_hz), 0, 0
    for _ in range(50):
        n_got += n_samples(stream.feed(bytes(from_hz // 50 * 2)))
        n_fed += RATE_HZ // 50
        assert 0 <= n_fed - n_got <= RATE_HZ * 0.003
    assert n_got + n_samples(stream.finish()) == n_fed


def test_loud_audio_is_clipped_not_wrapped():
    square = np.where(np.arange(2400) % 200 < 100, 32767, -32768).astype("<i2").tobytes()
    got = whole(square, STREAM_HZ)  # the filter overshoots at every edge
    assert np.abs(got).max() >= 32767
    assert np.count_nonzero(np.diff(got > 0)) == 23


@pytest.mark.parametrize("from_hz", [8_000, 16_000, 44_100])
def test_other_rates_are_left_to_the_mesh(from_hz):
    assert isinstance(resampler(from_hz), Resampler)
    assert len(whole(tone(440, from_hz), from_hz)) == RATE_HZ // 2
