from __future__ import annotations

import msgspec
import pytest

from gateway.realtime.refusals import Refusal, Refused
from gateway.realtime.settings import (
    PATCH,
    Audio,
    AudioOutput,
    ServerVad,
    Settings,
    Tool,
    Transcription,
    merge,
)

DEFAULT = Settings(instructions="Be kind.", audio=Audio(output=AudioOutput(voice="marin")))


def update(settings: Settings, **patch: object) -> Settings:
    return merge(settings, PATCH({"type": "realtime", **patch}, "session"), DEFAULT)


def refusal(**patch: object) -> Refusal:
    with pytest.raises(Refused) as refused:
        PATCH({"type": "realtime", **patch}, "session")
    return refused.value.refusal


def vad(value: object) -> dict[str, object]:
    return {"audio": {"input": {"turn_detection": value}}}


def test_defaults_are_those_of_the_live_service():
    assert msgspec.to_builtins(Settings()) == {
        "output_modalities": ("audio",),
        "instructions": "",
        "tools": (),
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.5,
                    "prefix_padding_ms": 300,
                    "silence_duration_ms": 200,
                    "idle_timeout_ms": None,
                    "create_response": True,
                    "interrupt_response": True,
                },
            },
            "output": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "voice": "alloy",
                "speed": 1.0,
            },
        },
        "include": None,
    }


def test_what_an_update_leaves_out_stays():
    first = update(DEFAULT, instructions="Be terse.", audio={"output": {"speed": 1.2}})
    second = update(first, audio={"input": {"transcription": {"model": "m"}}})
    assert second.instructions == "Be terse."
    assert second.audio.output == AudioOutput(voice="marin", speed=1.2)
    assert second.audio.input.transcription == Transcription(model="m")
    assert second.audio.input.turn_detection == ServerVad()


def test_empty_values_clear():
    full = update(DEFAULT, instructions="x", tools=[{"type": "function", "name": "f"}])
    assert full.tools == (Tool("f"),)
    cleared = update(full, instructions="", tools=[])
    assert cleared.instructions == ""
    assert cleared.tools == ()


def test_null_turns_detection_and_transcription_off():
    on = update(DEFAULT, audio={"input": {"transcription": {"model": "m"}}})
    off = update(on, audio={"input": {"turn_detection": None, "transcription": None}})
    assert off.audio.input.turn_detection is None
    assert off.audio.input.transcription is None


def test_null_elsewhere_means_the_default():
    changed = update(DEFAULT, instructions="x", audio={"output": {"voice": "ash", "speed": 1.5}})
    back = update(changed, instructions=None, audio={"output": {"voice": None, "speed": None}})
    assert back == DEFAULT
    assert update(changed, audio=None).audio == DEFAULT.audio


def test_a_new_detection_replaces_the_old_one_whole():
    once = update(DEFAULT, **vad({"type": "server_vad", "threshold": 0.9}))
    assert once.audio.input.turn_detection == ServerVad(threshold=0.9)
    again = update(once, **vad({"type": "server_vad", "create_response": False, "threshold": None}))
    assert again.audio.input.turn_detection == ServerVad(create_response=False)


def test_a_new_transcription_adds_to_the_old_one():
    once = update(DEFAULT, audio={"input": {"transcription": {"model": "m"}}})
    again = update(once, audio={"input": {"transcription": {"language": "de"}}})
    assert again.audio.input.transcription == Transcription(model="m", language="de")


def test_tools_keep_any_json_schema():
    schema = {"$schema": "https://json-schema.org/x", "type": "object", "maxItems": 5}
    tool = {"type": "function", "name": "f", "description": "d", "parameters": schema}
    settings = update(DEFAULT, tools=[tool], tool_choice={"type": "function", "name": "f"})
    assert msgspec.to_builtins(settings)["tools"] == (tool,)
    assert settings.tool_choice == {"type": "function", "name": "f"}


def test_what_clients_always_send_is_accepted():
    settings = update(
        DEFAULT,
        id="sess_x",
        object="realtime.session",
        expires_at=1,
        model="another",
        tracing="auto",
        prompt=None,
        include=None,
        truncation="auto",
        parallel_tool_calls=True,
        audio={"input": {"noise_reduction": None}, "output": {"speed": 1, "voice": {"id": "v"}}},
    )
    assert settings.tracing == "auto"
    assert settings.audio.output.voice == "v"


def test_only_audio_speaks():
    assert DEFAULT.speaks
    assert not update(DEFAULT, output_modalities=["text"]).speaks


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
        ({"tool_choice": {"type": "mcp"}}, "session.tool_choice.type", "invalid_value"),
        (
            {"tools": [{"type": "function", "name": "a b"}]},
            "session.tools[0].name",
            "invalid_value",
        ),
        ({"tools": [{"type": "function"}]}, "session.tools[0].name", "missing_required_parameter"),
        ({"tools": [{"type": "mcp"}]}, "session.tools[0].type", "invalid_value"),
        ({"truncation": "disabled"}, "session.truncation", "invalid_value"),
        ({"prompt": {"id": "p"}}, "session.prompt", "invalid_value"),
        ({"include": ["x"]}, "session.include", "invalid_value"),
        ({"reasoning": {"effort": "low"}}, "session.reasoning", "invalid_value"),
        ({"tracing": "always"}, "session.tracing", "invalid_value"),
        (
            {"audio": {"input": {"format": {"type": "audio/pcmu"}}}},
            "session.audio.input.format.type",
            "invalid_value",
        ),
        (
            {"audio": {"output": {"format": {"type": "audio/pcm", "rate": 48000}}}},
            "session.audio.output.format.rate",
            "integer_above_max_value",
        ),
        (
            {"audio": {"input": {"noise_reduction": {"type": "near_field"}}}},
            "session.audio.input.noise_reduction",
            "invalid_value",
        ),
        (
            {"audio": {"output": {"speed": 1.6}}},
            "session.audio.output.speed",
            "decimal_above_max_value",
        ),
        ({"audio": {"output": {"voice": "a b"}}}, "session.audio.output.voice", "invalid_value"),
        (vad({"type": "semantic_vad"}), "session.audio.input.turn_detection.type", "invalid_value"),
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
            vad({"type": "server_vad", "idle_timeout_ms": 5000}),
            "session.audio.input.turn_detection.idle_timeout_ms",
            "invalid_value",
        ),
    ],
)
def test_what_is_wrong_or_not_served_is_named(patch, param, code):
    refused = refusal(**patch)
    assert (refused.param, refused.code) == (param, code)


@pytest.mark.parametrize(
    ("session", "param", "code"),
    [
        ({}, "session.type", "missing_required_parameter"),
        ({"type": "transcription"}, "session.type", "invalid_value"),
        ({"type": "translation"}, "session.type", "invalid_value"),
        ("realtime", "session", "invalid_type"),
    ],
)
def test_the_kind_of_session_is_required_and_ours(session, param, code):
    with pytest.raises(Refused) as refused:
        PATCH(session, "session")
    assert (refused.value.refusal.param, refused.value.refusal.code) == (param, code)
