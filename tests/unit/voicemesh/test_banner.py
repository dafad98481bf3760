from pathlib import Path

from voicemesh import banner

ABSENT = {"event": "engine absent", "engine": "faster_whisper", "reason": "no weights"}
SERVES = {"event": "engine serves", "engine": "pocketsphinx"}


def facts(**changes):
    values = {
        "http_url": "http://127.0.0.1:8080",
        "key": "sk-dev-1",
        "data_dir": Path(".local").absolute(),
        "elapsed_s": 3.21,
        "engines": {"stt": [ABSENT, SERVES], "tts": [{**SERVES, "engine": "espeak"}]},
        "recording": Path("tests/data/a.wav"),
        "embedded_postgres": True,
    }
    return banner.Facts(**{**values, **changes})


def test_it_says_where_with_what_and_what_to_try():
    text = banner.text(facts())
    for part in ("ws://127.0.0.1:8080/v1/realtime", "sk-dev-1", "talk tests/data/a.wav", "psql"):
        assert part in text


def test_it_says_which_engine_serves_and_how_to_get_a_better_one():
    lines = banner.text(facts()).splitlines()
    [hears] = [line for line in lines if "hears with" in line]
    [speaks] = [line for line in lines if "speaks with" in line]
    assert "pocketsphinx" in hears
    assert "models pull whisper" in hears
    assert "better" not in speaks


def test_what_would_come_after_the_engine_that_serves_is_not_better():
    piper = {"event": "engine absent", "engine": "piper", "reason": "no weights"}
    kokoro = {"event": "engine serves", "engine": "kokoro"}
    assert "better" not in banner.text(facts(engines={"tts": [piper, kokoro]}))


def test_another_database_is_not_ours_to_look_into():
    assert "psql" not in banner.text(facts(embedded_postgres=False))


def test_commands_name_the_data_folder_if_it_is_another_one():
    assert "--data-dir" not in banner.text(facts())
    assert "psql --data-dir /elsewhere" in banner.text(facts(data_dir=Path("/elsewhere")))
