import pytest

from llm_orchestrator.engines.offline import matching
from llm_orchestrator.engines.offline.words import read
from tests.unit.llm_orchestrator.engines.offline import offered as tools


def names(line, sure=True):
    return [fit.tool.name for fit in matching.fitting(read(line), tools.ALL) if fit.sure is sure]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("what is the weather in paris", "get_weather"),
        ("paris weather", "get_weather"),
        ("set a timer for five minutes", "set_timer"),
        ("could you please book a table for two", "book_table"),
        ("send a text message to bob", "send_message"),
        ("turn on the kitchen lights", "set_light"),
        ("what is the stock price of apple", "get_stock_price"),
        ("remind me to call bob", "create_reminder"),
        ("play some jazz", "play_music"),
        ("hang up", "end_call"),
    ],
)
def test_the_tool_whose_name_or_description_fits_comes_first(line, name):
    assert names(line)[0] == name


@pytest.mark.parametrize(
    "line",
    ["", "i like trains", "what is the meaning of life", "tell me a joke", "i read a book",
     "what time is it in london", "i got a message yesterday", "seven times eight"],
)  # fmt: skip
def test_unrelated_words_fit_no_tool_surely(line):
    assert names(line) == []


def test_half_a_name_fits_unsurely():
    assert names("are there flights to seattle", sure=False) == ["search_flights"]


def test_all_tools_are_ranked_for_when_one_must_be_called():
    ranked = matching.ranked(read("i need a table"), tools.ALL)
    assert len(ranked) == len(tools.ALL)
    assert ranked[0] == tools.TABLE
