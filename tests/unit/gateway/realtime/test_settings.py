from __future__ import annotations

import msgspec

from gateway.realtime.session_checks import PATCH
from gateway.realtime.settings import (
    LOGPROBS,
    Audio,
    AudioOutput,
    McpTool,
    NoiseReduction,
    Pcmu,
    Prompt,
    Reasoning,
    Retention,
    SemanticVad,
    ServerVad,
    Settings,
    TokenLimits,
    Tool,
    Transcription,
    echo,
    merge,
)

DEFAULT = Settings(instructions="Be kind.", audio=Audio(output=AudioOutput(voice="marin")))


def update(settings: Settings, **patch: object) -> Settings:
    return merge(settings, PATCH({"type": "realtime", **patch}, "session"), DEFAULT)


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


def test_semantic_detection_fills_in_its_defaults():
    settings = update(DEFAULT, **vad({"type": "semantic_vad"}))
    assert settings.audio.input.turn_detection == SemanticVad()
    assert echo(settings)["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    }


def test_noise_reduction_keeps_its_strength():
    def heard(value: object) -> dict[str, object]:
        return {"audio": {"input": {"noise_reduction": value}}}

    once = update(DEFAULT, **heard({"type": "near_field", "strength": 0.5}))
    again = update(once, **heard({"type": "far_field"}))
    assert again.audio.input.noise_reduction == NoiseReduction("far_field", 0.5)
    assert update(again, **heard(None)).audio.input.noise_reduction is None
    fresh = echo(update(DEFAULT, **heard({"type": "far_field"})))
    assert fresh["audio"]["input"]["noise_reduction"] == {"type": "far_field"}


def test_the_transcription_is_echoed_with_three_keys_and_those_that_were_set():
    def echoed(settings: Settings) -> object:
        return echo(settings)["audio"]["input"]["transcription"]

    once = update(DEFAULT, audio={"input": {"transcription": {"model": "m"}}})
    assert echoed(once) == {"model": "m", "language": None, "prompt": None}
    more = update(once, audio={"input": {"transcription": {"keywords": ["a"], "delay": "low"}}})
    assert echoed(more) == {
        "model": "m", "language": None, "prompt": None, "keywords": ("a",), "delay": "low",
    }  # fmt: skip


def test_telephone_formats_have_no_rate():
    pcmu = {"format": {"type": "audio/pcmu", "rate": 8000}}
    settings = update(DEFAULT, audio={"input": pcmu, "output": {"format": {"type": "audio/pcma"}}})
    assert settings.audio.input.format == Pcmu()
    assert echo(settings)["audio"]["output"]["format"] == {"type": "audio/pcma"}


def test_what_only_some_clients_set_is_echoed_to_them_only():
    assert not {"reasoning", "parallel_tool_calls", "temperature"} & set(echo(DEFAULT))
    settings = update(DEFAULT, reasoning={"effort": "low"}, parallel_tool_calls=False)
    assert settings.reasoning == Reasoning("low")
    assert echo(settings)["parallel_tool_calls"] is False
    back = update(settings, reasoning=None, parallel_tool_calls=None)
    assert back == DEFAULT


def test_truncation_has_three_forms():
    assert update(DEFAULT, truncation="disabled").truncation == "disabled"
    half = {"type": "retention_ratio", "retention_ratio": 0.5}
    assert update(DEFAULT, truncation=half).truncation == Retention(0.5)
    limited = {**half, "token_limits": {"post_instructions": 8000}}
    settings = update(DEFAULT, truncation=limited)
    assert settings.truncation == Retention(0.5, TokenLimits(8000))
    assert echo(settings)["truncation"] == limited
    assert update(settings, truncation=None).truncation == "auto"


def test_prompts_and_what_to_include():
    settings = update(DEFAULT, prompt={"id": "p", "variables": {"x": "1"}}, include=[LOGPROBS])
    assert settings.prompt == Prompt("p", None, {"x": "1"})
    assert update(settings, prompt={"id": "q"}).prompt == Prompt("q")
    assert update(settings, prompt=None, include=None) == DEFAULT


def test_secrets_of_servers_are_kept_and_never_echoed():
    server = {
        "type": "mcp", "server_label": "docs", "server_url": "https://mcp.example/mcp",
        "authorization": "hush", "headers": {"X-Key": "hush"}, "require_approval": "never",
    }  # fmt: skip
    settings = update(DEFAULT, tools=[server, {"type": "function", "name": "f"}])
    assert settings.servers[0].authorization == "hush"
    assert settings.servers == (
        McpTool(
            "docs", "https://mcp.example/mcp", require_approval="never",
            authorization="hush", headers={"X-Key": "hush"},
        ),
    )  # fmt: skip
    assert "hush" not in str(echo(settings))
    assert echo(settings)["tools"][0]["server_url"] == "https://mcp.example/mcp"


def test_a_transcription_session_is_echoed_without_responses():
    assert echo(DEFAULT, "transcription") == {
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
                },
            }
        },
        "include": None,
    }
