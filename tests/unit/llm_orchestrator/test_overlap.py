import pytest

from llm_orchestrator.overlap import Overlap, mark, unspaced


def overlap(written, text, words=()):
    found = Overlap(written, frozenset(words))
    found.feed(text)
    return found


@pytest.mark.parametrize(
    ("written", "text", "again"),
    [
        ("It is ten", "It is ten forty.", "It is ten"),
        ("It is ten for", "It is ten forty.", "It is ten for"),
        ("Well. It is ten", "It is ten forty.", "It is ten"),
        ("Well\nIt is", "It is ten", "It is"),
        ("It is ten", "is ten forty", "is ten"),
        ("It is ten", "IS, ten forty", "IS, ten"),
        ("I don't know", "don’t know it", "don’t know"),
        ("fifty-six or", "Fifty six or so", "Fifty six or"),
        ("It is ten", " It is ten forty", " It is ten"),
        ("Je dis : « oui »", "je dis: oui!", "je dis: oui"),
        ("今天天气很好", "今天天气很好。明天", "今天天气很好"),
        ("今天天气很好", "天气很好。明天", "天气很好"),
        ("No", "No, it is not.", "No"),
        ("It is in Lon", "London is", "Lon"),
        ("a b c a b", "a b c a b d", "a b c a b"),
    ],
)
def test_a_repetition_is_as_long_as_it_can_be(written, text, again):
    found = overlap(written, text)
    assert text[: found.length] == again
    assert found.decided


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("It is ten", "forty"),
        ("It is very", "very good"),  # one word may be meant
        ("so it is ten", " is ten forty"),  # it goes on, and two words may be meant
        ("It is no", " no no"),
        ("It was for", "forty"),  # two letters more, but "for" is a word
        ("It is a", "apple"),
        ("It is ten forty", "it is nine"),
        ("It is 3.14", "14 is"),  # no word begins in a number
        ("It don't", "t"),
        ("今天很好", "好的"),
        ("The weather. ", "weather"),
        ("", "Hello"),
        (" - ", "Hello"),
    ],
)
def test_what_may_be_new_is_no_repetition(written, text):
    found = overlap(written, f"{text} and on", ["for"])
    assert (found.length, found.decided) == (0, True)


def test_it_is_undecided_while_it_could_still_be_one():
    found = Overlap("It is ten. It is", frozenset())
    decided = []
    for piece in ("It", " is", " ten", ".", " It", " ", "is", " not"):
        found.feed(piece)
        decided.append(found.decided)
    # With "is" all is repeated, and nothing longer can be.
    assert decided == [False] * 6 + [True] * 2
    assert found.length == len("It is ten. It is")


def test_a_shorter_repetition_counts_when_a_longer_one_fails():
    found = overlap("It is ten. It is", "It is nine")
    assert (found.length, found.decided) == (len("It is"), True)


def test_a_broken_word_counts_only_if_it_goes_on():
    for text, length in (("London", 3), ("Lon don", 0), ("Lon", 0)):
        assert overlap("It is in Lon", text).length == length
    assert not overlap("It is in Lon", "Lon").decided


def test_signs_of_vowels_are_compared():
    assert overlap("यह की", "यह का").length == 0


@pytest.mark.parametrize(
    ("char", "compared"),
    [("A", "a"), ("7", "7"), ("ß", "ß"), ("€", "€"), (",", ""), (" ", ""), ("\u200b", "")],
)
def test_a_mark_has_no_case_and_is_one_character(char, compared):
    assert mark(char) == compared


def test_scripts_without_spaces():
    assert all(map(unspaced, "今ひカไກကខ"))
    assert not any(map(unspaced, "aéжא가 1"))
