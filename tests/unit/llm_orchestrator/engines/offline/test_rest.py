import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_orchestrator.engines.offline.rest import rest

NOW = "It is ten forty two in the morning."
BEFORE = "It is ten forty one in the morning."


@given(st.integers(0, len(BEFORE)))
def test_of_an_answer_that_begins_so_it_is_exactly_the_rest(cut):
    assert rest([BEFORE, NOW], BEFORE[:cut]) == BEFORE[cut:]
    assert rest([NOW, BEFORE], NOW[:cut]) == NOW[cut:]


def test_an_answer_of_a_minute_ago_goes_on_as_it_began():
    assert rest([NOW, BEFORE], "It is ten forty o") == "ne in the morning."
    assert rest([NOW, BEFORE], "It is ten forty") == " two in the morning."


@pytest.mark.parametrize(
    ("written", "new"),
    [
        ("It is ten forty one", " in the morning."),
        ("It is ten thirty nine in", " the morning."),
        ("It is nine in the morning.", ""),
        ("Sure! It is ten", " forty two in the morning."),
        ("Sure! it's ten. It is ten forty ", "two in the morning."),
        ("Sure!", f" {NOW}"),
        ("It is a fine day to ask", " ten forty two in the morning."),
        (NOW.upper(), ""),
        (f"{NOW} Enjoy", ""),
    ],
)
def test_of_another_answer_nothing_is_said_twice(written, new):
    assert rest([NOW], written) == new


def test_nothing_to_say_stays_nothing():
    assert rest([""], "Well") == ""
