import numpy as np
import pytest

from tts_service.stretch import stretch

RATE_HZ = 22_050


def tone(hz: float, seconds: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(int(RATE_HZ * seconds)) / RATE_HZ)).astype(
        np.float32
    )


def pitch_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * RATE_HZ / len(samples)


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.5, 2.0])
def test_the_length_changes_and_the_pitch_stays(factor):
    out = stretch(tone(150, 2), RATE_HZ, factor)
    assert len(out) == int(2 * RATE_HZ * factor)
    assert out.dtype == np.float32
    assert pitch_hz(out) == pytest.approx(150, rel=0.02)


def test_loudness_stays():
    out = stretch(tone(150, 2), RATE_HZ, 1.9)
    assert np.sqrt(np.mean(out[2000:-2000] ** 2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.05)


def test_nothing_to_do_changes_nothing():
    samples = tone(150, 0.5)
    assert stretch(samples, RATE_HZ, 1) is samples
    assert len(stretch(samples[:10], RATE_HZ, 2)) == 10


def test_it_ends_early_when_it_is_told_to_stop():
    asked = iter([False] * 10)
    out = stretch(tone(150, 2), RATE_HZ, 1.5, lambda: next(asked, True))
    assert np.abs(out[: RATE_HZ // 10]).max() > 0.2
    assert np.abs(out[RATE_HZ // 2 :]).max() == 0
