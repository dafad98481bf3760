"""What is Whisper's own; the rest is in tests/contract/test_stt_engines.py."""

import pytest

from mesh.audio import resample
from mesh.errors import NotInstalled
from stt_service.config import Config
from stt_service.engine import How
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
    whisper = engine(tmp_path, whisper_parallel=2)
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
