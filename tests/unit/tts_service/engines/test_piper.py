import pytest

from tests.contract import tts_models
from tts_service.config import Config
from tts_service.engine import CannotSay, Halt, Manner
from tts_service.engines.piper import Piper
from tts_service.voices import OPENAI_NAMES

ONE, MANY = "en_US-one-medium", "en_US-many-medium"


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory):
    models_dir = tmp_path_factory.mktemp("models")
    tts_models.piper(models_dir, ONE)
    tts_models.piper(models_dir, MANY, speakers=tts_models.SPEAKERS)
    return models_dir


def test_a_voice_of_one_speaker_takes_every_name(models_dir):
    piper = Piper(Config(models_dir=models_dir, piper_voice=ONE))
    assert [voice.voice_id for voice in piper.voices] == [ONE]
    assert piper.voices[0].languages == ("en-us",)
    assert piper.voice_for(Manner("onyx")) == ONE


def test_openais_names_are_spread_over_the_speakers(models_dir):
    piper = Piper(Config(models_dir=models_dir, piper_voice=MANY))
    chosen = {piper.voice_for(Manner(name)) for name in OPENAI_NAMES}
    assert chosen == {f"{MANY}#{name}" for name in tts_models.SPEAKERS}
    assert piper.voice_for(Manner(f"{MANY}#cid")) == f"{MANY}#cid"


def test_another_language_cannot_be_said(models_dir):
    piper = Piper(Config(models_dir=models_dir, piper_voice=ONE))
    assert piper.voice_for(Manner("", "en-GB")) == ONE
    with pytest.raises(CannotSay):
        next(piper.synthesize("Guten Tag", Manner("", "de"), Halt()))


def test_brackets_do_not_begin_phonemes(models_dir):
    piper = Piper(Config(models_dir=models_dir, piper_voice=ONE))
    plain = sum(len(p.samples) for p in piper.synthesize("see here", Manner(), Halt()))
    quoted = sum(len(p.samples) for p in piper.synthesize("see [[here]]", Manner(), Halt()))
    assert quoted >= plain
