"""A session's settings: what they are, what may change them, how they are echoed.

Source: realtime contract §4. An update is merged deeply: what is absent stays,
`null` and empty values clear, a new `turn_detection` replaces the old one whole.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from . import checks as c
from .refusals import Refused, not_yet, refuse

RATE_HZ = 24_000


class PcmFormat(msgspec.Struct, frozen=True):
    type: Literal["audio/pcm"] = "audio/pcm"
    rate: int = RATE_HZ


class ServerVad(msgspec.Struct, frozen=True):
    type: Literal["server_vad"] = "server_vad"
    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 200  # as the live service; its schema text says 500
    idle_timeout_ms: int | None = None
    create_response: bool = True
    interrupt_response: bool = True


class Transcription(msgspec.Struct, frozen=True):
    model: str | None = None
    language: str | None = None  # ISO 639-1
    prompt: str | None = None


class AudioInput(msgspec.Struct, frozen=True):
    format: PcmFormat = PcmFormat()
    transcription: Transcription | None = None
    noise_reduction: None = None
    turn_detection: ServerVad | None = ServerVad()


class AudioOutput(msgspec.Struct, frozen=True):
    format: PcmFormat = PcmFormat()
    voice: str = "alloy"
    speed: float = 1.0


class Audio(msgspec.Struct, frozen=True):
    input: AudioInput = AudioInput()
    output: AudioOutput = AudioOutput()


class Tool(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="function"):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Settings(msgspec.Struct, frozen=True):
    """What a client can set with `session.update`, all filled in."""

    output_modalities: tuple[Literal["audio", "text"], ...] = ("audio",)
    instructions: str = ""
    tools: tuple[Tool, ...] = ()
    tool_choice: str | dict[str, str] = "auto"
    max_output_tokens: int | Literal["inf"] = "inf"
    tracing: str | dict[str, Any] | None = None
    truncation: Literal["auto"] = "auto"
    prompt: None = None
    audio: Audio = Audio()
    include: None = None

    @property
    def speaks(self) -> bool:
        return self.output_modalities == ("audio",)


def modalities(value: Any, path: str) -> list[str]:
    if value not in (["text"], ["audio"]):
        if isinstance(value, list) and all(isinstance(part, str) for part in value):
            message = "Supported combinations are: ['text'] and ['audio']."
            raise refuse("invalid_value", f"Invalid modalities: {value}. {message}", path)
        return list(c.array(c.one_of("text", "audio"))(value, path))
    return list(value)


def voice(value: Any, path: str) -> str:
    """A voice's name; the object form names it by `id`."""
    if isinstance(value, dict):
        return str(c.obj({"id": c.string(64)})(value, path)["id"])
    return str(c.string(64, r"\S+")(value, path))


def _later(what: str) -> c.Check:
    """Only null for now."""
    return c.nullable(c.refused(lambda path: not_yet(path, what)))


def _only(value: Any, what: str) -> c.Check:
    """Only `value` (or null) for now."""

    def check(got: Any, path: str) -> Any:
        if got is not None and got != value:
            raise not_yet(path, what)
        return value

    return check


def _pcm_type(value: Any, path: str) -> str:
    if value in ("audio/pcmu", "audio/pcma"):
        raise not_yet(path, f"The format {value}")
    return str(c.one_of("audio/pcm")(value, path))


_FORMAT = c.obj({"type": _pcm_type}, {"rate": c.nullable(c.integer(RATE_HZ, RATE_HZ))})


def audio_format(value: Any, path: str) -> dict[str, Any]:
    return _given(_FORMAT(value, path))


def _given(checked: dict[str, Any]) -> dict[str, Any]:
    """Without the keys that are null, so that they take their defaults."""
    return {key: part for key, part in checked.items() if part is not None}


_NAME = c.string(64, r"[a-zA-Z0-9_-]+")


def _tool(value: Any, path: str) -> Any:
    if isinstance(value, dict) and value.get("type") == "mcp":
        raise not_yet(f"{path}.type", "The tool type mcp")
    return _FUNCTION(value, path)


_FUNCTION = c.by_type(
    {
        "function": c.obj(
            {"type": c.anything, "name": _NAME},
            {
                "description": c.nullable(c.string(1 << 14)),
                "parameters": c.nullable(c.json_object),
            },
        )
    }
)
TOOLS = c.nullable(c.no_longer_than(256 << 10, c.array(_tool)))
TOOL_CHOICE = c.nullable(
    c.either(
        (str, c.one_of("none", "auto", "required")),
        (dict, c.by_type({"function": c.obj({"type": c.anything, "name": _NAME})})),
    )
)
MAX_OUTPUT_TOKENS = c.nullable(c.either((int, c.integer(1, 4096)), (str, c.one_of("inf"))))
INSTRUCTIONS = c.nullable(c.string(1 << 17))

