"""A session's settings: what they are, and what an update makes of them.

Source: realtime contract §4. An update is merged deeply: what is absent stays,
`null` and empty values clear, a new `turn_detection` replaces the old one whole.
What a client may send is checked in `session_checks.py` first.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from .refusals import Refused, refuse

RATE_HZ = 24_000
"""Of all audio in here. G.711 is 8 kHz on the wire only."""

LOGPROBS = "item.input_audio_transcription.logprobs"

Kind = Literal["realtime", "transcription"]


class Pcm(msgspec.Struct, frozen=True, tag_field="type", tag="audio/pcm"):
    rate: int = RATE_HZ


class Pcmu(msgspec.Struct, frozen=True, tag_field="type", tag="audio/pcmu"):
    """G.711 µ-law, 8 kHz."""


class Pcma(msgspec.Struct, frozen=True, tag_field="type", tag="audio/pcma"):
    """G.711 A-law, 8 kHz."""


AudioFormat = Pcm | Pcmu | Pcma


class ServerVad(msgspec.Struct, frozen=True, tag_field="type", tag="server_vad"):
    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 200  # as the live service; its schema text says 500
    idle_timeout_ms: int | None = None
    create_response: bool = True
    interrupt_response: bool = True


class SemanticVad(msgspec.Struct, frozen=True, tag_field="type", tag="semantic_vad"):
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True


TurnDetection = ServerVad | SemanticVad


class NoiseReduction(msgspec.Struct, frozen=True):
    type: Literal["near_field", "far_field"]
    strength: float | UnsetType = UNSET  # 0 to 1; all of it unless the client says otherwise


class Transcription(msgspec.Struct, frozen=True):
    """The later fields are echoed only if the client set them: some clients know no others."""

    model: str | None = None
    language: str | None = None  # ISO 639-1
    prompt: str | None = None
    languages: tuple[str, ...] | UnsetType = UNSET
    keywords: tuple[str, ...] | UnsetType = UNSET
    delay: str | UnsetType = UNSET

    @property
    def names_speakers(self) -> bool:
        return (self.model or "").endswith("-diarize")


class AudioInput(msgspec.Struct, frozen=True):
    format: AudioFormat = Pcm()
    transcription: Transcription | None = None
    noise_reduction: NoiseReduction | None = None
    turn_detection: TurnDetection | None = ServerVad()


class AudioOutput(msgspec.Struct, frozen=True):
    format: AudioFormat = Pcm()
    voice: str = "alloy"
    speed: float = 1.0


class Audio(msgspec.Struct, frozen=True):
    input: AudioInput = AudioInput()
    output: AudioOutput = AudioOutput()


class Tool(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="function"):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class McpTool(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="mcp"):
    """An MCP server whose tools the model may call."""

    server_label: str
    server_url: str
    server_description: str | None = None
    allowed_tools: list[str] | dict[str, Any] | None = None
    require_approval: str | dict[str, Any] | None = None
    authorization: str | None = None  # never echoed, nor are the headers
    headers: dict[str, str] | None = None


class Prompt(msgspec.Struct, frozen=True):
    """Names a stored prompt (`prompts.py`)."""

    id: str
    version: str | None = None
    variables: dict[str, str] | None = None


class TokenLimits(msgspec.Struct, frozen=True, omit_defaults=True):
    post_instructions: int | None = None


class Retention(msgspec.Struct, frozen=True, tag_field="type", tag="retention_ratio"):
    """Once the context is too long, keep only so much of it."""

    retention_ratio: float
    token_limits: TokenLimits | UnsetType = UNSET


class Reasoning(msgspec.Struct, frozen=True, omit_defaults=True):
    effort: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None


class Settings(msgspec.Struct, frozen=True):
    """What a client can set with `session.update`, all filled in."""

    output_modalities: tuple[Literal["audio", "text"], ...] = ("audio",)
    instructions: str = ""
    tools: tuple[Tool | McpTool, ...] = ()
    tool_choice: str | dict[str, str] = "auto"
    max_output_tokens: int | Literal["inf"] = "inf"
    tracing: str | dict[str, Any] | None = None
    truncation: Literal["auto", "disabled"] | Retention = "auto"
    prompt: Prompt | None = None
    audio: Audio = Audio()
    include: tuple[str, ...] | None = None
    # Echoed only if the client set them, as the live service does.
    parallel_tool_calls: bool | UnsetType = UNSET
    reasoning: Reasoning | UnsetType = UNSET
    temperature: float | UnsetType = UNSET  # of the beta dialect; GA has none

    @property
    def speaks(self) -> bool:
        return self.output_modalities == ("audio",)

    @property
    def servers(self) -> tuple[McpTool, ...]:
        return tuple(tool for tool in self.tools if isinstance(tool, McpTool))


_NOT_KEPT = {"type", "id", "object", "expires_at", "model"}
# Where null means "none"; elsewhere it means "the default".
_NULL_IS_A_VALUE = {"turn_detection", "transcription", "noise_reduction", "tracing", "prompt"}
_REPLACED_WHOLE = {
    "turn_detection", "tools", "tool_choice", "tracing", "format", "prompt", "truncation",
    "reasoning",
}  # fmt: skip


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
            result.pop(key, None)
            if key in default:
                result[key] = default[key]
        elif isinstance(value, dict) and _deep(key):
            result[key] = _merged(old.get(key) or {}, value, default.get(key) or {})
        else:
            result[key] = value
    return result


def _deep(key: str) -> bool:
    return key not in _REPLACED_WHOLE


_SECRET = ("authorization", "headers")
_OF_RESPONSES = ("create_response", "interrupt_response", "idle_timeout_ms")


def echo(settings: Settings, kind: Kind = "realtime") -> dict[str, Any]:
    """The settings as a client reads them: without secrets, and of a transcription session
    only what it has."""
    wire: dict[str, Any] = msgspec.to_builtins(settings)
    for tool in wire["tools"]:
        for secret in _SECRET:
            tool.pop(secret, None)
    if kind == "realtime":
        return wire
    heard = wire["audio"]["input"]
    for key in _OF_RESPONSES:
        (heard["turn_detection"] or {}).pop(key, None)
    return {"audio": {"input": heard}, "include": wire["include"]}


def voice_is_fixed(param: str) -> Refused:
    message = "Cannot update a conversation's voice if assistant audio is present."
    return refuse("cannot_update_voice", message, param)
