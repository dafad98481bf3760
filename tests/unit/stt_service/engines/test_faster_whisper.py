"""What is Whisper's own; the rest is in tests/contract/test_stt_engines.py."""

import os

import pytest

from mesh.audio import resample
from mesh.errors import NotInstalled
from stt_service.config import Config
from stt_service.engine import RATE_HZ, How
from stt_service.engines import faster_whisper
from stt_service.engines.faster_whisper import NEEDED_FILES, FasterWhisper
from tests.contract import whisper_model
from tests.e2e.speech import recording


@pytest.fixture
def folder(tmp_path):
    return whisper_model.make(tmp_path, "tiny.en")


def engine(tmp_path, **settings) -> FasterWhisper:
    return FasterWhisper(Config(models_dir=tmp_path, whisper_model="tiny.en", **settings))


def test_the_model_is_the_folder_that_the_settings_name(tmp_path, folder):
    whisper = engine(tmp_path)
    assert (whisper.model, whisper.languages) == ("tiny.en", ("en",))
    assert not whisper.streaming
    whisper.close()


@pytest.mark.parametrize("name", NEEDED_FILES)
def test_a_missing_file_is_named_and_nothing_is_fetched(tmp_path, folder, name):
    (folder / name).unlink()
    with pytest.raises(NotInstalled, match=name):
        engine(tmp_path)


def test_so_many_transcriptions_run_at_a_time_as_are_set(tmp_path, folder):
    whisper = engine(tmp_path, whisper_batch=1, whisper_parallel=2)
    assert whisper.threads == 2
    whisper.close()


def test_closed_it_does_no_more_work(tmp_path, folder):
    whisper = engine(tmp_path)
    recognizer = whisper.ear().recognizer(How())
    recognizer.feed(resample(recording("good_morning"), 24_000, 16_000))
    recognizer.close()
    whisper.close()
    assert recognizer.guess() == ""
    assert recognizer.finish().text == ""


def test_guesses_at_a_long_utterance_leave_behind_what_they_agree_on(tmp_path, folder):
    whisper = engine(tmp_path)
    recognizer = whisper.ear().recognizer(How())
    recognizer.feed(resample(recording("good_morning"), 24_000, RATE_HZ) * 26)
    n_samples = len(recognizer._pcm) // 2
    assert 31 * RATE_HZ < n_samples < 60 * RATE_HZ
    guesses = [recognizer.guess() for _ in range(2)]
    assert 0 < recognizer._window.start < n_samples
    assert recognizer._window.before == "hello there", "and what comes behind it may grow"
    assert guesses[0].count("hello there") == 2, "once for each 30 s"
    assert guesses[1] == guesses[0]
    recognizer.close()
    whisper.close()


@pytest.mark.parametrize(
    ("device", "cores", "most"),
    [("cuda", 2, 10), ("cpu", 2, 1), ("cpu", 7, 1), ("cpu", 16, 4), ("cpu", 96, 10)],
)
def test_a_call_takes_as_many_as_the_hardware_is_good_for(monkeypatch, device, cores, most):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert faster_whisper._batch(device) == most


def test_so_many_are_on_their_way_as_calls_take(tmp_path, folder):
    whisper = engine(tmp_path, whisper_batch=3, whisper_parallel=2)
    assert whisper.threads == 6
    whisper.close()
