"""What a client may put into a session, checked field by field.

Source: realtime contract §4 and §5.1. `settings.py` says what becomes of it.
"""

from __future__ import annotations

from typing import Any

from . import checks as c
from .refusals import not_here, refuse
from .settings import LOGPROBS, RATE_HZ, Kind


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


def _given(checked: dict[str, Any]) -> dict[str, Any]:
    """Without the keys that are null, so that they take their defaults."""
    return {key: part for key, part in checked.items() if part is not None}


_PCM = c.obj({"type": c.anything}, {"rate": c.nullable(c.integer(RATE_HZ, RATE_HZ))})
_G711 = c.obj({"type": c.anything}, {"rate": c.nullable(c.integer(8000, 8000))})
_FORMAT = c.by_type({"audio/pcm": _PCM, "audio/pcmu": _G711, "audio/pcma": _G711})


def audio_format(value: Any, path: str) -> dict[str, Any]:
    checked = _given(_FORMAT(value, path))
    return checked if checked["type"] == "audio/pcm" else {"type": checked["type"]}


NAME = c.string(64, r"[a-zA-Z0-9_-]+")
_FUNCTION = c.obj(
    {"type": c.anything, "name": NAME},
    {
        "description": c.nullable(c.string(1 << 14)),
        "parameters": c.nullable(c.json_object),
    },
)

_FILTER = c.obj({}, {"tool_names": c.nullable(c.array(c.string(128))), "read_only": c.boolean})
_ALLOWED = c.either((list, c.array(c.string(128))), (dict, _FILTER))
_APPROVAL = c.either(
    (str, c.one_of("always", "never")),
    (dict, c.obj({}, {"always": c.nullable(_FILTER), "never": c.nullable(_FILTER)})),
)
_MCP = c.obj(
    {"type": c.anything, "server_label": NAME},
    {
        "server_url": c.nullable(c.string(2048, r"https?://\S+")),
        "server_description": c.nullable(c.string(1 << 14)),
        "allowed_tools": c.nullable(_ALLOWED),
        "require_approval": c.nullable(_APPROVAL),
        "authorization": c.nullable(c.string(1 << 14)),
        "headers": c.nullable(c.text_map(32, 128, 4096)),
        "connector_id": c.nullable(c.refused(lambda path: not_here(path, "A connector"))),
        "tunnel_id": c.nullable(c.refused(lambda path: not_here(path, "A tunnel"))),
        "allowed_callers": c.anything,  # of the Responses API; nobody else calls here
        "defer_loading": c.anything,
    },
)
_NOT_KEPT_OF_MCP = ("connector_id", "tunnel_id", "allowed_callers", "defer_loading")


def _mcp(value: Any, path: str) -> dict[str, Any]:
    checked = _given(_MCP(value, path))
    if "server_url" not in checked:
        message = f"Missing required parameter: '{path}.server_url'."
        raise refuse("missing_required_parameter", message, f"{path}.server_url")
    return {key: part for key, part in checked.items() if key not in _NOT_KEPT_OF_MCP}


def _tools(value: Any, path: str) -> list[dict[str, Any]]:
    kinds = c.by_type({"function": _FUNCTION, "mcp": _mcp})
    checked: list[dict[str, Any]] = c.array(kinds)(value, path)
    labels = [tool["server_label"] for tool in checked if tool["type"] == "mcp"]
    for label in labels:
        if labels.count(label) > 1:
            message = f"Duplicate MCP server_label found: {label}. Labels must be unique."
            raise refuse("invalid_value", message, path)
    return checked


TOOLS = c.nullable(c.no_longer_than(256 << 10, _tools))
_CHOSEN_SERVER = c.obj(
    {"type": c.anything, "server_label": NAME}, {"name": c.nullable(c.string(128))}
)
TOOL_CHOICE = c.nullable(
    c.either(
        (str, c.one_of("none", "auto", "required")),
        (
            dict,
            c.by_type(
                {
                    "function": c.obj({"type": c.anything, "name": NAME}),
                    "mcp": lambda value, path: _given(_CHOSEN_SERVER(value, path)),
                }
            ),
        ),
    )
)
MAX_OUTPUT_TOKENS = c.nullable(c.either((int, c.integer(1, 4096)), (str, c.one_of("inf"))))
INSTRUCTIONS = c.nullable(c.string(1 << 17))
REASONING = c.nullable(
    c.obj({}, {"effort": c.nullable(c.one_of("minimal", "low", "medium", "high", "xhigh"))})
)


def _variable(value: Any, path: str) -> str:
    """A text, or the object that the Responses API writes for one."""
    if isinstance(value, dict):
        kinds = {"input_text": c.obj({"type": c.anything, "text": c.string(1 << 14)})}
        return str(c.by_type(kinds)(value, path)["text"])
    return str(c.string(1 << 14)(value, path))


PROMPT = c.nullable(
    c.obj(
        {"id": c.string(128)},
        {
            "version": c.nullable(c.string(64)),
            "variables": c.nullable(c.mapping(_variable, max_pairs=64, max_key=64)),
        },
    )
)

