import pytest

from mesh.config import ConfigError, load
from tts_service.config import Config


def test_defaults_need_nothing():
    config = load(Config, {}, prefix="tts")
    assert (config.port, config.metrics_port) == (50052, 9103)
    assert config.engines == ("kokoro", "piper", "espeak")


def test_settings_come_from_the_environment():
    env = {"TTS_ENGINES": "espeak", "MODELS_DIR": "/m", "TTS_PORT": "0"}
    config = load(Config, env, prefix="tts")
    assert (config.engines, str(config.models_dir), config.port) == (("espeak",), "/m", 0)


def test_all_mistakes_are_named():
    with pytest.raises(ConfigError) as wrong:
        load(Config, {"TTS_ENGINES": "festival", "TTS_THREADS": "0"}, prefix="tts")
    assert len(wrong.value.mistakes) == 2
