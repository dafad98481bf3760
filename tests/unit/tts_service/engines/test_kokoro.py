import pytest

from tests.contract import tts_models
from tts_service.config import Config
from tts_service.engine import CannotSay, Halt, Manner
from tts_service.engines.kokoro import DEFAULT_VOICE, LANGUAGES, OPENAI_VOICES, Kokoro
from tts_service.voices import OPENAI_NAMES


@pytest.fixture(scope="module")
def kokoro(tmp_path_factory) -> Kokoro:
    models_dir = tmp_path_factory.mktemp("models")
    tts_models.kokoro(models_dir)
    return Kokoro(Config(models_dir=models_dir))


def test_each_of_openais_names_has_a_voice_of_its_own():
    assert sorted(OPENAI_VOICES) == sorted(OPENAI_NAMES)
    assert len(set(OPENAI_VOICES.values())) == len(OPENAI_NAMES)
    assert {voice[0] for voice in OPENAI_VOICES.values()} <= LANGUAGES.keys()


def test_the_default_voice_is_listed_first(kokoro):
    assert kokoro.voices[0].voice_id == DEFAULT_VOICE
    assert len(kokoro.voices) == len(tts_models.KOKORO_VOICES)


@pytest.mark.parametrize(
    ("manner", "voice"),
    [
        (Manner("onyx"), "am_onyx"),
        (Manner("verse"), DEFAULT_VOICE),  # not in this file
        (Manner("onyx", "en-US"), "am_onyx"),
        (Manner("onyx", "en-GB"), "bm_george"),
        (Manner("nova", "en-GB"), "bf_emma"),
        (Manner("ballad", "en"), "bm_george"),
        (Manner("onyx", "fr"), "ff_siwis"),
    ],
)
def test_the_language_counts_more_than_the_name(kokoro, manner, voice):
    assert kokoro.voice_for(manner) == voice


def test_a_language_without_a_voice_cannot_be_said(kokoro):
    with pytest.raises(CannotSay):
        next(kokoro.synthesize("Guten Tag", Manner("alloy", "de"), Halt()))


def test_text_without_sounds_cannot_be_said(kokoro):
    with pytest.raises(CannotSay):
        next(kokoro.synthesize("  ", Manner(), Halt()))
