import pytest

from llm_orchestrator.engines.offline import words


def test_words_know_where_they_were():
    said = words.read("  What’s the time in New York?")
    assert said.plain == ["what's", "the", "time", "in", "new", "york"]
    assert said.between(4, 6) == "New York"
    assert said.between(4, 4) == ""


def test_numbers_and_letters_are_words_of_their_own():
    assert words.read("At 12:30, pay 1,000.50 for forty-two 5pm").plain == [
        "at", "12:30", "pay", "1,000.50", "for", "forty", "two", "5", "pm"
    ]  # fmt: skip


def test_names_from_code_are_words():
    assert words.parts("get_stockPrice") == ["get", "stock", "price"]
    assert words.parts("book-table") == ["book", "table"]
    assert words.parts("HTTP2Url") == ["http2", "url"]


@pytest.mark.parametrize(
    "family",
    [
        ["book", "books", "booking", "booked", "book's"],
        ["price", "prices", "pricing", "priced"],
        ["run", "running", "runs"],
        ["call", "calls", "calling", "called"],
        ["city", "cities"],
        ["remind", "reminder", "reminders", "reminded"],
        ["weather", "weather's"],
        ["box", "boxes"],
        ["pass", "passes", "passing"],
    ],
)
def test_forms_of_a_word_meet(family):
    assert len(words.stems(family)) == 1


def test_other_words_do_not():
    assert words.stem("timer") != words.stem("time")
    assert words.stem("bus") != words.stem("but")
