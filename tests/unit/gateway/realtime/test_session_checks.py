from __future__ import annotations

import pytest

from gateway.realtime.refusals import Refusal, Refused
from gateway.realtime.session_checks import PATCH, check_kind


def refusal(**patch: object) -> Refusal:
    with pytest.raises(Refused) as refused:
        PATCH({"type": "realtime", **patch}, "session")
    return refused.value.refusal


def vad(value: object) -> dict[str, object]:
    return {"audio": {"input": {"turn_detection": value}}}


@pytest.mark.parametrize(
    ("patch", "param", "code"),
    [
        ({"bogus": 1}, "session.bogus", "unknown_parameter"),
        ({"voice": "alloy"}, "session.voice", "unknown_parameter"),
        ({"temperature": 0.8}, "session.temperature", "unknown_parameter"),
        ({"instructions": 5}, "session.instructions", "invalid_type"),
        ({"output_modalities": ["audio", "text"]}, "session.output_modalities", "invalid_value"),
        ({"output_modalities": [1]}, "session.output_modalities[0]", "invalid_type"),
        ({"max_output_tokens": 4097}, "session.max_output_tokens", "integer_above_max_value"),
        ({"max_output_tokens": True}, "session.max_output_tokens", "invalid_type"),
        ({"tool_choice": "some"}, "session.tool_choice", "invalid_value"),
        (
            {"tool_choice": {"type": "mcp"}},
            "session.tool_choice.server_label",
            "missing_required_parameter",
        ),
        (
            {"tools": [{"type": "function", "name": "a b"}]},
            "session.tools[0].name",
            "invalid_value",
        ),
        ({"tools": [{"type": "function"}]}, "session.tools[0].name", "missing_required_parameter"),
        (
            {"tools": [{"type": "mcp"}]},
            "session.tools[0].server_label",
            "missing_required_parameter",
        ),
        (
            {"tools": [{"type": "mcp", "server_label": "a"}]},
            "session.tools[0].server_url",
            "missing_required_parameter",
        ),
        (
            {"tools": [{"type": "mcp", "server_label": "a", "connector_id": "connector_gmail"}]},
            "session.tools[0].connector_id",
            "invalid_value",
        ),
        (
            {"tools": [{"type": "mcp", "server_label": "a", "server_url": "http://u"}] * 2},
            "session.tools",
            "invalid_value",
        ),
        (
            {"tools": [{"type": "mcp", "server_label": "a", "server_url": "ftp://x"}]},
            "session.tools[0].server_url",
            "invalid_value",
        ),
        ({"truncation": "never"}, "session.truncation", "invalid_value"),
        (
            {"truncation": {"type": "retention_ratio", "retention_ratio": 2}},
            "session.truncation.retention_ratio",
            "decimal_above_max_value",
        ),
        ({"prompt": {}}, "session.prompt.id", "missing_required_parameter"),
        (
            {"prompt": {"id": "p", "variables": {"x": 1}}},
            "session.prompt.variables.x",
            "invalid_type",
        ),
        ({"include": ["x"]}, "session.include[0]", "invalid_value"),
        ({"reasoning": {"effort": "much"}}, "session.reasoning.effort", "invalid_value"),
        ({"tracing": "always"}, "session.tracing", "invalid_value"),
        (
            {"audio": {"input": {"format": {"type": "audio/pcmu", "rate": 16000}}}},
            "session.audio.input.format.rate",
            "integer_above_max_value",
        ),
        (
            {"audio": {"output": {"format": {"type": "audio/pcm", "rate": 48000}}}},
            "session.audio.output.format.rate",
            "integer_above_max_value",
        ),
        (
            {"audio": {"input": {"noise_reduction": {"type": "mid_field"}}}},
            "session.audio.input.noise_reduction.type",
            "invalid_value",
        ),
        (
            {"audio": {"output": {"speed": 1.6}}},
            "session.audio.output.speed",
            "decimal_above_max_value",
        ),
        ({"audio": {"output": {"voice": "a b"}}}, "session.audio.output.voice", "invalid_value"),
        (
            vad({"type": "semantic_vad", "eagerness": "hasty"}),
            "session.audio.input.turn_detection.eagerness",
            "invalid_value",
        ),
        (
            vad({"threshold": 0.5}),
            "session.audio.input.turn_detection.type",
            "missing_required_parameter",
        ),
        (
            vad({"type": "server_vad", "threshold": 1.1}),
            "session.audio.input.turn_detection.threshold",
            "decimal_above_max_value",
        ),
        (
            vad({"type": "server_vad", "idle_timeout_ms": 4999}),
            "session.audio.input.turn_detection.idle_timeout_ms",
            "integer_below_min_value",
        ),
    ],
)
def test_what_is_wrong_is_named(patch, param, code):
    refused = refusal(**patch)
    assert (refused.param, refused.code) == (param, code)


@pytest.mark.parametrize(
    ("session", "param", "code"),
    [
        ({}, "session.type", "missing_required_parameter"),
        ({"type": "translation"}, "session.type", "invalid_value"),
        ("realtime", "session", "invalid_type"),
    ],
)
def test_the_kind_of_session_is_required(session, param, code):
    with pytest.raises(Refused) as refused:
        PATCH(session, "session")
    assert (refused.value.refusal.param, refused.value.refusal.code) == (param, code)


def test_a_transcription_session_has_no_fields_of_responses():
    session = {"type": "transcription", "instructions": "x"}
    with pytest.raises(Refused) as refused:
        PATCH(session, "session")
    assert refused.value.refusal.param == "session.instructions"


def test_an_update_is_for_its_own_kind_of_session():
    check_kind({"type": "transcription"}, "transcription")
    with pytest.raises(Refused) as refused:
        check_kind({"type": "realtime"}, "transcription")
    assert refused.value.refusal.code is None
    assert refused.value.refusal.message == (
        "Passing a realtime session update event to a transcription session is not allowed."
    )


def test_a_variable_may_be_written_as_an_input_text():
    prompt = {"id": "p", "variables": {"x": {"type": "input_text", "text": "1"}}}
    checked = PATCH({"type": "realtime", "prompt": prompt}, "session")
    assert checked["prompt"]["variables"] == {"x": "1"}


def test_null_token_limits_are_none():
    half = {"type": "retention_ratio", "retention_ratio": 0.5}
    session = {"type": "realtime", "truncation": {**half, "token_limits": None}}
    assert PATCH(session, "session")["truncation"] == half
