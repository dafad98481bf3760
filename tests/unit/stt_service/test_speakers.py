import numpy as np
import pytest

from mesh.audio import resample
from stt_service.engine import RATE_HZ, Word
from stt_service.speakers import LEAST_S, SAME, Voices, runs_of, voice_of
from tests.e2e.speech import recording
from tts_service.espeak_ng import library

TEXTS = ["the meeting begins at nine tomorrow", "please turn off the light", "where is the station"]


def spoken(text: str, voice: str) -> bytes:
    speech = library().speak(text, voice, 170, lambda: False)
    return resample(bytes(speech.pcm), library().sample_rate_hz, RATE_HZ)


def recorded(name: str) -> bytes:
    return resample(recording(name), 24_000, RATE_HZ)


def test_two_voices_are_told_apart_and_each_is_known_again():
    voices, turns = Voices(), ["en-us", "en-us+f3", "en-us", "en-us", "en-us+f3"]
    names = [voices.name(spoken(TEXTS[n % 3], voice)) for n, voice in enumerate(turns)]
    assert names == ["A", "B", "A", "A", "B"]


def test_so_are_the_voices_of_the_recordings():
    voices = Voices()
    woman = ["what_time_is_it_in_london_today", "what_is_the_weather_in_paris"]
    assert [voices.name(recorded(name)) for name in (*woman, "good_morning")] == ["A", "A", "B"]
    assert voices.name(recorded(woman[0])) == "A"


def test_another_stream_begins_anew():
    assert Voices().name(spoken(TEXTS[0], "en-us+f3")) == "A"


@pytest.mark.parametrize(
    "pcm",
    [b"", bytes(2 * RATE_HZ), bytes(int(RATE_HZ * LEAST_S)), np.random.default_rng(0).bytes(64000)],
    ids=["nothing", "silence", "short", "noise"],
)
def test_what_has_no_voice_is_of_the_one_who_spoke_last(pcm):
    voices = Voices()
    assert voice_of(pcm) is None
    assert voices.name(pcm) == "A"
    voices.name(spoken(TEXTS[0], "en-us"))
    voices.name(spoken(TEXTS[1], "en-us+f3"))
    assert voices.name(pcm) == "B"


@pytest.mark.parametrize("hertz", [90, 120, 180, 300])
def test_the_pitch_is_heard(hertz):
    times = np.arange(RATE_HZ) / RATE_HZ
    buzz = sum(np.sin(2 * np.pi * hertz * n * times) / n for n in range(1, 12))
    voice = voice_of(np.rint(4000 * buzz).astype("<i2").tobytes())
    assert voice is not None
    assert 2 ** (voice.pitch / 12) == pytest.approx(hertz, rel=0.03)


def test_loudness_is_no_voice_of_its_own():
    pcm = np.frombuffer(recorded("good_morning"), dtype="<i2")
    loud, soft = voice_of(pcm.tobytes()), voice_of((pcm // 8).astype("<i2").tobytes())
    assert loud is not None
    assert soft is not None
    assert loud.distance(soft) < SAME / 2


def test_words_are_grouped_by_the_pauses_between_them():
    def word(start_s: float, end_s: float) -> Word:
        return Word("x", int(start_s * RATE_HZ), int(end_s * RATE_HZ))

    words = [word(0, 0.3), word(0.4, 0.8), word(1.2, 1.4), word(1.4, 1.6)]
    assert runs_of(words) == [words[:2], words[2:]]
    assert runs_of([]) == []
