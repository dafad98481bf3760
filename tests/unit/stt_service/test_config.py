import pytest

from mesh.config import ConfigError, load
from stt_service.config import Config


def test_defaults_need_nothing():
    config = load(Config, {}, prefix="stt")
    assert (config.port, config.metrics_port) == (50051, 9102)
    assert config.engines == ("faster_whisper", "pocketsphinx")
    assert (config.threshold, config.prefix_ms, config.silence_ms) == (0.5, 300, 200)


def test_settings_come_from_the_environment():
    env = {"STT_ENGINES": "pocketsphinx", "MODELS_DIR": "/m", "STT_SILENCE_MS": "500"}
    config = load(Config, env, prefix="stt")
    assert (config.engines, str(config.models_dir)) == (("pocketsphinx",), "/m")
    assert config.silence_ms == 500


def test_all_mistakes_are_named():
    with pytest.raises(ConfigError) as wrong:
        load(Config, {"STT_ENGINES": "siri", "STT_THRESHOLD": "1"}, prefix="stt")
    assert [mistake.split("=")[0] for mistake in wrong.value.mistakes] == [
        "STT_ENGINES", "STT_THRESHOLD"
    ]  # fmt: skip
