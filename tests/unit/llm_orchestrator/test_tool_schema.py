from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal

import pytest

from llm_orchestrator.tool_schema import NoSchema, description, parameters


def weather(
    city: str,
    days: int = 3,
    unit: Literal["c", "f"] = "c",
    *,
    near: Annotated[bool, "Look around, too."] = False,
    tags: list[str] | None = None,
):
    """Tell the weather.

    It knows the next days.

    Args:
        city: Where, in English,
            with the country.
        days (int): How many.
        tags: What to look for.

    Returns:
        Text.
    """


def test_a_function_with_a_docstring_says_all():
    assert description(weather) == "Tell the weather.\n\nIt knows the next days."
    assert parameters(weather) == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Where, in English, with the country."},
            "days": {"type": "integer", "default": 3, "description": "How many."},
            "unit": {"enum": ["c", "f"], "default": "c"},
            "near": {"type": "boolean", "default": False, "description": "Look around, too."},
            "tags": {
                "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}],
                "description": "What to look for.",
            },
        },
        "additionalProperties": False,
        "required": ["city"],
    }


def sphinx(a: float, b: "int" = 1):
    """Add.

    :param a: First.
    :param int b: Second.
    :returns: the sum
    """


def test_sphinx_and_hints_as_text_are_read():
    assert description(sphinx) == "Add."
    assert parameters(sphinx)["properties"] == {
        "a": {"type": "number", "description": "First."},
        "b": {"type": "integer", "description": "Second.", "default": 1},
    }


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (Any, {}),
        (list, {"type": "array", "items": {}}),
        (Sequence[int], {"type": "array", "items": {"type": "integer"}}),
        (tuple[str, ...], {"type": "array", "items": {"type": "string"}}),
        (dict, {"type": "object", "additionalProperties": True}),
        (dict[str, Any], {"type": "object", "additionalProperties": {}}),
        (Mapping[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (None, {"type": "null"}),
        (Annotated[str, ["no", "text"]], {"type": "string"}),
        (Literal[1, "a", None], {"enum": [1, "a", None]}),
    ],
)
def test_types_that_json_has(hint, schema):
    def tool(value):
        pass

    tool.__annotations__["value"] = hint
    assert parameters(tool)["properties"]["value"] == schema


@pytest.mark.parametrize("hint", [date, dict[int, str], tuple[int, str], list[date], bytes])
def test_types_that_json_has_not_are_refused(hint):
    def tool(value):
        pass

    tool.__annotations__["value"] = hint
    with pytest.raises(NoSchema, match=r"'value'.*`parameters`"):
        parameters(tool)


def test_hints_that_cannot_be_read_are_refused():
    def tool(value: "Nowhere"):  # noqa: F821 - that is the point
        pass

    with pytest.raises(NoSchema, match="hints"):
        parameters(tool)


def test_arguments_without_names_are_refused():
    with pytest.raises(NoSchema, match="'a'"):
        parameters(lambda a, /: a)
    with pytest.raises(NoSchema, match="'rest'"):
        parameters(lambda *rest: rest)


def test_arguments_without_hints_may_be_anything():
    def tool(a, b=frozenset(), **more):
        pass

    assert parameters(tool) == {
        "type": "object",
        "properties": {"a": {}, "b": {}},
        "required": ["a"],
        "additionalProperties": True,
    }


class Clock:
    """An object."""

    def __call__(self, zone: str = "UTC") -> str:
        return zone


def test_an_object_is_read_by_its_call():
    assert description(Clock()) == "An object."
    assert parameters(Clock())["properties"] == {"zone": {"type": "string", "default": "UTC"}}
