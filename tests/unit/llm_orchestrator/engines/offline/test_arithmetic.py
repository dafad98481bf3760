import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_orchestrator.engines.offline import numbers
from llm_orchestrator.engines.offline.arithmetic import answer


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("what is twelve plus thirty", "Twelve plus thirty is forty two."),
        ("seven times eight", "Seven times eight is fifty six."),
        ("What's 12+30?", "Twelve plus thirty is forty two."),
        ("3.5 x 2", "Three point five times two is seven."),
        ("3-5", "Three minus five is minus two."),
        ("-5 + 3", "Minus five plus three is minus two."),
        ("(3 + 4) * 2", "That is fourteen."),
        ("two plus three times four", "Two plus three times four is fourteen."),
        ("hello what is two plus two please", "Two plus two is four."),
        ("square root of nine", "The square root of nine is three."),
        (
            "what is the square root of two",
            "The square root of two is about one point four one four two.",
        ),
        ("twenty percent of fifty", "Twenty percent of fifty is ten."),
        ("20% of 50", "Twenty percent of fifty is ten."),
        ("two to the power of ten", "Two to the power of ten is one thousand twenty four."),
        ("2**10", "Two to the power of ten is one thousand twenty four."),
        ("five squared", "Five squared is twenty five."),
        ("half of ten", "Half of ten is five."),
        ("double seven", "Twice seven is fourteen."),
        ("ten divided by four", "Ten divided by four is two point five."),
        ("ten over three", "Ten divided by three is about three point three three three three."),
        ("ten modulo three", "Ten modulo three is one."),
        ("add five and six", "Five plus six is eleven."),
        (
            "add twenty two and one hundred and five",
            "Twenty two plus one hundred five is one hundred twenty seven.",
        ),
        ("subtract five from ten", "Ten minus five is five."),
        ("divide ten by four", "Ten divided by four is two point five."),
        ("multiply six by seven", "Six times seven is forty two."),
        ("the sum of two and three", "Two plus three is five."),
        ("what does five plus five equal", "Five plus five is ten."),
    ],
)
def test_questions_in_digits_and_words(question, said):
    assert answer(question) == said


def test_what_a_recogniser_may_have_spelled_as_another_word():
    assert answer("seven times ate") == "Seven times eight is fifty six."
    assert answer("four plus to") == "Four plus two is six."


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("ten divided by zero", "Nothing can be divided by zero."),
        ("five modulo zero", "Nothing can be divided by zero."),
        ("zero to the power of minus one", "Nothing can be divided by zero."),
        ("square root of minus four", "A negative number has no real square root."),
        ("2^200", "The result is too large to say."),
        ("9^60 * 9^60", "The result is too large to say."),
        ("99999^63.5", "The result is too large to say."),
    ],
)
def test_what_has_no_answer_says_why(question, said):
    assert answer(question) == said


@pytest.mark.parametrize(
    "line",
    [
        "", "what is nine", "what time is it", "i called three times", "five minus", "plus",
        "my number is 555-1234", "the first time", "to be or not to be", "( ( (",
        "minus " * 1000 + "five",
    ],
)  # fmt: skip
def test_other_lines_are_not_arithmetic(line):
    assert answer(line) is None


@given(st.text(max_size=80))
def test_no_text_is_too_strange(text):
    answer(text)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from("+-*"))
def test_whole_numbers_are_exact(left, right, operator):
    value = {"+": left + right, "-": left - right, "*": left * right}[operator]
    said = answer(f"{left} {operator} {right}")
    assert said.endswith(f" is {numbers.cardinal(value)}.")
