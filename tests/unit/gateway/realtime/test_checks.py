from __future__ import annotations

import pytest

from gateway.realtime import checks as c
from gateway.realtime.refusals import Refusal, Refused


def refusal(check: c.Check, value: object, path: str = "session.x") -> Refusal:
    with pytest.raises(Refused) as refused:
        check(value, path)
    return refused.value.refusal


def test_an_object_names_the_missing_and_the_unknown_key():
    check = c.obj({"a": c.boolean}, {"b": c.boolean})
    assert check({"a": True, "b": False}, "") == {"a": True, "b": False}
    assert refusal(check, {"b": True}).param == "session.x.a"
    assert refusal(check, {"b": True}).code == "missing_required_parameter"
    unknown = refusal(check, {"a": True, "z": 1})
    assert (unknown.code, unknown.param) == ("unknown_parameter", "session.x.z")
    assert refusal(check, "text").message == (
        "Invalid type for 'session.x': expected an object, but got a string instead."
    )


def test_paths_start_without_a_dot():
    assert refusal(c.obj({"type": c.anything}), {}, "").param == "type"


def test_the_kind_of_an_object_says_how_it_is_checked():
    check = c.by_type({"a": c.obj({"type": c.anything}), "b": c.json_object})
    assert check({"type": "b", "more": 1}, "x") == {"type": "b", "more": 1}
    assert refusal(check, {}).param == "session.x.type"
    wrong = refusal(check, {"type": "c"})
    assert wrong.message == "Invalid value: 'c'. Supported values are: 'a' and 'b'."
    assert refusal(check, 5).code == "invalid_type"


@pytest.mark.parametrize("kind", [["a"], {"a": 1}, 1, None])
def test_a_kind_that_is_no_text_is_refused(kind):
    check = c.by_type({"a": c.json_object})
    assert refusal(check, {"type": kind}).code == "invalid_type"


def test_nullable_lets_null_pass():
    assert c.nullable(c.boolean)(None, "x") is None
    assert refusal(c.nullable(c.boolean), "y").code == "invalid_type"


def test_an_array_says_which_part_is_wrong_and_when_it_is_too_long():
    check = c.array(c.boolean, max_length=2)
    assert check([True], "x") == [True]
    assert refusal(check, [True, 1]).param == "session.x[1]"
    assert refusal(check, [True] * 3).code == "array_above_max_length"
    assert refusal(check, {}).code == "invalid_type"


def test_a_string_is_measured_and_matched():
    check = c.string(3, "[a-c]+")
    assert check("abc", "x") == "abc"
    assert refusal(check, "abca").message.endswith(
        "Expected a string with maximum length 3, but got a string with length 4 instead."
    )
    assert refusal(check, "xyz").message.endswith("does not match pattern '^[a-c]+$'.")
    assert refusal(check, 1).code == "invalid_type"


@pytest.mark.parametrize(
    ("check", "value", "code"),
    [
        (c.boolean, 1, "invalid_type"),
        (c.integer(1, 9), True, "invalid_type"),
        (c.integer(1, 9), 1.5, "invalid_type"),
        (c.integer(1, 9), 0, "integer_below_min_value"),
        (c.integer(1, 9), 10**30, "integer_above_max_value"),
        (c.number(0, 1), True, "invalid_type"),
        (c.number(0, 1), -0.1, "decimal_below_min_value"),
        (c.number(0, 1), 5, "decimal_above_max_value"),
        (c.one_of("a"), ["a"], "invalid_type"),
        (c.one_of("a"), "b", "invalid_value"),
        (c.json_object, [], "invalid_type"),
    ],
)
def test_values_out_of_place_are_refused(check, value, code):
    assert refusal(check, value).code == code


def test_a_number_out_of_bounds_is_told_the_bound():
    assert refusal(c.number(0, 1), 5, "x").message == (
        "Invalid 'x': decimal above maximum value. Expected a value <= 1, but got 5 instead."
    )


def test_numbers_become_floats_and_integers_stay():
    assert isinstance(c.number()(1, "x"), float)
    assert c.integer()(7, "x") == 7


def test_either_takes_the_check_of_the_values_type():
    check = c.either((int, c.integer(1, 4)), (str, c.one_of("inf")))
    assert check(4, "x") == 4
    assert check("inf", "x") == "inf"
    assert refusal(check, "many").code == "invalid_value"
    assert "expected an integer" in refusal(check, []).message


def test_a_text_map_counts_pairs_and_measures_them():
    check = c.text_map(1, 3, 3)
    assert check({"a": "b"}, "x") == {"a": "b"}
    assert refusal(check, {"a": "b", "c": "d"}).code == "object_above_max_properties"
    assert refusal(check, {"long": "b"}).code == "string_above_max_length"
    assert refusal(check, {"a": "long"}).param == "session.x.a"
    assert refusal(check, {"a": 1}).code == "invalid_type"
    assert refusal(check, "a").code == "invalid_type"
