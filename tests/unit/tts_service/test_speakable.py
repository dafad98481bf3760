import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_service.speakable import speakable


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("**Bold** and *it*", "Bold and it"),
        ("use `make run` now", "use make run now"),
        ("# Heading", "Heading"),
        ("one\n- item\n* item *two*\n> quote", "one\nitem\nitem two\nquote"),
        ("see [the page](https://example.com/a).", "see the page."),
        ("![a cat](cat.png)", "a cat"),
        ("```python\nx = 1\n```", "\nx = 1\n"),
        ("3 * 4 = 12", "3 × 4 = 12"),
        ("2**3", "2 3"),
        ("snake_case", "snake case"),
        ("C# is #1", "C# is 1"),
        ("hi 👋🏽 you ✅", "hi  you "),
        ("-5 degrees, 3.14 and 3:45", "-5 degrees, 3.14 and 3:45"),
        ("a\x00b", "ab"),
    ],
)
def test_marks_for_the_eye_are_not_spoken(written, spoken):
    assert speakable(written).text == spoken


def test_a_text_without_letters_or_digits_is_silent():
    assert speakable("**\n🎉…").is_silent
    assert not speakable("**7**").is_silent


@given(st.text(alphabet=st.sampled_from("ab1 *_`#[](!.\n-🎉|~é"), max_size=60))
def test_every_spoken_character_leads_back_to_where_it_was_written(written):
    spoken = speakable(written)
    assert len(spoken.written_at) == len(spoken.text)
    assert list(spoken.written_at) == sorted(spoken.written_at)
    for char, at in zip(spoken.text, spoken.written_at, strict=True):
        assert written[at] == char or (char in " ×" and written[at] in "*_|")


def test_a_place_divides_it():
    spoken = speakable("**One** two")
    assert (spoken.until(4).text, spoken.behind(4).text) == ("One ", "two")
    assert spoken.until(4).written_at + spoken.behind(4).written_at == spoken.written_at
