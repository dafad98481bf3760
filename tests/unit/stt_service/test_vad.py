import sys

import numpy as np
import pytest

from mesh.audio import resample, to_pcm16
from mesh.errors import NotInstalled
from stt_service import vad
from stt_service.endpointing import WINDOW_SAMPLES
from stt_service.vad import Silero, Vad
from tests.e2e.speech import recording

WINDOW_BYTES = 2 * WINDOW_SAMPLES


@pytest.fixture(scope="module")
def model() -> Silero:
    return Silero()


@pytest.fixture(scope="module")
def speech() -> bytes:
    return resample(recording("what_is_the_weather_in_paris"), 24_000, 16_000)


def test_it_hears_speech_where_there_is_some(model, speech):
    probabilities = Vad(model).feed(speech)
    assert len(probabilities) == len(speech) // WINDOW_BYTES
    assert max(probabilities[:9]) < 0.1  # 0.3 s of silence before
    assert max(probabilities[-15:]) < 0.35  # 0.5 s of silence after
    assert sum(probability > 0.5 for probability in probabilities) > 30


@pytest.mark.parametrize("n_bytes", [2, 640, 1024, 1500, 9600])
def test_how_the_audio_is_cut_changes_nothing(model, speech, n_bytes):
    stream = Vad(model)
    pieces = [speech[at : at + n_bytes] for at in range(0, len(speech), n_bytes)]
    cut = [probability for piece in pieces for probability in stream.feed(piece)]
    assert cut == pytest.approx(Vad(model).feed(speech), abs=1e-4)


def test_streams_do_not_disturb_each_other(model, speech):
    one, other = Vad(model), Vad(model)
    heard = []
    for at in range(0, len(speech), WINDOW_BYTES):
        heard += one.feed(speech[at : at + WINDOW_BYTES])
        other.feed(bytes(WINDOW_BYTES))
    assert heard == pytest.approx(Vad(model).feed(speech), abs=1e-4)


def test_a_reset_forgets_all(model, speech):
    stream = Vad(model)
    stream.feed(speech[: len(speech) // 2 + 99 * 2])
    stream.reset()
    assert stream.feed(speech) == pytest.approx(Vad(model).feed(speech), abs=1e-4)


def test_knocks_tones_and_noise_are_no_speech(model):
    rng = np.random.default_rng(0)
    quiet = np.zeros(16_000, dtype=np.float32)
    knock = quiet.copy()
    knock[8000:8080] = 0.9
    tone = (0.5 * np.sin(np.arange(16_000) * 0.17)).astype(np.float32)
    noise = rng.normal(0, 0.3, 16_000).astype(np.float32)
    for sound in (quiet, knock, tone, noise):
        assert max(Vad(model).feed(to_pcm16(sound))) < 0.5


def test_the_model_is_found_without_importing_faster_whisper():
    assert vad._model_file().name.startswith("silero_vad")
    assert "faster_whisper" not in vars(vad)


def test_without_the_wheel_it_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NotInstalled, match="pip install faster-whisper"):
        Silero()
