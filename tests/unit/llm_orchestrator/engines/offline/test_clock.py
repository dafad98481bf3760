from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from llm_orchestrator.engines.offline.clock import answer
from llm_orchestrator.engines.offline.words import read

NOW = datetime(2026, 11, 23, 15, 45, tzinfo=ZoneInfo("Europe/London"))


def ask(text, now=NOW):
    return answer(read(text), now)


@pytest.mark.parametrize(
    "question",
    ["what time is it", "tell me the time please", "What's the time now?", "time",
     "have you got the time", "hello what time is it"],
)  # fmt: skip
def test_the_time_here(question):
    assert ask(question) == "It is three forty five in the afternoon."


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("what time is it in london today", "three forty five in the afternoon in London"),
        ("What's the time in New York?", "ten forty five in the morning in New York"),
        ("tokyo time", "twelve forty five at night in Tokyo"),
        ("current time in australia", "two forty five in the morning in Canberra"),
        ("what time is it right now in new delhi", "nine fifteen at night in New Delhi"),
    ],
)
def test_the_time_elsewhere(question, said):
    assert ask(question) == f"It is {said}."


@pytest.mark.parametrize(
    ("hour", "minute", "said"),
    [
        (0, 0, "midnight"),
        (12, 0, "noon"),
        (9, 0, "nine o'clock in the morning"),
        (15, 5, "three oh five in the afternoon"),
        (18, 30, "six thirty in the evening"),
        (23, 59, "eleven fifty nine at night"),
        (12, 1, "twelve oh one in the afternoon"),
    ],
)
def test_hours_and_minutes_as_they_are_said(hour, minute, said):
    assert ask("what time is it", NOW.replace(hour=hour, minute=minute)) == f"It is {said}."


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("what day is it", "Today is Monday, the twenty third of November, twenty twenty six."),
        ("what is today's date", "Today is Monday, the twenty third of November,"
         " twenty twenty six."),
        ("what day is it tomorrow", "Tomorrow is Tuesday, the twenty fourth of November,"
         " twenty twenty six."),
        ("what was the date yesterday", "Yesterday was Sunday, the twenty second of November,"
         " twenty twenty six."),
        ("what is the date in tokyo", "Today is Tuesday, the twenty fourth of November,"
         " twenty twenty six in Tokyo."),
        ("what month is it", "It is November."),
        ("what year is it", "It is twenty twenty six."),
    ],
)  # fmt: skip
def test_dates(question, said):
    assert ask(question) == said


def test_a_place_it_does_not_know_is_named():
    assert ask("what time is it in narnia") == "I do not know what time it is in narnia."


@pytest.mark.parametrize(
    "line",
    ["", "london", "what time does the shop open", "what time is my meeting", "today",
     "i had a nice time in paris", "i had a nice day", "how many times", "one more time",
     "set a timer for five minutes", "the first day of spring is nice"],
)  # fmt: skip
def test_other_lines_are_not_about_the_clock(line):
    assert ask(line) is None
