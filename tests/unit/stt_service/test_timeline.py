import numpy as np
import pytest

from mesh.audio import n_samples
from stt_service.denoise import NoiseReduction, denoiser_for
from stt_service.engine import RATE_HZ
from stt_service.timeline import Timeline

SECOND = 16_000


def ramp(n: int) -> bytes:
    return np.arange(n, dtype="<i2").tobytes()


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000, 44_100, 48_000])
def test_positions_go_both_ways(rate_hz):
    timeline = Timeline(rate_hz, 1000, SECOND)
    for _ in range(50):
        timeline.add(bytes(2 * (rate_hz // 50)))
    assert timeline.received == 1000 + rate_hz // 50 * 50
    timeline.flush()
    assert abs(timeline.at - SECOND) <= 20
    assert timeline.in_stream(timeline.at) == timeline.received
    assert timeline.in_stream(0) == pytest.approx(1000, abs=2)
    assert timeline.in_stream(SECOND // 2) == pytest.approx(1000 + rate_hz // 2, abs=rate_hz / 500)


def test_no_position_lies_in_the_future_or_before_the_beginning():
    timeline = Timeline(24_000, 500, SECOND)
    timeline.add(bytes(4800))
    assert timeline.in_stream(10 * SECOND) == timeline.received == 500 + 2400
    assert Timeline(24_000, 500, SECOND).in_stream(0) == 500


def test_flushing_gives_all_that_was_put_in():
    timeline = Timeline(24_000, 0, SECOND)
    got = timeline.add(bytes(2 * 2400)) + timeline.flush()
    assert n_samples(got) == timeline.at == 1600
    assert timeline.flush() == b""
    assert timeline.in_stream(1600) == 2400


def test_a_thousand_flushes_do_not_drift():
    timeline = Timeline(24_000, 0, SECOND)
    for _ in range(1000):
        timeline.add(bytes(2 * 241))
        timeline.flush()
    assert timeline.in_stream(timeline.at) == timeline.received == 241_000


def test_the_past_is_kept_as_long_as_was_asked():
    timeline = Timeline(16_000, 0, 1000)
    timeline.add(ramp(600))
    assert timeline.oldest == 0
    assert timeline.between(10, 20) == ramp(600)[20:40]
    timeline.add(ramp(600))
    assert (timeline.at, timeline.oldest) == (1200, 200)
    assert timeline.between(0, 210) == ramp(600)[400:420]
    assert timeline.between(1190, 5000) == ramp(600)[-20:]
    assert timeline.between(0, 100) == b""


def test_cleaned_audio_is_as_long_as_it_was_and_what_was_held_back_comes_with_a_flush():
    timeline = Timeline(RATE_HZ, 0, RATE_HZ, denoiser_for(NoiseReduction()))
    pcm = np.random.default_rng(0).integers(-3000, 3000, RATE_HZ // 2).astype("<i2").tobytes()
    for at in range(0, len(pcm), 646):
        timeline.add(pcm[at : at + 646])
    assert 0 < timeline.received - timeline.at <= 256
    assert timeline.flush()
    assert timeline.at == timeline.received == RATE_HZ // 2
    timeline.add(pcm)
    assert timeline.clean_with(None)
    assert timeline.at == timeline.received == RATE_HZ
    assert timeline.add(pcm) == pcm
    assert timeline.between(RATE_HZ, 2 * RATE_HZ) == pcm
