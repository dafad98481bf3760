import pytest

from llm_orchestrator.tool_results import MAX_ERROR_CHARACTERS, bounded, error, text_of


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("as it is", "as it is"),
        (None, "null"),
        ({"ml": 1.5, "of": "ö"}, '{"ml": 1.5, "of": "ö"}'),
        ([1, True], "[1, true]"),
    ],
)
def test_text_stays_and_the_rest_is_json(result, text):
    assert text_of(result) == text


@pytest.mark.parametrize("result", [object(), {1, 2}, float("nan")])
def test_what_json_has_not_is_an_error(result):
    with pytest.raises((TypeError, ValueError)):
        text_of(result)


def test_a_long_text_is_cut_between_characters_and_says_so():
    assert bounded("äää", 6) == "äää"
    assert bounded("äää", 5) == "ää\n(The rest of 6 bytes was cut off.)"
    assert bounded("\ud800", 5) == "?", "no provider could be sent it"


def test_an_error_is_short():
    assert error(" no ") == "Error: no"
    assert len(error("x" * 9999)) == len("Error: ") + MAX_ERROR_CHARACTERS
