from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.realtime import client_events as ce
from gateway.realtime.beta_in import BETA_KINDS, BETA_TYPES, LENIENT_KINDS
from gateway.realtime.client_events import KINDS, SUPPORTED_TYPES
from gateway.realtime.codec import decode
from gateway.realtime.items import Message, OutputText
from gateway.realtime.refusals import Refusal


def strict(type_, **fields):
    return decode(json.dumps({"type": type_, "event_id": "evt_1", **fields}))


def lenient(type_, **fields):
    return decode(json.dumps({"type": type_, "event_id": "evt_1", **fields}), LENIENT_KINDS)


def beta(type_, **fields):
    text = json.dumps({"type": type_, "event_id": "evt_1", **fields})
    return decode(text, BETA_KINDS, BETA_TYPES)


def said(*parts):
    return {"type": "message", "role": "assistant", "content": list(parts)}


def test_the_beta_knows_every_event_that_its_error_lists():
    assert set(BETA_TYPES) == set(BETA_KINDS)
    assert set(SUPPORTED_TYPES) >= set(LENIENT_KINDS)
    refusal = beta("nope")
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.param) == ("invalid_value", "type")
    assert "'transcription_session.update'" in refusal.message
    assert "session.close" not in refusal.message


def test_what_is_the_same_in_both_is_read_by_ga():
    for kinds in (LENIENT_KINDS, BETA_KINDS):
        assert kinds["input_audio_buffer.append"] is not None
        for type_ in KINDS.keys() - {
            "session.update", "response.create", "conversation.item.create",
        }:  # fmt: skip
            assert kinds[type_] == KINDS[type_]


@pytest.mark.parametrize("says", [beta, lenient])
def test_an_update_of_the_beta_is_one_of_ga(says):
    event = says("session.update", session={"voice": "sage", "temperature": 0.7})
    audio = {"output": {"voice": "sage"}}
    assert event == ce.UpdateSession(
        {"type": "realtime", "audio": audio, "temperature": 0.7}, "evt_1"
    )


@pytest.mark.parametrize("says", [beta, lenient])
def test_a_response_of_the_beta_is_one_of_ga(says):
    event = says("response.create", response={"modalities": ["text"], "temperature": 0.7})
    assert isinstance(event, ce.CreateResponse)
    assert event.wanted == {"output_modalities": ["text"], "temperature": 0.7}
    assert event.event_id == "evt_1"


@pytest.mark.parametrize("says", [beta, lenient])
@pytest.mark.parametrize("part", ["text", "audio"])
def test_words_of_the_assistant_are_kept_as_text(says, part):
    words = {"text": "Hi"} if part == "text" else {"transcript": "Hi"}
    event = says("conversation.item.create", item=said({"type": part, **words}))
    assert isinstance(event, ce.CreateItem)
    assert event.new.item == Message("", "assistant", (OutputText("Hi"),))


@pytest.mark.parametrize("says", [beta, lenient])
@pytest.mark.parametrize("more", [{}, {"modalities": ["text"]}])
def test_words_of_the_assistant_in_the_input_of_a_response(says, more):
    items = [said({"type": "text", "text": "Hi"})]
    event = says("response.create", response={"input": items, **more})
    assert isinstance(event, ce.CreateResponse)


def test_the_beta_refuses_parts_of_ga_in_its_own_words():
    event = beta("conversation.item.create", item=said({"type": "output_text", "text": "Hi"}))
    assert isinstance(event, Refusal)
    assert event.message.endswith("Supported values are: 'text' and 'audio'.")


def test_a_transcription_session_has_an_event_of_its_own():
    event = beta("transcription_session.update", session={"input_audio_format": "g711_ulaw"})
    audio = {"input": {"format": {"type": "audio/pcmu"}}}
    assert event == ce.UpdateSession({"type": "transcription", "audio": audio}, "evt_1")


REFUSED = [
    ("session.update", {}, "missing_required_parameter", "session"),
    ("session.update", {"session": None}, "invalid_type", "session"),
    ("session.update", {"session": {}, "bogus": 1}, "unknown_parameter", "bogus"),
    ("session.update", {"session": {"bogus": 1}}, "unknown_parameter", "session.bogus"),
    ("session.update", {"session": {"voice": 1}}, "invalid_type", "session.voice"),
    ("transcription_session.update", {}, "missing_required_parameter", "session"),
    (
        "transcription_session.update",
        {"session": {"input_audio_format": "mp3"}},
        "invalid_value",
        "session.input_audio_format",
    ),
    ("response.create", {"response": 1}, "invalid_type", "response"),
    ("response.create", {"response": {"bogus": 1}}, "unknown_parameter", "response.bogus"),
    ("response.create", {"response": {"voice": 1}}, "invalid_type", "response.voice"),
    (
        "response.create",
        {"response": {"temperature": 2}},
        "decimal_above_max_value",
        "response.temperature",
    ),
    (
        "response.create",
        {"response": {"max_response_output_tokens": 0}},
        "integer_below_min_value",
        "response.max_response_output_tokens",
    ),
    (
        "response.create",
        {"response": {"max_output_tokens": 0}},
        "integer_below_min_value",
        "response.max_output_tokens",
    ),
    ("response.create", {"response": {"input": 1}}, "invalid_type", "response.input"),
    ("conversation.item.create", {}, "missing_required_parameter", "item"),
]


