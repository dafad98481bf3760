import pytest
from hypothesis import given
from hypothesis import strategies as st

from stt_service.turn_taking import WAITS, Eagerness, Ending, ending_of, wait_ms

FINISHED = """
what is the weather in paris
what time is it in london today
what time is it
how are you
can you hear me
turn the light off
turn it off
set a timer for ten minutes
play some music
yes
no
okay thanks
thank you
good morning
i think so
my number is five five five one two three four
my phone number is 5551234
tell me about it please
Who are you talking to?
Ich möchte nach Hause gehen.
"""
UNFINISHED = """
what is the weather in
set a timer for ten minutes and
i would like to
i want
my name is
the capital of france is
tell me about the
um
so
what
and where
can you
um can you
give me
because
i was thinking that we could go to the
my number is five five
my code is four
it costs about
turn on the
let's
i went home and um
Well, I...
I would like bread, butter,
I went to the.
"""
UNCLEAR = """
i live in london
who is it for
i know what it is
my pin is one two three four
we met at five
the weather
"""


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        *((text, Ending.FINISHED) for text in lines(FINISHED)),
        *((text, Ending.UNFINISHED) for text in lines(UNFINISHED)),
        *((text, Ending.UNCLEAR) for text in lines(UNCLEAR)),
        ("", Ending.UNCLEAR),
        ("...", Ending.UNFINISHED),
    ],
)
def test_what_the_words_before_a_pause_sound_like(text, ending):
    assert ending_of(text) is ending


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        ("so", Ending.UNCLEAR),  # German says it at the end too
        ("wie spät ist es", Ending.UNCLEAR),
        ("Wie spät ist es?", Ending.FINISHED),
        ("今何時ですか。", Ending.FINISHED),
        ("Brot, Butter,", Ending.UNFINISHED),
        ("und dann…", Ending.UNFINISHED),
    ],
)
def test_another_language_goes_by_its_punctuation(text, ending):
    assert ending_of(text, "de-DE") is ending
    assert ending_of("so", "en-GB") is Ending.UNFINISHED


def test_the_waits_are_those_of_the_contract():
    unfinished = [wait_ms("and", eagerness) for eagerness in Eagerness]
    assert unfinished == [8000, 4000, 2000]
    finished = [wait_ms("what time is it", eagerness) for eagerness in Eagerness]
    assert finished == [500, 400, 300]


def test_who_pauses_long_is_given_longer():
    assert wait_ms("i live in london", Eagerness.MEDIUM) == 1000
    slow = [wait_ms("i live in london", Eagerness.MEDIUM, longest_pause_ms=n) for n in (700, 2000)]
    assert slow == [1000, 2500]
    assert wait_ms("i live in london", Eagerness.HIGH, longest_pause_ms=5000) == 2000
    assert wait_ms("yes", Eagerness.HIGH, longest_pause_ms=5000) == 300


vocabulary = st.sampled_from([*" ".join((FINISHED, UNFINISHED, UNCLEAR)).split(), "7", "-", "’s"])
texts = st.text() | st.lists(vocabulary).map(" ".join)
languages = st.sampled_from(["", "en", "en-US", "de", "zh-Hant"])


@given(texts, languages, st.integers(0, 20_000))
def test_the_wait_has_bounds_and_the_more_eager_never_waits_longer(text, language, pause_ms):
    found = [
        wait_ms(text, eagerness, language=language, longest_pause_ms=pause_ms)
        for eagerness in (Eagerness.HIGH, Eagerness.MEDIUM, Eagerness.LOW)
    ]
    assert found == sorted(found)
    for waited, eagerness in zip(found, reversed(Eagerness), strict=True):
        assert WAITS[eagerness].finished <= waited <= WAITS[eagerness].unfinished