_SERVER_VAD = c.obj(
    {"type": c.anything},
    {
        "threshold": c.nullable(c.number(0, 1)),
        "prefix_padding_ms": c.nullable(c.integer(0, 5_000)),
        "silence_duration_ms": c.nullable(c.integer(0, 60_000)),
        "idle_timeout_ms": c.nullable(c.integer(5_000, 30_000)),
        "create_response": c.nullable(c.boolean),
        "interrupt_response": c.nullable(c.boolean),
    },
)
_SEMANTIC_VAD = c.obj(
    {"type": c.anything},
    {
        "eagerness": c.nullable(c.one_of("low", "medium", "high", "auto")),
        "create_response": c.nullable(c.boolean),
        "interrupt_response": c.nullable(c.boolean),
    },
)


def _turn_detection(value: Any, path: str) -> dict[str, Any]:
    kinds = {"server_vad": _SERVER_VAD, "semantic_vad": _SEMANTIC_VAD}
    return _given(c.by_type(kinds)(value, path))


_LANGUAGE = c.string(16)
_TRANSCRIPTION = c.obj(
    {},
    {
        "model": c.nullable(c.string(128)),
        "language": c.nullable(_LANGUAGE),
        "prompt": c.nullable(c.string(1 << 14)),
        "languages": c.nullable(c.array(_LANGUAGE, 16)),
        "keywords": c.nullable(c.array(c.string(128), 128)),
        "delay": c.nullable(c.one_of("minimal", "low", "medium", "high", "xhigh")),
    },
)
_NOISE_REDUCTION = c.obj(
    {"type": c.one_of("near_field", "far_field")}, {"strength": c.nullable(c.number(0, 1))}
)
_INPUT = c.obj(
    {},
    {
        "format": c.nullable(audio_format),
        "transcription": c.nullable(_TRANSCRIPTION),
        "noise_reduction": c.nullable(_NOISE_REDUCTION),
        "turn_detection": c.nullable(_turn_detection),
    },
)
_OUTPUT = c.obj(
    {},
    {
        "format": c.nullable(audio_format),
        "voice": c.nullable(voice),
        "speed": c.nullable(c.number(0.25, 1.5)),
    },
)
_TRACING = c.obj(
    {},
    {
        "workflow_name": c.nullable(c.string(256)),
        "group_id": c.nullable(c.string(256)),
        "metadata": c.nullable(c.json_object),
    },
)
_TOKEN_LIMITS = c.obj({}, {"post_instructions": c.nullable(c.integer(0))})

_RETENTION = c.obj(
    {"type": c.anything, "retention_ratio": c.number(0, 1)},
    {"token_limits": c.nullable(_TOKEN_LIMITS)},
)


def _retention(value: Any, path: str) -> dict[str, Any]:
    return _given(_RETENTION(value, path))


_TRUNCATION = c.either(
    (str, c.one_of("auto", "disabled")),
    (dict, c.by_type({"retention_ratio": _retention})),
)
_READ_ONLY = {
    "id": c.anything,  # as a client that echoes our session sends them
    "object": c.anything,
    "expires_at": c.anything,
}
_INCLUDE = c.nullable(c.array(c.one_of(LOGPROBS), 8))

_REALTIME = c.obj(
    {"type": c.anything},
    {
        **_READ_ONLY,
        "model": c.nullable(c.string(256)),  # agents-python always sends its own default
        "output_modalities": c.nullable(modalities),
        "instructions": INSTRUCTIONS,
        "tools": TOOLS,
        "tool_choice": TOOL_CHOICE,
        "max_output_tokens": MAX_OUTPUT_TOKENS,
        "parallel_tool_calls": c.nullable(c.boolean),
        "reasoning": REASONING,
        "tracing": c.nullable(c.either((str, c.one_of("auto")), (dict, _TRACING))),
        "truncation": c.nullable(_TRUNCATION),
        "prompt": PROMPT,
        "include": _INCLUDE,
        "audio": c.nullable(
            c.obj({}, {"input": c.nullable(_INPUT), "output": c.nullable(_OUTPUT)})
        ),
    },
)
_TRANSCRIBING = c.obj(
    {"type": c.anything},
    {
        **_READ_ONLY,
        "include": _INCLUDE,
        "audio": c.nullable(c.obj({}, {"input": c.nullable(_INPUT)})),
    },
)
PATCH = c.by_type({"realtime": _REALTIME, "transcription": _TRANSCRIBING})
"""The `session` of `session.update`, of either kind."""


def check_kind(patch: dict[str, Any], kind: Kind) -> None:
    """
    Raises:
        Refused: the update is for the other kind of session.
    """
    if patch["type"] != kind:
        article = "a realtime" if patch["type"] == "realtime" else "a transcription"
        message = f"Passing {article} session update event to a {kind} session is not allowed."
        raise refuse(None, message)
