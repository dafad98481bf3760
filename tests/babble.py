"""What a client might say, right and wrong, drawn from a tape of bytes.

A tape is one draw of Hypothesis and not hundreds, so that a step costs microseconds. A byte
of 0 is the plainest choice, so that what Hypothesis shrinks is easy to read.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

from gateway.realtime.prompts import Stored

T = TypeVar("T")
Event = dict[str, Any]


class Tape:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def is_over(self) -> bool:
        return self._at >= len(self._data)

    def byte(self) -> int:
        self._at += 1
        return 0 if self._at > len(self._data) else self._data[self._at - 1]

    def pick(self, options: Sequence[T]) -> T:
        return options[self.byte() % len(options)]

    def rarely(self) -> bool:
        return self.byte() % 16 == 15

    def some(self, fields: dict[str, Callable[[Tape], Any]], most: int) -> Event:
        """A few of these keys with values of theirs."""
        names = list(fields)
        keys = [self.pick(names) for _ in range(self.byte() % (most + 1))]
        return {key: fields[key](self) for key in keys}


def of(*options: Any) -> Callable[[Tape], Any]:
    return lambda tape: tape.pick(options)


@cache
def audio(n_bytes: int) -> str:
    return base64.b64encode(b"\1\2" * (n_bytes // 2) + b"\3" * (n_bytes % 2)).decode()


IDS = ("a", "b", "", "x" * 32, "x" * 33)
TEXT = of("hi", "", "one two three", None, 5)
PNG = "data:image/png;base64,iVBORw0KGgo="
CALL_IDS = ("call_1", "call_9", "no good", "c" * 33)

FUNCTION = {"type": "function", "name": "f"}
SERVER = {"type": "mcp", "server_label": "s", "server_url": "https://mcp.example/s"}
TOOLS = of(
    [], [FUNCTION], [{**FUNCTION, "parameters": {"$schema": "x"}, "description": None}],
    [SERVER, FUNCTION], [{**SERVER, "require_approval": "never"}],
    [{**SERVER, "require_approval": {"never": {"tool_names": ["look"]}}}],
    [SERVER, {**SERVER, "server_label": "t"}], [SERVER, SERVER], [{"type": "mcp"}], None, {},
)  # fmt: skip
CHOICE = of(
    "auto", "none", "required", {"type": "function", "name": "f"},
    {"type": "mcp", "server_label": "s", "name": None}, {"type": "mcp", "server_label": "s"},
    {"type": "mcp", "server_label": "s", "name": "look"}, None, 1,
)  # fmt: skip
FORMAT = of(
    {"type": "audio/pcm", "rate": 24_000}, {"type": "audio/pcmu"}, {"type": "audio/pcma"},
    {"type": "audio/pcm"}, {"type": "audio/pcmu", "rate": 8000}, {"type": "audio/pcm", "rate": 8},
    None, "pcm16",
)  # fmt: skip
VOICE = of("alloy", "ash", {"id": "ash"}, None, "a b")
MODALITIES = of(["audio"], ["text"], ["audio", "text"], None, "audio")
TOKENS = of("inf", 1, 4096, 4097, None)
PROMPT = of(
    None, {"id": "p", "variables": {"name": "Ann"}}, {"id": "p"}, {"id": "p", "version": "0"},
    {"id": "p", "version": "0", "variables": None}, {"id": "q"},
)  # fmt: skip
TRANSCRIPTION = of(
    {"model": "whisper-1"}, None, {}, {"model": "gpt-4o-transcribe-diarize"},
    {"language": "de", "prompt": "x"}, {"languages": ["de", "en"], "keywords": ["Ann"]},
    {"keywords": None, "delay": "low"},
    {"languages": None, "delay": None}, {"model": 1},
)  # fmt: skip
NOISE = of(
    None, {"type": "near_field"}, {"type": "far_field", "strength": 0.5},
    {"type": "near_field", "strength": None}, {"type": "near_field", "strength": 2}, {},
)  # fmt: skip


def vad(tape: Tape) -> Any:
    flags = {"create_response": of(True, False, None), "interrupt_response": of(True, False, None)}
    server = {
        **flags, "idle_timeout_ms": of(5000, 5000, None, 4999), "threshold": of(0.5, None, 2),
        "silence_duration_ms": of(500, None, -1), "prefix_padding_ms": of(0, None),
    }  # fmt: skip
    match tape.byte() % 6:
        case 0 | 1 | 2:
            return {"type": "server_vad", **tape.some(server, 3)}
        case 3:
            return {"type": "semantic_vad", **tape.some({**flags, "eagerness": of("low", None)}, 2)}
        case 4:
            return None
    return tape.pick([{"type": "none"}, {}, "server_vad"])


INPUT: dict[str, Callable[[Tape], Any]] = {
    "format": FORMAT, "transcription": TRANSCRIPTION, "turn_detection": vad,
    "noise_reduction": NOISE,
}  # fmt: skip
OUTPUT = {"format": FORMAT, "voice": VOICE, "speed": of(1.0, 0.25, None, 2)}


def _audio(tape: Tape) -> Any:
    parts: dict[str, Callable[[Tape], Any]] = {
        "input": lambda tape: None if tape.rarely() else tape.some(INPUT, 3),
        "output": lambda tape: None if tape.rarely() else tape.some(OUTPUT, 2),
    }
    return None if tape.rarely() else tape.some(parts, 2)


SESSION: dict[str, Callable[[Tape], Any]] = {
    "audio": _audio,
    "instructions": TEXT,
    "output_modalities": MODALITIES,
    "tools": TOOLS,
    "tool_choice": CHOICE,
    "max_output_tokens": TOKENS,
    "parallel_tool_calls": of(True, False, None, 1),
    "reasoning": of({"effort": "low"}, {"effort": None}, {}, None, {"effort": "much"}),
    "tracing": of(None, "auto", {"workflow_name": "w", "group_id": None}, "on"),
    "truncation": of(
        "auto", "disabled", None, {"type": "retention_ratio", "retention_ratio": 0.5},
        {"type": "retention_ratio", "retention_ratio": 0.5, "token_limits": {}}, "never",
    ),
    "prompt": PROMPT,
    "include": of(["item.input_audio_transcription.logprobs"], [], None, ["x"]),
    "model": of("m", None),
    "nonsense": of(1),
}  # fmt: skip
BETA_SESSION: dict[str, Callable[[Tape], Any]] = {
    "modalities": of(["text", "audio"], ["text"], ["audio"], None, "text"),
    "voice": VOICE,
    "input_audio_format": of("pcm16", "g711_ulaw", "g711_alaw", "mp3", None),
    "output_audio_format": of("pcm16", "g711_ulaw", "g711_alaw", "mp3", None),
    "input_audio_transcription": TRANSCRIPTION,
    "input_audio_noise_reduction": NOISE,
    "turn_detection": vad,
    "temperature": of(0.8, 0.6, 1.2, 3, None),
    "max_response_output_tokens": TOKENS,
    "speed": of(1.0, None, 9),
    **{key: SESSION[key] for key in ("instructions", "tools", "tool_choice", "tracing", "prompt")},
}


def session(tape: Tape, kind: str, *, beta: bool) -> Event:
    if tape.rarely():
        kind = tape.pick(["realtime", "transcription", "translation"])
    if beta or tape.rarely():
        return tape.some(BETA_SESSION, 3)
    if kind == "transcription":
        heard = {"audio": _audio, "include": SESSION["include"], "instructions": TEXT}
        return {"type": kind, **tape.some(heard, 2)}
    return {"type": kind, **tape.some(SESSION, 3)}


def _part(tape: Tape, role: str) -> Event:
    sound = {"type": "input_audio", "audio": audio(tape.pick([48, 800, 1, 4801]))}
    parts: dict[str, list[Event]] = {
        "user": [
            {"type": "input_text", "text": "hi"}, sound, sound,
            {**sound, "transcript": "known"}, {"type": "input_image", "image_url": PNG},
        ],
        "assistant": [{"type": "output_text", "text": "hi"}, {"type": "text", "text": "hi"}],
        "system": [{"type": "input_text", "text": "hi"}],
    }  # fmt: skip
    if tape.rarely():
        return tape.pick([{"type": "output_audio", "audio": "AAAA"}, {"type": "input_image"}, {}])
    return tape.pick(parts[role])


def item(tape: Tape, ids: Sequence[str]) -> Event:
    """
    Args:
        ids: What the client knows: ids that it may use again, or refer to.
    """
    named = {} if tape.byte() % 2 else {"id": tape.pick([*IDS, *ids])}
    match tape.byte() % 8:
        case 5:
            call = {"type": "function_call", "name": "f", "arguments": tape.pick(["{}", ""])}
            return {**call, **named, "call_id": tape.pick([*CALL_IDS, None])}
        case 6:
            output = {"type": "function_call_output", "output": "42"}
            return {**output, **named, "call_id": tape.pick(CALL_IDS)}
        case 7:
            answer = {"type": "mcp_approval_response", "approve": tape.pick([True, False])}
            return {**answer, "approval_request_id": tape.pick(["nope", *ids])}
    role = tape.pick(["user", "user", "assistant", "system"])
    content = [_part(tape, role) for _ in range(tape.byte() % 3)]
    return {"type": "message", "role": role, "content": content, **named}


def response(tape: Tape, ids: Sequence[str], *, beta: bool) -> Event | None:
    if tape.byte() % 4 == 0:
        return tape.pick([None, {}])
    fields: dict[str, Callable[[Tape], Any]] = {
        "conversation": of("none", "none", "auto", None, "?"),
        "input": lambda tape: [_input(tape, ids) for _ in range(tape.byte() % 4)],
        "audio": lambda tape: {"output": tape.some({"format": FORMAT, "voice": VOICE}, 2)},
        "metadata": of({"k": "v"}, None, {"k": 1}),
        **{
            key: SESSION[key]
            for key in (
                "instructions", "output_modalities", "tools", "tool_choice", "max_output_tokens",
                "parallel_tool_calls", "reasoning", "prompt", "nonsense",
            )
        },
    }  # fmt: skip
    if beta:
        flat = ("modalities", "voice", "output_audio_format", "temperature")
        fields |= {key: BETA_SESSION[key] for key in flat}
        del fields["audio"], fields["output_modalities"]
    wanted = tape.some(fields, 3)
    return {**wanted, "conversation": "none"} if tape.byte() % 2 else wanted


def _input(tape: Tape, ids: Sequence[str]) -> Event:
    if tape.byte() % 2:
        return {"type": "item_reference", "id": tape.pick([*ids, "nope"])}
    return item(tape, ids)


def junk(tape: Tape, depth: int = 3) -> Any:
    """Any JSON."""
    n = tape.byte() % (10 if depth else 7)
    if n == 7:
        return [junk(tape, depth - 1) for _ in range(tape.byte() % 3)]
    if n > 7:
        keys = ("type", "id", "role", "content", "audio", "item", "response", "session")
        return {tape.pick(keys): junk(tape, depth - 1) for _ in range(tape.byte() % 4)}
    return [None, True, 0, -1.5, "", "realtime", 10**20][n]


def raw(tape: Tape) -> str | bytes:
    """Anything that fits a frame."""
    whole = json.dumps(junk(tape))
    frames: list[str | bytes] = [
        whole, whole[:-1], b"\xff" + whole.encode(), "", "[" * 5000, '"\\ud800"', "{" + whole
    ]  # fmt: skip
    return tape.pick(frames)


# What servers have, and say.

LOOK = {
    "name": "look", "description": None, "input_schema": {"type": "object"},
    "annotations": {"readOnlyHint": True},
}  # fmt: skip
HTTP_ERROR = {"type": "http_error", "code": 500, "message": "no"}
PROMPTS = {"p": (Stored("Hi.", "0"), Stored("Hi {{name}}.", "1"))}