_SERVER_VAD = c.obj(
    {"type": c.anything},
    {
        "threshold": c.nullable(c.number(0, 1)),
        "prefix_padding_ms": c.nullable(c.integer(0, 5_000)),
        "silence_duration_ms": c.nullable(c.integer(0, 60_000)),
        "idle_timeout_ms": _later("turn_detection.idle_timeout_ms"),
        "create_response": c.nullable(c.boolean),
        "interrupt_response": c.nullable(c.boolean),
    },
)


def _turn_detection(value: Any, path: str) -> dict[str, Any]:
    if isinstance(value, dict) and value.get("type") == "semantic_vad":
        raise not_yet(f"{path}.type", "The turn detection semantic_vad")
    return _given(c.by_type({"server_vad": _SERVER_VAD})(value, path))


_TRANSCRIPTION = c.obj(
    {},
    {
        "model": c.nullable(c.string(128)),
        "language": c.nullable(c.string(16)),
        "prompt": c.nullable(c.string(1 << 14)),
    },
)

_AUDIO = c.obj(
    {},
    {
        "input": c.nullable(
            c.obj(
                {},
                {
                    "format": c.nullable(audio_format),
                    "transcription": c.nullable(_TRANSCRIPTION),
                    "noise_reduction": _later("Noise reduction"),
                    "turn_detection": c.nullable(_turn_detection),
                },
            )
        ),
        "output": c.nullable(
            c.obj(
                {},
                {
                    "format": c.nullable(audio_format),
                    "voice": c.nullable(voice),
                    "speed": c.nullable(c.number(0.25, 1.5)),
                },
            )
        ),
    },
)


def _session_type(value: Any, path: str) -> str:
    if value == "transcription":
        message = (
            "Passing a transcription session update event to a realtime session is not allowed."
        )
        raise refuse("invalid_value", message, path)
    return str(c.one_of("realtime")(value, path))


PATCH = c.obj(
    {"type": _session_type},
    {
        "id": c.anything,  # read-only fields, as a client that echoes our session sends them
        "object": c.anything,
        "expires_at": c.anything,
        "model": c.nullable(c.string(256)),  # agents-python always sends its own default
        "output_modalities": c.nullable(modalities),
        "instructions": INSTRUCTIONS,
        "tools": TOOLS,
        "tool_choice": TOOL_CHOICE,
        "max_output_tokens": MAX_OUTPUT_TOKENS,
        "parallel_tool_calls": c.nullable(c.boolean),
        "reasoning": _later("session.reasoning"),
        "tracing": c.nullable(c.either((str, c.one_of("auto")), (dict, c.json_object))),
        "truncation": _only("auto", "A truncation other than auto"),
        "prompt": _later("Stored prompts"),
        "include": _later("session.include"),
        "audio": c.nullable(_AUDIO),
    },
)
"""The `session` of `session.update`."""

_NOT_KEPT = {"type", "id", "object", "expires_at", "model", "parallel_tool_calls", "reasoning"}
# Where null means "none"; elsewhere it means "the default".
_NULL_IS_A_VALUE = {"turn_detection", "transcription", "noise_reduction", "tracing", "prompt"}
_REPLACED_WHOLE = {"turn_detection", "tools", "tool_choice", "tracing", "format"}


def merge(settings: Settings, patch: dict[str, Any], default: Settings) -> Settings:
    """The settings after a checked update.

    Args:
        default: What a field goes back to when it is set to null.
    """
    wanted = {key: value for key, value in patch.items() if key not in _NOT_KEPT}
    merged = _merged(msgspec.to_builtins(settings), wanted, msgspec.to_builtins(default))
    return msgspec.convert(merged, Settings)


def _merged(old: dict[str, Any], new: dict[str, Any], default: dict[str, Any]) -> dict[str, Any]:
    result = dict(old)
    for key, value in new.items():
        if value is None and key not in _NULL_IS_A_VALUE:
            result[key] = default.get(key)
        elif isinstance(value, dict) and isinstance(old.get(key), dict) and _deep(key):
            result[key] = _merged(old[key], value, default.get(key) or {})
        else:
            result[key] = value
    return result


def _deep(key: str) -> bool:
    return key not in _REPLACED_WHOLE


def voice_is_fixed(param: str) -> Refused:
    message = "Cannot update a conversation's voice if assistant audio is present."
    return refuse("cannot_update_voice", message, param)
