import pytest

from stt_service.agreement import Agreement


def told(*guesses: str) -> list[str]:
    """What is told of each guess, with a bar behind what is stable."""
    agreement = Agreement()
    found = [agreement.heard(guess) for guess in guesses]
    return [f"{one.text[: one.stable_chars]}|{one.text[one.stable_chars :]}" for one in found]


def test_one_guess_is_not_enough():
    assert told("what time") == ["|what time"]


def test_words_that_two_guesses_in_a_row_agree_on_are_stable():
    assert told("what time", "what time is", "what time is it") == [
        "|what time",
        "what time| is",
        "what time is| it",
    ]


def test_where_they_differ_nothing_is_stable_yet():
    assert told("what dime", "what time is", "what dime is it")[1:] == [
        "what| time is",
        "what| dime is it",
    ]


def test_stable_words_do_not_change_and_what_follows_keeps_its_place():
    assert told("good mourning", "good mourning to", "good morning to you")[2] == (
        "good mourning to| you"
    )


def test_a_shorter_guess_takes_nothing_back():
    assert told("good morning", "good morning", "good")[1:] == ["good morning|", "good morning|"]
    assert told("good morning", "good morning", "")[2] == "good morning|"


def test_capitals_and_punctuation_are_no_difference_and_stay_as_they_were():
    assert told("Good morning,", "good Morning to", "Good morning. To")[1:] == [
        "good Morning| to",
        "good Morning To|",
    ]


@pytest.mark.parametrize("words", ["-- yes", "42 7", "ја да"])
def test_words_of_any_kind_are_compared(words):
    first, second = words.split()
    assert told(words, f"{first} x")[1] == f"{first}| x"
    assert told(words, f"{second} x")[1] == f"|{second} x"


def test_what_is_stable_never_shrinks_or_changes():
    guesses = ["a b c", "a b d", "x b d e", "a b d e", "a b", "", "a b d e f", "q b d e f g"]
    before = ""
    for line in told(*guesses):
        stable = line.split("|")[0]
        assert stable.startswith(before)
        before = stable
    assert before == "a b d e f"
