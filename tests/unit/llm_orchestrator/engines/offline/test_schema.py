import json

import pytest

from llm_orchestrator.engine import Tool
from llm_orchestrator.engines.offline import schema
from llm_orchestrator.engines.offline.schema import Param


def params(made):
    return schema.params(Tool("f", "", made if isinstance(made, str) else json.dumps(made)))


def kinds(**properties):
    return [param.kind for param in params({"properties": properties})]


def test_names_types_and_what_is_required():
    made = {
        "type": "object",
        "properties": {"a": {"type": "string", "description": "An a"}, "b": {"type": "integer"}},
        "required": ["b"],
    }
    assert params(made) == (Param("a", "string", False, "An a"), Param("b", "integer", True))


def test_types_that_are_written_in_other_ways():
    assert kinds(
        a={"type": ["null", "number"]},
        b={"anyOf": [{"type": "null"}, {"type": "boolean"}]},
        c={"properties": {}},
        d={"items": {}},
        e={},
        f=True,
        g={"oneOf": []},
    ) == ["number", "boolean", "object", "array", "string", "string", "string"]


def test_listed_values_and_constants():
    [a, b] = params({"properties": {"a": {"enum": ["x", 1]}, "b": {"const": "y"}}})
    assert (a.values, b.values) == (("x", 1), ("y",))


def test_references_inside_the_schema():
    made = {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "integer"}}}
    assert params(made)[0].kind == "integer"


def test_items_and_fields():
    made = {
        "properties": {
            "a": {"type": "array", "items": {"type": "integer"}},
            "o": {"type": "object", "properties": {"x": {}}, "required": ["x"]},
        }
    }
    a, o = params(made)
    assert a.items is not None
    assert a.items.kind == "integer"
    assert o.fields == (Param("x", "string", True),)


@pytest.mark.parametrize(
    "made",
    ["", "{", "7", "[]", "null", '{"properties": 7}', '{"properties": {}, "required": 7}'],
)
def test_what_cannot_be_read_has_no_parameters(made):
    assert params(made) == ()


def test_a_schema_that_contains_itself_ends():
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/N"}}}
    loop = {"$ref": "#/$defs/L"}
    made = {"properties": {"a": {"$ref": "#/$defs/N"}, "b": loop}, "$defs": {"N": node, "L": loop}}
    assert [param.name for param in params(made)] == ["a", "b"]


def test_a_name_is_said_as_words():
    assert Param("partySize", "integer", True).spoken == "party size"
