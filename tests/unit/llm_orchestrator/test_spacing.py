import pytest

from llm_orchestrator.spacing import LONGEST_WORD, between, words_of

WORDS = words_of("What is the weather like in London, please?", "It's warm into the night")


@pytest.mark.parametrize(
    ("written", "more"),
    [
        ("The capital is", "Paris."),
        ("It is", "42 degrees"),
        ("It is 42", "degrees"),
        ("It is", "sunny"),
        ("It's", "sunny"),
        ("rather nice", "in summer"),
        ("Hello.", "How"),
        ("Hello,", "you"),
        ("Hello!", "2 things"),
        ("this:", "one"),
        ("(maybe)", "one"),
        ("the", "(new) one"),
        ("the", "“new”"),
    ],
)
def test_a_space_is_missing(written, more):
    assert between(written, f"{more} and", WORDS, final=False) == " "


@pytest.mark.parametrize(
    ("written", "more"),
    [
        ("in Lon", "don"),
        ("went in", "to the house"),
        ("an unfor", "tunate"),
        ("at 10:", "42"),
        ("3.", "14"),
        ("19", "84"),
        ("the 4", "th"),
        ("example.", "com"),
        ("ASC", "II"),
        ("the", ", well"),
        ("the", " one"),
        ("the", "\none"),
        ("don'", "t"),
        ("don’", "t"),
        ("well-", "known"),
        ("(", "maybe"),
        ("今天", "很好"),
        ("today", "今天"),
        ("the—", "(x)"),
    ],
)
def test_no_space_is_missing(written, more):
    assert between(written, f"{more} and", WORDS, final=False) == ""


def test_a_word_is_waited_for_when_it_counts_and_not_for_ever():
    assert between("in Lon", "do", WORDS, final=False) is None
    assert between("in Lon", "don", WORDS, final=True) == ""
    assert between("it is", "sunny", WORDS, final=True) == " "
    assert between("an unfor", "x" * LONGEST_WORD, WORDS, final=False) == ""


def test_words_are_without_case_and_what_surrounds_them():
    assert words_of("“Hello”, it's (John)!", "") == {"hello", "it's", "john"}
