"""What a client says in the beta dialect, read as the events of GA.

A dialect is a table of events (`codec.Kinds`). Each check here translates what the beta
spells otherwise, and leaves the rest to GA's own check of that event.
"""

from __future__ import annotations

from typing import Any

from .beta import in_beta_words, response_from_beta, session_from_beta, temperature_of
from .beta_items import item_from_beta, items_from_beta
from .checks import Check
from .client_events import KINDS
from .codec import Kinds

_SESSION_ONLY = {
    "modalities", "voice", "input_audio_format", "output_audio_format",
    "input_audio_transcription", "input_audio_noise_reduction", "turn_detection", "temperature",
    "max_response_output_tokens", "speed",
}  # fmt: skip
_RESPONSE_ONLY = {
    "modalities", "voice", "output_audio_format", "temperature", "max_response_output_tokens",
}  # fmt: skip
_SESSION_OF_GA = {
    "output_modalities", "audio", "max_output_tokens", "truncation", "parallel_tool_calls",
    "reasoning",
}  # fmt: skip
_RESPONSE_OF_GA = {"output_modalities", "audio", "prompt", "parallel_tool_calls", "reasoning"}


def _ga(type_: str, event: dict[str, Any]) -> dict[str, Any]:
    return dict(KINDS[type_][0](event, ""))


def _translated(type_: str, event: dict[str, Any], key: str, ga: dict[str, Any]) -> dict[str, Any]:
    own = temperature_of(ga)
    checked = in_beta_words(KINDS[type_][0], {**event, key: ga}, "")
    checked[key].update(own)
    return checked


def _session_update(kind: str) -> Check:
    def check(event: dict[str, Any], path: str) -> dict[str, Any]:
        if not isinstance(event.get("session"), dict):
            return _ga("session.update", event)  # says what is wrong
        ga = session_from_beta(event["session"], kind)
        return _translated("session.update", event, "session", ga)

    return check


_realtime_update = _session_update("realtime")


def _response_create(event: dict[str, Any], path: str, only_beta: bool = True) -> dict[str, Any]:
    if not isinstance(event.get("response"), dict):
        return _ga("response.create", event)
    ga = response_from_beta(event["response"], only_beta)
    return _translated("response.create", event, "response", ga)


def _item_create(only_beta: bool) -> Check:
    def check(event: dict[str, Any], path: str) -> dict[str, Any]:
        if "item" in event:
            event = event | {"item": item_from_beta(event["item"], "item", only_beta)}
        return _ga("conversation.item.create", event)

    return check


def _lenient_update(event: dict[str, Any], path: str) -> dict[str, Any]:
    session = event.get("session")
    if (
        isinstance(session, dict)
        and "type" not in session
        and _is_beta(session, _SESSION_ONLY, _SESSION_OF_GA)
    ):
        return dict(_realtime_update(event, path))
    return _ga("session.update", event)


def _lenient_response(event: dict[str, Any], path: str) -> dict[str, Any]:
    response = event.get("response")
    if not isinstance(response, dict):
        return _ga("response.create", event)
    if _is_beta(response, _RESPONSE_ONLY, _RESPONSE_OF_GA):
        return _response_create(event, path, only_beta=False)
    if "input" in response:
        items = items_from_beta(response["input"], "response.input", only_beta=False)
        event = event | {"response": response | {"input": items}}
    return _ga("response.create", event)


def _is_beta(given: dict[str, Any], only_beta: set[str], only_ga: set[str]) -> bool:
    """Whoever mixes the two is better served by the real service's error."""
    return not given.keys().isdisjoint(only_beta) and given.keys().isdisjoint(only_ga)


def _ga_with(checks: dict[str, Check]) -> Kinds:
    """GA's events, some with another check."""
    return {type_: (checks.get(type_, check), make) for type_, (check, make) in KINDS.items()}


LENIENT_KINDS = _ga_with(
    {
        "session.update": _lenient_update,
        "response.create": _lenient_response,
        "conversation.item.create": _item_create(only_beta=False),
    }
)
"""GA, and what a beta client says without having said that it is one (§0.2, rule 2)."""

BETA_KINDS: Kinds = {
    **_ga_with(
        {
            "session.update": _realtime_update,
            "response.create": _response_create,
            "conversation.item.create": _item_create(only_beta=True),
        }
    ),
    "transcription_session.update": (
        _session_update("transcription"),
        KINDS["session.update"][1],
    ),
}

BETA_TYPES = [
    "session.update", "transcription_session.update", "input_audio_buffer.append",
    "input_audio_buffer.commit", "input_audio_buffer.clear", "conversation.item.create",
    "conversation.item.truncate", "conversation.item.delete", "conversation.item.retrieve",
    "response.create", "response.cancel",
]  # fmt: skip
"""What the error of an unknown type lists."""
