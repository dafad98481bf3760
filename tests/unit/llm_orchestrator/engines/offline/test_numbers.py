from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_orchestrator.engines.offline import numbers


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (19, "nineteen"),
        (42, "forty two"),
        (100, "one hundred"),
        (105, "one hundred five"),
        (12_345, "twelve thousand three hundred forty five"),
        (1_000_005, "one million five"),
        (-7, "minus seven"),
    ],
)
def test_whole_numbers_in_words(number, words):
    assert numbers.cardinal(number) == words


def test_decimals_in_words():
    assert numbers.decimal(Fraction(7, 2)) == "three point five"
    assert numbers.decimal(Fraction(-1, 20)) == "minus zero point zero five"
    assert numbers.decimal(Fraction(1, 3)) == "zero point three three three three"
    assert numbers.decimal(Fraction(-1, 10**6)) == "zero"


def test_ordinals_in_words():
    said = [numbers.ordinal(n) for n in (1, 2, 3, 5, 8, 9, 12, 20, 21, 30)]
    assert said == [
        "first", "second", "third", "fifth", "eighth", "ninth", "twelfth", "twentieth",
        "twenty first", "thirtieth",
    ]  # fmt: skip


def test_years_in_words():
    assert [numbers.year(n) for n in (2026, 2009, 2000, 2010, 1984, 1905, 1900)] == [
        "twenty twenty six", "two thousand nine", "two thousand", "twenty ten",
        "nineteen eighty four", "nineteen oh five", "nineteen hundred",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("forty two", [42]),
        ("a hundred", [100]),
        ("one hundred and five", [105]),
        ("two hundred and five thousand and twelve", [205_012]),
        ("five and six", [5, 6]),
        ("one hundred and five and six", [105, 6]),
        ("two thousand three thousand", [2000, 3000]),
        ("nineteen eighty four", [19, 84]),
        ("three point one four", [Fraction(314, 100)]),
        ("three point taken", [3]),
        ("3.5 million people", [3_500_000]),
        ("1,000 and 2", [1000, 2]),
        ("no number here", []),
        ("hundred", []),
        ("one hundred and", [100]),
    ],
)
def test_numbers_are_found(line, values):
    assert [found.value for _, found in numbers.every(line.split())] == values


@given(st.integers(0, numbers.LARGEST - 1))
def test_what_is_said_is_read_back(number):
    words = numbers.cardinal(number).split()
    found = numbers.at(words, 0)
    assert found == numbers.Found(Fraction(number), len(words))
