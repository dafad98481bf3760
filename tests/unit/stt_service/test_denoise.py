import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.audio import n_samples, resample
from stt_service import denoise
from stt_service.config import Config
from stt_service.denoise import NoiseReduction, denoised, denoiser_for
from stt_service.engine import RATE_HZ, How
from stt_service.engines.pocketsphinx import PocketSphinx
from tests.e2e.speech import recording

NEAR, FAR = NoiseReduction(), NoiseReduction(far=True)
SAID = "what is the weather in paris"
PAUSE_S = 1.5


def speech() -> np.ndarray:
    pcm = resample(recording(SAID.replace(" ", "_")), 24_000, RATE_HZ)
    pause = np.zeros(int(PAUSE_S * RATE_HZ))
    return np.concatenate([pause, np.frombuffer(pcm, dtype="<i2"), pause])


def fan(n: int) -> np.ndarray:
    """Steady noise, lower pitches louder, 1.0 RMS."""
    white = np.fft.rfft(np.random.default_rng(0).standard_normal(n))
    noise = np.fft.irfft(white / np.sqrt(np.maximum(np.fft.rfftfreq(n, 1 / RATE_HZ), 100)), n)
    return noise / noise.std()


def noisy(rms: float) -> bytes:
    clean = speech()
    return np.rint(clean + rms * fan(len(clean))).astype("<i2").tobytes()


def pause_db(pcm: bytes) -> float:
    """Level of the last second, in which nobody speaks."""
    return 20 * np.log10(np.frombuffer(pcm, dtype="<i2")[-RATE_HZ:].astype(float).std())


@pytest.mark.parametrize(("wanted", "least_db"), [(NEAR, 10), (FAR, 16)])
def test_the_noise_in_pauses_falls_and_speech_stays(wanted, least_db):
    before = noisy(rms=150)
    after = denoised(before, wanted)
    assert pause_db(before) - pause_db(after) > least_db
    loud = np.abs(speech()) > 3000
    kept = [np.frombuffer(pcm, dtype="<i2")[loud].astype(float).std() for pcm in (before, after)]
    assert 20 * np.log10(kept[0] / kept[1]) < 4


def test_strength_is_how_much_of_it_is_heard():
    before = noisy(rms=150)
    levels = [pause_db(denoised(before, NoiseReduction(strength=s))) for s in (0, 0.3, 0.7, 1)]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] == pause_db(before)
    assert levels[1] - levels[2] > 2


def test_a_noisy_utterance_keeps_its_words():
    engine = PocketSphinx(Config(pocketsphinx_decoders=1))

    def heard(pcm: bytes) -> str:
        recognizer = engine.ear().recognizer(How())
        recognizer.feed(pcm[int(PAUSE_S * RATE_HZ) * 2 :])  # as of an endpointer
        text = recognizer.finish().text
        recognizer.close()
        return text

    before = noisy(rms=400)
    assert heard(before) != SAID
    assert heard(denoised(before, FAR)) == SAID
    engine.close()


def test_audio_stays_where_it_was():
    clean = speech()
    before = clean.astype("<i2").tobytes()
    after = np.frombuffer(denoised(before, NEAR), dtype="<i2").astype(float)
    shifts = range(-200, 200)
    likeness = [float(np.roll(after, -shift) @ clean) for shift in shifts]
    assert abs(shifts[int(np.argmax(likeness))]) <= 16  # 1 ms


@given(st.lists(st.integers(0, 700) | st.just(-1), max_size=30), st.sampled_from([1.0, 0.4]))
def test_as_much_comes_out_as_went_in_however_it_is_cut(steps, strength):
    """-1 flushes."""
    denoiser = denoiser_for(NoiseReduction(strength=strength))
    assert denoiser is not None
    random, fed, got = np.random.default_rng(1), 0, 0
    for step in [*steps, -1]:
        if step < 0:
            got += n_samples(denoiser.flush())
            assert got == fed
        else:
            got += n_samples(denoiser.feed(random.bytes(2 * step)))
            fed += step
            assert fed - (denoise.FRAME_SAMPLES + denoise.DELAY_SAMPLES) < got <= fed
    assert denoiser.flush() == b""


def test_how_it_is_cut_changes_nothing():
    pcm = noisy(rms=150)
    denoiser = denoiser_for(NEAR)
    pieces = [denoiser.feed(pcm[at : at + 642]) for at in range(0, len(pcm), 642)]
    assert b"".join(pieces) + denoiser.flush() == denoised(pcm, NEAR)


def test_nothing_is_done_unless_it_is_wanted():
    assert denoiser_for(None) is None
    assert denoiser_for(NoiseReduction(strength=0.0)) is None
    assert denoised(b"\1\0", None) == b"\1\0"


def test_without_the_library_a_stream_keeps_its_noise_and_the_log_says_so_once(monkeypatch, caplog):
    monkeypatch.setattr(denoise, "_LIBRARY", "no_such_library")
    denoise._library.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert denoiser_for(NEAR) is None
        assert denoised(b"\1\0", FAR) == b"\1\0"
    assert len(caplog.records) == 1
    denoise._library.cache_clear()
