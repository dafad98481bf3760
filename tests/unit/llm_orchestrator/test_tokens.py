import pytest

from llm_orchestrator import tokens
from llm_orchestrator.engine import Image, Message, Request, Role, Tool, ToolCall

# Common English words and marks are one token each.
KNOWN = {
    "The quick brown fox jumps over the lazy dog.": 10,
    "What is the weather like in Paris today?": 9,
    "hello": 1,
}


@pytest.mark.parametrize("text", KNOWN)
def test_english_is_counted_to_a_half_too_high(text):
    assert KNOWN[text] <= tokens.of_text(text) <= KNOWN[text] * 1.5 + 1


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ('{"location": "paris", "days": 3}', 10, 20),
        ("今日の天気はどうですか", 6, 11),
        ("Какая сегодня погода?", 5, 14),
        ("🙂🙂", 2, 4),
        ("\ud800", 1, 1),  # half a character, as JSON can have it
    ],
)
def test_other_texts_are_counted_by_their_letters(text, least, most):
    assert least <= tokens.of_text(text) <= most


def test_nothing_costs_nothing():
    assert tokens.of_text("") == 0
    assert tokens.of_request(Request(messages=())) == 0


def test_a_message_costs_all_that_is_in_it():
    bare = tokens.of_message(Message(role=Role.USER))
    assert bare == tokens.MESSAGE_TOKENS
    seen = Message(role=Role.USER, images=(Image("data:x"), Image("data:y", "low")))
    assert tokens.of_message(seen) == bare + tokens.IMAGE_TOKENS + tokens.LOW_IMAGE_TOKENS
    call = ToolCall("c", "search", '{"q": "vad"}')
    calling = tokens.of_message(Message(role=Role.ASSISTANT, tool_calls=(call,)))
    assert calling == bare + tokens.of_text(call.name) + tokens.of_text(call.arguments_json)


def test_a_request_costs_its_instructions_and_tools_too():
    tool = Tool("search", "Finds.", '{"type": "object"}')
    hello = Message(role=Role.USER, text="hello")
    whole = tokens.of_request(Request(messages=(hello,), instructions="Be brief.", tools=(tool,)))
    parts = (tokens.of_message(hello), tokens.of_text("Be brief."), tokens.of_tools([tool]))
    assert whole == sum(parts)


def test_what_was_already_written_is_read_too():
    written = tokens.of_request(Request(messages=(), already_written="Well now"))
    assert written == tokens.of_text("Well now")
