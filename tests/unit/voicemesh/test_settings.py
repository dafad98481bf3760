from __future__ import annotations

from pathlib import Path

import pytest

from voicemesh import settings

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def test_the_page_tells_what_the_tiers_take():
    assert PAGE.read_text() == settings.markdown(), "run `voicemesh settings > docs/settings.md`"


def test_every_setting_has_its_variable_default_and_meaning():
    port = next(s for s in settings.of("gateway") if s.variable == "PORT")
    assert port == settings.Setting(
        "PORT", "8080", "Port for clients, HTTP and WebSocket. 0 takes a free one."
    )
    for package in settings.TIERS:
        assert all(setting.meaning for setting in settings.of(package))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("STT_ENGINE", "STT_ENGINE is no setting; did you mean STT_ENGINES?"),
        ("GATEWAY_PORT", "GATEWAY_PORT is no setting; did you mean PORT?"),
        ("LLM_GROQ_API_KEY", "LLM_GROQ_API_KEY is no setting; did you mean GROQ_API_KEY?"),
        ("TTS_MODEL_DIR", "TTS_MODEL_DIR is no setting; did you mean MODELS_DIR?"),
        ("PERSISTENCE_COLOUR", "PERSISTENCE_COLOUR is no setting"),
    ],
)
def test_a_variable_that_only_looks_like_a_setting_is_named(name, said):
    assert settings.unknown({name: "x", "PATH": "/bin"}) == [said]


def test_what_is_a_setting_is_not_named():
    every = {s.variable: "" for package in settings.TIERS for s in settings.of(package)}
    assert settings.unknown({**every, "REDIS_PORT": "1", "HOME": "/"}) == []


def test_engines_are_those_of_the_settings_in_their_order():
    found = settings.engines({"TTS_ENGINES": "espeak,kokoro"})
    assert found["tts"] == ("espeak", "kokoro")
    assert found["stt"][-1] == "pocketsphinx"
    assert set(found) == {"stt", "tts", "llm"}
