import pytest

from llm_orchestrator.engines.offline.smalltalk import IDENTITY, answer, identity
from llm_orchestrator.engines.offline.words import read


@pytest.mark.parametrize(
    "question",
    ["who are you", "What's your name?", "what model are you", "which language model do you use",
     "are you chatgpt", "are you a real person", "who made you", "hello who are you",
     "tell me about yourself", "what can you do", "who am i talking to", "are you an ai"],
)  # fmt: skip
def test_asked_who_it_is_it_says_so(question):
    assert identity(read(question)) == IDENTITY
    assert "offline responder" in IDENTITY


@pytest.mark.parametrize(
    "line",
    ["what are you doing", "what is the best model car you know", "are you able to help",
     "who is the president", "hello"],
)  # fmt: skip
def test_other_lines_do_not_ask_that(line):
    assert identity(read(line)) is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("hello", "Hello. How can I help you?"),
        ("hi there", "Hello. How can I help you?"),
        ("good morning", "Good morning. How can I help you?"),
        ("hey how are you", "I am well, thank you. How can I help you?"),
        ("thank you very much", "You are welcome."),
        ("good night", "Goodbye."),
        ("see you tomorrow", "Goodbye."),
    ],
)
def test_courtesies(line, said):
    assert answer(read(line)) == said


@pytest.mark.parametrize(
    "line",
    ["", "hello what time is it", "good idea", "thanks for the report about paris from yesterday"],
)
def test_other_lines_are_no_courtesies(line):
    assert answer(read(line)) is None
