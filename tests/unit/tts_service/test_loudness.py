import numpy as np
import pytest

from tts_service.loudness import LEARN_S, LEAST_GAIN, MOST_GAIN, TARGET_RMS, Level, Levels

RATE_HZ = 8000


def tone(rms: float, seconds: float = 1.0) -> np.ndarray:
    return np.full(int(RATE_HZ * seconds), rms, dtype=np.float32)


def test_a_voice_nobody_heard_is_left_alone():
    assert Level().gain == 1


@pytest.mark.parametrize("rms", [0.05, 0.1, 0.2])
def test_every_voice_comes_out_equally_loud(rms):
    level = Level()
    level.hear(tone(rms), RATE_HZ)
    assert level.gain * rms == pytest.approx(TARGET_RMS)


def test_pauses_do_not_count():
    level = Level()
    level.hear(np.concatenate([tone(0.2), tone(0, 3)]), RATE_HZ)
    assert level.gain == pytest.approx(TARGET_RMS / 0.2)


def test_gain_is_bounded():
    quiet, loud = Level(), Level()
    quiet.hear(tone(0.011), RATE_HZ)
    loud.hear(tone(0.9), RATE_HZ)
    assert (quiet.gain, loud.gain) == (MOST_GAIN, LEAST_GAIN)


def test_a_known_voice_keeps_its_gain():
    level = Level()
    level.hear(tone(0.1, LEARN_S), RATE_HZ)
    before = level.gain
    level.hear(tone(0.4, LEARN_S), RATE_HZ)
    assert level.gain == before


def test_a_new_voice_starts_with_its_engines_level_and_learns_its_own():
    levels = Levels()
    levels.of("engine").hear(tone(0.2, 10), RATE_HZ)
    voice = levels.of("engine", "a")
    assert voice.gain == pytest.approx(0.5)
    voice.hear(tone(0.1, 20), RATE_HZ)
    assert voice.gain == pytest.approx(1, abs=0.1)
    assert levels.of("engine").gain == pytest.approx(0.5)
