import pytest

from llm_orchestrator.engines.offline.phrases import Uttered
from llm_orchestrator.engines.offline.words import read


def uttered(line, *subject):
    return Uttered(read(line), subject)


def test_after_a_preposition_until_the_next():
    assert uttered("fly from New Jersey to Rome").after("from") == "New Jersey"
    assert uttered("lunch with the boss on monday").after("with") == "boss"
    assert uttered("say that it is late for dinner").after("that", to_the_end=True) == (
        "it is late for dinner"
    )
    assert uttered("go in").after("in") is None


def test_a_place_keeps_all_its_words():
    assert uttered("trains to salt lake city please").after("to") == "salt lake city"


def test_what_is_taken_is_not_found_again():
    said = uttered("from paris to paris")
    assert [said.after("from"), said.after("to"), said.after("from")] == ["paris", "paris", None]


def test_quotes():
    assert uttered('play "Blue in Green" now').quoted() == "Blue in Green"
    assert uttered("play 'Blue in Green' now").quoted() == "Blue in Green"
    assert uttered("don't play what's new").quoted() is None


@pytest.mark.parametrize(
    ("line", "time"),
    [
        ("call me tomorrow at five pm please", "tomorrow at five pm"),
        ("on friday morning", "friday morning"),
        ("a table for two at eight", "eight"),
        ("a table for two", None),
        ("next week", "next week"),
    ],
)
def test_times(line, time):
    assert uttered(line).time() == time


def test_what_is_left_is_the_longest_run_that_says_something():
    assert uttered("search the web for very funny cats", "search", "web").rest() == (
        "very funny cats"
    )
    assert uttered("what is the weather", "weath", "weather").rest() is None


def test_without_leftovers_there_is_no_rest():
    assert Uttered(read("funny cats"), (), leftovers=False).rest() is None
