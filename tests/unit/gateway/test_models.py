from __future__ import annotations

import pytest

from gateway.backends import Profile
from gateway.models import Models, ModelsFileError, load

FILE = """
[[model]]
name = "support-*"
provider = "groq"
llm = "llama-3.3-70b"
stt = "faster_whisper"
tts = ["kokoro", "espeak"]
voice = "echo"
instructions = "Be brief."

[[model]]
name = "many"
llm = [{ provider = "groq", model = "llama" }, { provider = "offline" }]
tts = "piper"

[[model]]
name = "plain"
provider = "ollama"
"""


@pytest.fixture
def written(tmp_path):
    def write(text: str):
        file = tmp_path / "models.toml"
        file.write_text(text)
        return file

    return write


def test_a_file_says_what_serves_a_name(written):
    assert load(written(FILE)) == (
        Profile(
            "support-*",
            llm=(("groq", "llama-3.3-70b"),),
            stt="faster_whisper",
            tts=("kokoro", "espeak"),
            voice="echo",
            instructions="Be brief.",
        ),
        Profile("many", llm=(("groq", "llama"), ("offline", "")), tts=("piper",)),
        Profile("plain", llm=(("ollama", ""),)),
    )


def test_no_file_is_no_profile():
    assert load(None) == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[model", "models.toml: "),
        ("[[model]]\nvoice = 'echo'", "missing required field `name`"),
        ("[[model]]\nname = 'a'\nvioce = 'echo'", "unknown field `vioce`"),
        ("[[modle]]\nname = 'a'", "unknown field `modle`"),
        ("[[model]]\nname = ''", r"model 1 \(''\): the name is empty"),
        ("[[model]]\nname = 'a b'", "no model name"),
        ("[[model]]\nname = 'a'\nllm = 'x'", "llm needs a provider"),
        ("[[model]]\nname = 'a'\nllm = [{provider = ''}]", "llm needs a provider"),
        ("[[model]]\nname = 'a'\nprovider = 'p'\nllm = [{provider = 'q'}]", "provider goes into"),
        ("[[model]]\nname = 'a'\n[[model]]\nname = 'a'", r"model 2 \('a'\): the name is there"),
        ("[[model]]\nname = 'a'\ntts = 5", "model"),
    ],
)
def test_a_bad_file_is_said_with_its_place(written, text, says):
    with pytest.raises(ModelsFileError, match=says):
        load(written(text))


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(ModelsFileError, match=r"none\.toml"):
        load(tmp_path / "none.toml")


def test_the_first_that_takes_a_name_serves_it():
    first, second = Profile("a-*", voice="x"), Profile("a-b", voice="y")
    models = Models((first, second), ("a*",))
    assert models.find("a-b") is first
    assert models.find("ax") == Profile("a*")
    assert models.find("b") is None
    assert models.find("a\n") is None


def test_a_pattern_is_listed_by_a_name_it_takes():
    models = Models((Profile("mine"),), ("gpt-realtime*", "ours", "gpt-?x", "*", "mine"))
    assert models.names() == ["mine", "gpt-realtime", "ours"]


def test_who_names_no_model_gets_the_usual_one():
    assert Models((Profile("mine"),), ("gpt-realtime*",)).default == "gpt-realtime"
    assert Models((Profile("mine"),), ()).default == "mine"
    assert Models((), ("*",)).default == ""
