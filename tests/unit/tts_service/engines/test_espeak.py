import numpy as np
import pytest

from tts_service.config import Config
from tts_service.engine import CannotSay, Halt, Manner
from tts_service.engines.espeak import OPENAI_VOICES, VARIANTS, Espeak, split
from tts_service.voices import OPENAI_NAMES


@pytest.fixture(scope="module")
def espeak() -> Espeak:
    return Espeak(Config())


def audio(espeak: Espeak, manner: Manner, text: str = "Hello there, my friend.") -> np.ndarray:
    return np.concatenate([p.samples for p in espeak.synthesize(text, manner, Halt())])


def pitch_hz(samples: np.ndarray, rate_hz: int) -> float:
    """Median over the voiced frames, by autocorrelation."""
    found = []
    for start in range(0, len(samples) - 1024, 512):
        frame = samples[start : start + 1024] - samples[start : start + 1024].mean()
        likeness = np.correlate(frame, frame, "full")[1023:]
        lag = rate_hz // 350 + int(np.argmax(likeness[rate_hz // 350 : rate_hz // 60]))
        if likeness[0] > 1 and likeness[lag] > 0.4 * likeness[0]:
            found.append(rate_hz / lag)
    return float(np.median(found))


def test_each_of_openais_names_has_a_voice_of_its_own():
    assert sorted(OPENAI_VOICES) == sorted(OPENAI_NAMES)
    assert len(set(OPENAI_VOICES.values())) == len(OPENAI_NAMES)
    assert {split(voice)[1] for voice in OPENAI_VOICES.values()} <= set(VARIANTS)


def test_voices_differ_as_their_names_promise(espeak):
    pitches = {
        name: pitch_hz(audio(espeak, Manner(name)), espeak.sample_rate_hz)
        for name in ("onyx", "cedar", "marin")
    }
    assert pitches["onyx"] < 80 < pitches["cedar"] < 120 < 170 < pitches["marin"]


@pytest.mark.parametrize(
    ("manner", "voice"),
    [
        (Manner("alloy"), "en-us+f2"),
        (Manner("ALLOY"), "en-us+f2"),
        (Manner("alloy", "de-DE"), "de+f2"),
        (Manner("fable", "en-US"), "en-us+adam"),
        (Manner("fable", "en"), "en-gb+adam"),
        (Manner("de"), "de"),
        (Manner("de+m3"), "de+m3"),
        (Manner("de+../../x"), "en-us+f2"),
        (Manner("", "zh-CN"), "cmn+f2"),
    ],
)
def test_a_voice_is_a_language_and_a_variant(espeak, manner, voice):
    assert espeak.voice_for(manner) == voice


def test_a_language_nobody_speaks_cannot_be_said(espeak):
    with pytest.raises(CannotSay):
        espeak.voice_for(Manner("alloy", "xx"))


def test_a_number_is_one_word_where_it_is_written(espeak):
    text = "It is 3:45 PM, $5.20 (or 12,345)."
    pieces = espeak.synthesize(text, Manner(), Halt())
    words = [text[w.start_char : w.end_char] for piece in pieces for w in piece.words]
    assert words == text.split()


def test_below_the_librarys_slowest_the_pitch_stays(espeak):
    normal = audio(espeak, Manner("marin"))
    slow = audio(espeak, Manner("marin", speed=0.25))
    assert len(slow) == pytest.approx(4 * len(normal), rel=0.15)
    assert pitch_hz(slow, espeak.sample_rate_hz) == pytest.approx(
        pitch_hz(normal, espeak.sample_rate_hz), rel=0.15
    )
