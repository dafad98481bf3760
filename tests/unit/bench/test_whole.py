"""The judge of answers: what is not whole is found."""

from __future__ import annotations

import pytest

from bench import whole
from bench.whole import RATE_HZ, Kept, faults

TEXT = "One two three. Four five six."


@pytest.fixture
def good(monkeypatch):
    """A whole answer; its audio is judged elsewhere."""
    monkeypatch.setattr(whole, "_unheard", lambda pcm, text: [])
    kept = Kept(["One two", " three. Four", " five six."], [TEXT], ["completed"])
    for n in range(10):
        kept.audio(n / 10, bytes(RATE_HZ // 10 * 2))
    return kept


def test_a_whole_answer_has_no_faults(good):
    assert good.seconds == 1.0
    assert faults(good, TEXT, seconds=1.0) == []


@pytest.mark.parametrize(
    "deltas",
    [
        ["One two", " three. Four"],  # the end is missing
        ["One two", " five six."],  # a part is
        ["One two", " three. Four", " three. Four", " five six."],  # twice
        [" three. Four", "One two", " five six."],  # out of order
        ["One two", " three.  Four", " five six."],  # a space too many
    ],
)
def test_a_text_that_is_not_said_once_in_order_is_a_fault(good, deltas):
    good.deltas = deltas
    [fault] = faults(good, TEXT)
    assert fault.startswith("the text differs")


@pytest.mark.parametrize("transcripts", [[], [TEXT, TEXT], [TEXT[:-1]]])
def test_the_transcript_is_told_once(good, transcripts):
    good.transcripts = transcripts
    [fault] = faults(good, TEXT)
    assert fault.startswith("the transcript")


@pytest.mark.parametrize("statuses", [[], ["completed", "completed"], ["failed"], ["cancelled"]])
def test_it_completes_once(good, statuses):
    good.statuses = statuses
    [fault] = faults(good, TEXT)
    assert fault.startswith("it ended")


@pytest.mark.parametrize("seconds", [0.9, 1.1])
def test_audio_that_is_cut_or_said_again_is_a_fault(good, seconds):
    [fault] = faults(good, TEXT, seconds=seconds)
    assert "s of audio instead of" in fault


def test_noise_is_not_the_text():
    kept = Kept([TEXT], [TEXT], ["completed"], bytearray(RATE_HZ * 4))
    assert "the audio does not say the text" in faults(kept, TEXT)


def test_a_recording_says_its_own_words_and_no_others():
    from tests.e2e.speech import recording

    said = "What is the weather in Paris?"
    pcm = bytearray(recording("what_is_the_weather_in_paris"))
    assert faults(Kept([said], [said], ["completed"], pcm), said) == []
    twice = f"{said} {said}"
    assert faults(Kept([twice], [twice], ["completed"], pcm), twice) != []


def test_the_gap_is_between_the_last_audio_before_and_the_first_after(good):
    assert good.gap_ms(0.25) == pytest.approx(100)
    good.times_s = [0.0, 0.1, 0.9]
    assert good.gap_ms(0.15) == pytest.approx(800)
    assert good.gap_ms(5.0) is None
    assert Kept().gap_ms(1.0) is None
