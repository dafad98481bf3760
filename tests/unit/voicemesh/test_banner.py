import re
from pathlib import Path

from voicemesh import banner

ABSENT = {
    "event": "engine absent",
    "engine": "faster_whisper",
    "reason": "no model.bin in /models; run `voicemesh models pull whisper`",
}
SERVES = {"event": "engine serves", "engine": "pocketsphinx"}


def facts(**changes):
    values = {
        "http_url": "http://127.0.0.1:8080",
        "https_url": "https://127.0.0.1:8443",
        "ca_file": Path(".local/tls/ca.pem").absolute(),
        "gateways": ["http://127.0.0.1:8080"],
        "stats_url": None,
        "key": "sk-dev-1",
        "data_dir": Path(".local").absolute(),
        "elapsed_s": 3.21,
        "engines": {"stt": [ABSENT, SERVES], "tts": [{**SERVES, "engine": "espeak"}]},
        "wanted": {"stt": ["faster_whisper", "pocketsphinx"], "tts": ["kokoro", "piper", "espeak"]},
        "recording": Path("tests/data/a.wav"),
        "embedded_postgres": True,
    }
    return banner.Facts(**{**values, **changes})


def test_it_says_where_with_what_and_what_to_try():
    text = banner.text(facts())
    for part in ("ws://127.0.0.1:8080/v1/realtime", "sk-dev-1", "talk tests/data/a.wav", "psql"):
        assert part in text


def test_several_gateways_are_listed_and_haproxy_with_them():
    several = ["http://127.0.0.1:8080", "http://127.0.0.1:20000"]
    assert "gateway-1" not in banner.text(facts())
    assert re.search(r"gateway-2 +http://127\.0\.0\.1:20000", banner.text(facts(gateways=several)))
    balanced = banner.text(facts(stats_url="http://127.0.0.1:8404"))
    assert re.search(r"HAProxy +http://127\.0\.0\.1:8404/stats", balanced)
    assert "gateway-1" in balanced


def test_it_says_where_tls_is_served_and_what_to_trust():
    served = "wss://127.0.0.1:8443/v1/realtime"
    assert f"{served}   (CA: .local/tls/ca.pem)" in banner.text(facts())
    assert "CA:" not in banner.text(facts(ca_file=None))
    assert served in banner.text(facts(ca_file=None))
    assert "wss:" not in banner.text(facts(https_url=None, ca_file=None))


def test_it_says_which_engine_serves_and_what_to_do_for_a_better_one():
    lines = banner.text(facts()).splitlines()
    [n] = [n for n, line in enumerate(lines) if "hears with" in line]
    assert lines[n].endswith("hears with   pocketsphinx")
    assert lines[n + 1].split()[:3] == ["better:", "faster_whisper:", "run"]
    assert lines[n + 1].endswith("voicemesh models pull whisper")
    assert "no model.bin" not in lines[n + 1]
    assert "better" not in lines[n + 2]


def test_better_engines_come_in_the_order_of_the_settings():
    def absent(name):
        return {"event": "engine absent", "engine": name, "reason": f"get {name}"}

    engines = {"tts": [absent("b"), absent("a"), {**SERVES, "engine": "c"}]}
    text = banner.text(facts(engines=engines, wanted={"tts": ["a", "b", "c"]}))
    assert text.index("get a") < text.index("get b")


def test_what_would_come_after_the_engine_that_serves_is_not_better():
    piper = {"event": "engine absent", "engine": "piper", "reason": "no weights"}
    kokoro = {"event": "engine serves", "engine": "kokoro"}
    assert "better" not in banner.text(facts(engines={"tts": [piper, kokoro]}))


def test_an_engine_that_serves_nothing_yet_is_a_question():
    assert "thinks with  ?" in banner.text(facts())


def test_another_database_is_not_ours_to_look_into():
    assert "psql" not in banner.text(facts(embedded_postgres=False))


def test_commands_name_the_data_folder_if_it_is_another_one():
    assert "--data-dir" not in banner.text(facts())
    assert "psql --data-dir /elsewhere" in banner.text(facts(data_dir=Path("/elsewhere")))
    assert "models pull whisper --data-dir /elsewhere" in banner.text(
        facts(data_dir=Path("/elsewhere"))
    )
