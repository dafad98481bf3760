"""A second opinion on every event we send: does it have the shape that was published?

For tests and for finding out why a client stumbles; production leaves it off
(`Config.check_events`). The schema is data, `gateway/realtime/schema/`; nothing of a
client library is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

Check = Callable[[Any, str], None]
"""Raises NonConforming when a value, found at a path, is not what it should be."""
Fields = dict[str, dict[str, Any]]

_SESSION = {"object": "string", "id": "string", "expires_at": "integer"}
_BETA_SESSION = {"object": "string", "expires_at": "integer", "client_secret": "any"}
EXTRA: Mapping[str, Mapping[str, str]] = {
    "realtime_session_create_request.RealtimeSessionCreateRequest": _SESSION,
    "realtime_transcription_session_create_request.RealtimeTranscriptionSessionCreateRequest": (
        _SESSION
    ),
    # Ours, echoed to the client that set it.
    "realtime_audio_config_input.NoiseReduction": {"strength": "number"},
    # The published list of models is older than the names that an operator gives.
    "beta.session.Session": {
        **_BETA_SESSION, "include": "array<string>", "prompt": "any", "model": "string",
    },
    # `client_secret` comes with a secret that was made over REST, not over a WebSocket.
    "beta.transcription_session.TranscriptionSession": {
        **_BETA_SESSION, "id": "string", "include": "array<string>",
        "input_audio_noise_reduction": "any",
    },
    "beta.transcription_session.TurnDetection": {"eagerness": "string"},
    "beta.realtime_response_usage.InputTokenDetails": {
        "image_tokens": "integer", "cached_tokens_details": "any",
    },
    # MCP is younger than this dialect, and is only said to those who asked for it.
    "beta.conversation_item.ConversationItem": {
        "type": "string", "server_label": "string", "tools": "array<any>", "error": "any",
        "approval_request_id": "string", "approve": "boolean", "reason": "string",
    },
}  # fmt: skip
"""Keys that the live service sends and the published model lacks, or has otherwise: their
types. They may be absent or null (contract §4.2–4.4, §12.13)."""

_SAME_AS = {"transcription_session.created": "transcription_session.updated"}
"""Events of the beta dialect that are missing in the schema (contract §4.4)."""

_YOUNGER = (
    "mcp_list_tools.", "response.mcp_call", "input_audio_buffer.timeout_triggered",
    "conversation.item.input_audio_transcription.segment",
)  # fmt: skip
"""How the names of events begin that have the same shape in both dialects, because the beta
never had them."""

_ALWAYS_IN = {
    "always_in_error": "error",
    "always_in_response": "response",
    "always_in_session": "session",
}
_NOT_OF = {"transcription": {"always_in_session"}}
"""What a note asks of realtime sessions alone, by the type of the session."""

_PLAIN: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_NAMES = {
    str: "a string", int: "an integer", float: "a number", bool: "a boolean",
    list: "an array", dict: "an object", type(None): "null",
}  # fmt: skip


class NonConforming(Exception):
    """An event of ours is not what clients were promised."""

    def __init__(self, what: str, where: str) -> None:
        """
        Args:
            what: What is wrong. It names keys and types, never values that people said.
            where: Path into the event, beginning with its type.
        """
        super().__init__(f"{where}: {what}")
        self.what, self.where = what, where


class Conformance:
    """The published shape of every server event of one dialect."""

    def __init__(self, *, beta: bool = False) -> None:
        """
        Args:
            beta: The dialect before general availability, which some clients still ask for.
        """
        self._events = _dialect(beta)

    def check(self, message: bytes | dict[str, Any]) -> None:
        """
        Args:
            message: One server event, as JSON or already parsed.

        Raises:
            NonConforming: A required key is missing, a value has the wrong type or is null
                where it must not be, or a key is there that nobody knows.
        """
        event = msgspec.json.decode(message) if isinstance(message, bytes) else message
        kind = event.get("type") if isinstance(event, dict) else None
        if not isinstance(kind, str) or kind not in self._events:
            raise NonConforming(f"there is no event of type {kind!r}", "type")
        self._events[kind](event, kind)


@cache
def _dialect(beta: bool) -> dict[str, Check]:
    text = (files("gateway.realtime.schema") / "realtime-events.json").read_bytes()
    schema = msgspec.json.decode(text)
    part = schema["beta"] if beta else schema
    types = _Types({**schema["models"], **schema["beta"]["models"]})
    described = list(part["server"])
    if beta:
        described += [e for e in schema["server"] if e["type"].startswith(_YOUNGER)]
    for name, other in _SAME_AS.items():
        described += [_renamed(event, name) for event in part["server"] if event["type"] == other]
    return {event["type"]: _event(types, event) for event in described}


def _renamed(event: dict[str, Any], name: str) -> dict[str, Any]:
    type_ = {**event["fields"]["type"], "type": f'"{name}"'}
    return {**event, "type": name, "fields": {**event["fields"], "type": type_}}


def _event(types: _Types, event: dict[str, Any]) -> Check:
    """The check of one event: its fields, and what `wire` notes beyond them."""
    wire = event.get("wire") or {}
    extra = {name: kind.split()[0] for name, kind in wire.get("extra", {}).items()}
    shape = types.shape(event["fields"], extra, wire.get("always", ()))
    inside = {note: wire[note] for note in _ALWAYS_IN if note in wire}

    def check(value: Any, where: str) -> None:
        shape(value, where)
        for note, keys in inside.items():
            held = value[_ALWAYS_IN[note]]
            if note not in _NOT_OF.get(held.get("type"), ()):
                _require(held, keys, f"{where}.{_ALWAYS_IN[note]}")

    return check


class _Types:
    """Checks for the types of the schema, such as `array<object:…> | "auto"`."""

    def __init__(self, models: dict[str, dict[str, Any]]) -> None:
        self._models = models
        self._checks: dict[str, Check] = {}

    def shape(self, fields: Fields, extra: Mapping[str, str], always: Sequence[str] = ()) -> Check:
        """
        Args:
            extra: Types of keys that are there besides the fields, or instead of them.
            always: Keys that must be there although the model does not say so.
        """
        beside = {"required": False, "nullable": True}
        fields = {**fields, **{name: {"type": kind, **beside} for name, kind in extra.items()}}
        required = [name for name, field in fields.items() if field["required"] or name in always]
        checks = {name: self._field(field) for name, field in fields.items()}

        def check(value: Any, where: str) -> None:
            _expect(isinstance(value, dict), value, "an object", where)
            _require(value, required, where)
            for name, held in value.items():
                if name not in checks:
                    raise NonConforming("nobody knows this key", f"{where}.{name}")
                checks[name](held, f"{where}.{name}")

        return check

    def _field(self, field: dict[str, Any]) -> Check:
        kind, nullable = field["type"], field["nullable"]

        def check(value: Any, where: str) -> None:
            if value is not None:
                self.of(kind)(value, where)
            elif not nullable:
                raise NonConforming("it is null", where)

        return check

    def of(self, kind: str) -> Check:
        """The check for a type. Made when first used: models may contain each other."""
        if kind not in self._checks:
            self._checks[kind] = self._make(kind)
        return self._checks[kind]

    def _make(self, kind: str) -> Check:
        options = list(_split(kind, " | "))
        if len(options) > 1:
            return self._union(options)
        name, _, inner = kind.partition("<")
        if name == "array":
            return self._array(inner[:-1])
        if name == "map":
            return self._map(next(reversed(list(_split(inner[:-1], ",")))))
        if kind.startswith("object:"):
            model = kind.removeprefix("object:")
            return self.shape(self._models[model]["fields"], EXTRA.get(model, {}))
        return _plain(kind)

    def _array(self, inner: str) -> Check:
        def check(value: Any, where: str) -> None:
            _expect(isinstance(value, list), value, "an array", where)
            for n, held in enumerate(value):
                self.of(inner)(held, f"{where}[{n}]")

        return check

    def _map(self, inner: str) -> Check:
        def check(value: Any, where: str) -> None:
            _expect(isinstance(value, dict), value, "an object", where)
            for name, held in value.items():
                self.of(inner)(held, f"{where}.{name}")

        return check

    def _union(self, options: list[str]) -> Check:
        def check(value: Any, where: str) -> None:
            wrong: list[NonConforming] = []
            for option in [o for o in options if self._is_meant(o, value)] or options:
                try:
                    return self.of(option)(value, where)
                except NonConforming as error:
                    wrong.append(error)
            # The option that agrees with most of the value is the one to complain about.
            raise max(wrong, key=lambda error: error.where.count(".") + error.where.count("["))

        return check

    def _is_meant(self, option: str, value: Any) -> bool:
        """Whether the value names the model, by its `type` and `role`."""
        if not option.startswith("object:") or not isinstance(value, dict):
            return False
        fields = self._models[option.removeprefix("object:")]["fields"]
        return all(
            name not in fields or f'"{value.get(name)}"' in _split(fields[name]["type"], " | ")
            for name in ("type", "role")
        )


def _plain(kind: str) -> Check:
    if kind == "any":
        return lambda value, where: None
    if kind in _PLAIN:
        allowed = _PLAIN[kind]
        name = _NAMES[allowed[-1]]

        def check(value: Any, where: str) -> None:
            is_one = isinstance(value, allowed) and (kind == "boolean") is isinstance(value, bool)
            _expect(is_one, value, name, where)

        return check
    literal = msgspec.json.decode(kind)

    def check_literal(value: Any, where: str) -> None:
        _expect(type(value) is type(literal), value, _NAMES[type(literal)], where)
        if value != literal:
            raise NonConforming(f"it is not {kind}", where)

    return check_literal


def _expect(is_one: bool, value: Any, wanted: str, where: str) -> None:
    if not is_one:
        got = _NAMES.get(type(value), type(value).__name__)
        raise NonConforming(f"it is {got}, not {wanted}", where)


def _require(value: dict[str, Any], names: Sequence[str], where: str) -> None:
    for name in names:
        if name not in value:
            raise NonConforming("it is missing", f"{where}.{name}")


def _split(text: str, separator: str) -> Iterator[str]:
    """Split where no bracket is open."""
    open_, start = 0, 0
    for at, char in enumerate(text):
        open_ += (char == "<") - (char == ">")
        if not open_ and text.startswith(separator, at):
            yield text[start:at]
            start = at + len(separator)
    yield text[start:]
