import os
import subprocess
import sys

import espeakng_loader
import pytest

from tts_service.espeak_ng import SLOWEST_WPM, library

WPM = 165
ENGLISH = "gmw/en-US"


def go_on() -> bool:
    return False


def test_it_speaks_and_tells_where_words_begin():
    said = library().speak("Hello there", ENGLISH, WPM, go_on)
    assert len(said.pcm) / 2 / library().sample_rate_hz == pytest.approx(0.9, abs=0.4)
    assert [at for at, _ in said.words] == [0, 6]
    assert said.words[0][1] < said.words[1][1]


def test_positions_count_characters_not_bytes():
    said = library().speak("“Grüße” aus", "gmw/de", WPM, go_on)
    assert said.words[-1][0] == 8


def test_told_to_stop_it_ends_at_the_next_callback():
    asked = []
    said = library().speak("word " * 200, ENGLISH, WPM, lambda: bool(asked.append(1)) or True)
    assert len(asked) == 1
    assert not said.pcm


def test_speed_is_words_a_minute():
    slow, fast = (len(library().speak("Hello there", ENGLISH, wpm, go_on).pcm) for wpm in (80, 640))
    assert slow > 5 * fast


def test_below_its_slowest_the_library_does_not_slow_down():
    slowest, slower = (
        len(library().speak("Hello there", ENGLISH, wpm, go_on).pcm) for wpm in (SLOWEST_WPM, 40)
    )
    assert slower == pytest.approx(slowest, rel=0.02)


def test_an_unknown_voice_is_an_error():
    with pytest.raises(RuntimeError, match="no voice"):
        library().speak("Hello", "no/such", WPM, go_on)


def test_languages_are_listed_once_each():
    tags = [language.tag for language in library().languages()]
    assert {"en-us", "en-gb", "de", "cmn"} <= set(tags)
    assert len(set(tags)) == len(tags)


@pytest.fixture
def deep(tmp_path):
    """A path to the data that espeak-ng would cut off."""
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    folder.mkdir(parents=True)
    link = folder / "data"
    link.symlink_to(espeakng_loader.get_data_path())
    return str(link)


LOADS_AND_SPEAKS = """
import sys
from mesh.errors import NotInstalled
from tts_service.espeak_ng import Library
try:
    said = Library(sys.argv[1]).speak("Hello", "gmw/en-US", 165, lambda: False)
except NotInstalled as error:
    print(error)
else:
    print("spoke" if said.pcm else "said nothing")
"""


def in_a_process(data_path: str) -> str:
    """What comes of loading the library there. It is global: not in this process."""
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", LOADS_AND_SPEAKS, data_path]
    return subprocess.run(command, env=path, check=True, capture_output=True, text=True).stdout


def test_data_in_a_deep_folder_is_found(deep):
    assert in_a_process(deep) == "spoke\n"


def test_without_data_it_is_not_installed_and_the_process_lives(tmp_path):
    assert "finds no data" in in_a_process(str(tmp_path))
