import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_orchestrator.engine import Tool
from llm_orchestrator.engines.offline import arguments, schema
from llm_orchestrator.engines.offline.words import read, vocabulary
from tests.unit.llm_orchestrator.engines.offline import offered as tools
from tests.unit.llm_orchestrator.engines.offline.offered import INTEGER, STRING, tool


def fill(line, which):
    filled = arguments.fill(read(line), which)
    assert not filled.missing
    return filled.arguments


@pytest.mark.parametrize(
    ("line", "which", "found"),
    [
        ("what is the weather in paris", tools.WEATHER, {"location": "paris"}),
        (
            "What's the weather like in New York today in celsius?",
            tools.WEATHER,
            {"location": "New York", "unit": "celsius"},
        ),
        ("how is the Timbuktu weather", tools.WEATHER, {"location": "Timbuktu"}),
        ("set a timer for five minutes", tools.TIMER, {"seconds": 300}),
        (
            "set a timer for 90 seconds named pasta",
            tools.TIMER,
            {"seconds": 90, "label": "pasta"},
        ),
        (
            "book a table for four at seven pm",
            tools.TABLE,
            {"party_size": 4, "time": "seven pm"},
        ),
        (
            "send a message to alice saying i will be late for dinner",
            tools.MESSAGE,
            {"recipient": "alice", "message": "i will be late for dinner"},
        ),
        ("turn on the kitchen lights", tools.LIGHT, {"room": "kitchen", "on": True}),
        (
            "switch off the light in the living room",
            tools.LIGHT,
            {"room": "living room", "on": False},
        ),
        ("search the web for funny cats", tools.SEARCH, {"query": "funny cats"}),
        (
            "flights from london to new york tomorrow for two passengers",
            tools.FLIGHTS,
            {
                "origin": "london",
                "destination": "new york",
                "date": "tomorrow",
                "passengers": 2,
            },
        ),
        (
            "remind me to call bob tomorrow at five pm",
            tools.REMINDER,
            {"task": "call bob", "time": "tomorrow at five pm"},
        ),
        ('play "Blue in Green"', tools.MUSIC, {"query": "Blue in Green"}),
        ("hang up", tools.HANG_UP, {}),
    ],
)
def test_arguments_from_the_words(line, which, found):
    assert fill(line, which) == found


NUMBERS = {"type": "array", "items": {"type": "number"}}
COLOURS = {"type": "array", "items": {"enum": ["red", "green", "blue"]}}


@pytest.mark.parametrize(
    ("line", "properties", "found"),
    [
        ("mix two point five and 3", {"values": NUMBERS}, {"values": [2.5, 3]}),
        ("mix blue and red", {"colours": COLOURS}, {"colours": ["red", "blue"]}),
        ("three hours", {"minutes": INTEGER}, {"minutes": 180}),
        ("half past two", {"n": {"type": "number"}}, {"n": 2}),
        ("level two of volume seven", {"volume": INTEGER, "level": INTEGER},
         {"level": 2, "volume": 7}),
        ("anything", {"kind": {"const": "fixed"}}, {"kind": "fixed"}),
        ("from rome to oslo", {"trip": {"type": "object", "properties": {
            "origin": STRING, "destination": STRING}}},
         {"trip": {"origin": "rome", "destination": "oslo"}}),
        ("size extra large", {"size": {"enum": ["extra_large", "small"]}},
         {"size": "extra_large"}),
    ],
)  # fmt: skip
def test_other_kinds_of_parameters(line, properties, found):
    which = tool("f", "", " ".join(properties), **properties)
    assert fill(line, which) == found


def test_what_is_not_said_is_missing():
    filled = arguments.fill(read("what's the weather in the morning"), tools.WEATHER)
    assert filled.arguments == {}
    assert [param.name for param in filled.missing] == ["location"]


def test_what_is_left_over_is_not_said_plainly():
    filled = arguments.fill(read("Timbuktu weather"), tools.WEATHER, plainly=True)
    assert [param.name for param in filled.missing] == ["location"]


def test_optional_parameters_need_a_plain_word():
    assert fill("set a timer for five minutes", tools.TIMER).keys() == {"seconds"}


def test_a_call_that_must_be_made_gets_an_argument_of_every_type():
    which = tool(
        "f",
        "",
        "s i b e a o",
        s=STRING,
        i=INTEGER,
        b={"type": "boolean"},
        e={"enum": ["x", "y"]},
        a={"type": "array"},
        o={"type": "object", "properties": {"z": STRING}, "required": ["z"]},
    )
    found = arguments.demanded(read("do it"), which)
    assert found == {"s": "do it", "i": 0, "b": True, "e": "x", "a": [], "o": {"z": "do it"}}


TYPES = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list,
         "object": dict}  # fmt: skip
NAMES = st.sampled_from(["location", "to", "from", "time", "person", "message", "count", "x"])
SCHEMAS = st.recursive(
    st.fixed_dictionaries({"type": st.sampled_from(["string", "integer", "number", "boolean"])})
    | st.builds(lambda values: {"enum": values}, st.lists(st.text(max_size=5), min_size=1)),
    lambda inner: (
        st.builds(lambda items: {"type": "array", "items": items}, inner)
        | st.builds(
            lambda fields: {"type": "object", "properties": fields, "required": list(fields)},
            st.dictionaries(NAMES, inner, max_size=3),
        )
    ),
    max_leaves=4,
)
LINES = st.lists(
    st.sampled_from(
        sorted(vocabulary("the weather in paris to from on off two five minutes at \" ' and yes"))
    ),
    max_size=12,
).map(" ".join)


@given(LINES | st.text(max_size=40), st.dictionaries(NAMES, SCHEMAS, max_size=4))
def test_arguments_have_their_types_whatever_was_said(line, properties):
    made = {"type": "object", "properties": properties, "required": list(properties)}
    which = Tool("f", "", json.dumps(made))
    found = arguments.demanded(read(line), which)
    assert list(found) == list(properties)
    for param in schema.params(which):
        value = found[param.name]
        if param.values:
            assert value in param.values
        else:
            assert isinstance(value, TYPES[param.kind])
    json.dumps(found)