@pytest.mark.parametrize(("type_", "fields", "code", "param"), REFUSED)
def test_the_errors_of_the_beta(type_, fields, code, param):
    event = beta(type_, **fields)
    assert isinstance(event, Refusal)
    assert (event.code, event.param, event.event_id) == (code, param, "evt_1")


NULL_OR_NOTHING = [
    ("response.create", {}),
    ("response.create", {"response": None}),
    ("response.create", {"response": {}}),
    ("session.update", {"session": {"type": "realtime"}}),
]


@pytest.mark.parametrize(("type_", "fields"), NULL_OR_NOTHING)
def test_an_empty_wish_is_the_same_in_all(type_, fields):
    assert beta(type_, **fields) == lenient(type_, **fields) == strict(type_, **fields)


LENIENT_ONLY = [
    ("session.update", {"session": {key: None}})
    for key in (
        "modalities", "voice", "input_audio_format", "output_audio_format", "speed",
        "input_audio_transcription", "input_audio_noise_reduction", "turn_detection",
        "temperature", "max_response_output_tokens",
    )
] + [
    ("response.create", {"response": {key: None}})
    for key in (
        "modalities", "voice", "output_audio_format", "temperature",
        "max_response_output_tokens",
    )
] + [("conversation.item.create", {"item": said({"type": "text", "text": "Hi"})})]  # fmt: skip


@pytest.mark.parametrize(("type_", "fields"), LENIENT_ONLY)
def test_what_only_a_beta_client_sends_is_understood_unless_strict(type_, fields):
    assert isinstance(strict(type_, **fields), Refusal)
    assert not isinstance(lenient(type_, **fields), Refusal)


AS_STRICT = [
    # No beta key, or the type of GA: nothing says that it is a beta client.
    ("session.update", {"session": {"instructions": "x"}}),
    ("session.update", {"session": {"type": "realtime", "voice": "sage"}}),
    ("session.update", {"session": {"type": "realtime", "bogus": 1}}),
    ("session.update", {"session": {"type": None, "voice": "sage"}}),
    ("session.update", {"session": {"bogus": 1}}),
    ("session.update", {"session": {}}),
    ("session.update", {"session": []}),
    ("session.update", {"session": ["voice"]}),
    ("session.update", {}),
    # Both dialects at once.
    ("session.update", {"session": {"voice": "sage", "audio": {}}}),
    ("session.update", {"session": {"voice": "sage", "output_modalities": ["text"]}}),
    ("response.create", {"response": {"voice": "sage", "audio": {}}}),
    ("response.create", {"response": {"modalities": ["text"], "prompt": None}}),
    ("response.create", {"response": {"bogus": 1}}),
    ("response.create", {"response": {"speed": 1}}),
    ("response.create", {"response": []}),
    ("response.create", {"response": {"input": "x"}}),
    # Only the words of the assistant have other names.
    ("conversation.item.create", {"item": {**said({"type": "text", "text": "a"}), "role": "user"}}),
    ("conversation.item.create", {"item": said({"type": "input_text", "text": "a"})}),
    ("conversation.item.create", {"item": said("text")}),
    ("conversation.item.create", {}),
    ("transcription_session.update", {"session": {}}),
]


@pytest.mark.parametrize(("type_", "fields"), AS_STRICT)
def test_leniency_weakens_nothing_else(type_, fields):
    refusal = strict(type_, **fields)
    assert isinstance(refusal, Refusal)
    assert lenient(type_, **fields) == refusal


def test_a_beta_update_with_a_mistake_is_told_so_in_its_own_words():
    event = lenient("session.update", session={"modalities": ["text"], "bogus": 1})
    assert isinstance(event, Refusal)
    assert (event.code, event.param) == ("unknown_parameter", "session.bogus")
    event = lenient("session.update", session={"speed": 9})
    assert isinstance(event, Refusal)
    assert event.param == "session.speed"


keys = st.sampled_from(
    [
        "type", "modalities", "voice", "input_audio_format", "temperature", "turn_detection",
        "max_response_output_tokens", "max_output_tokens", "input", "role", "content", "text",
        "transcript", "audio", "tools", "output_modalities", "bogus",
    ]
)  # fmt: skip
words = st.sampled_from(
    ["text", "audio", "assistant", "message", "realtime", "transcription", "pcm16", "auto"]
)
anything = st.recursive(
    st.none() | st.booleans() | st.floats(-2, 2) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(["session", "response", "item"]), anything)
def test_no_value_is_more_than_a_client_event_or_a_refusal(key, value):
    type_ = {
        "session": "session.update",
        "response": "response.create",
        "item": "conversation.item.create",
    }[key]
    for says in (beta, lenient):
        event = says(type_, **{key: value})
        kinds = ce.UpdateSession | ce.CreateResponse | ce.CreateItem | Refusal
        assert isinstance(event, kinds)
    if not isinstance(read := strict(type_, **{key: value}), Refusal):
        assert lenient(type_, **{key: value}) == read
