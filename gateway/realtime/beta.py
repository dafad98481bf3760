"""The shapes of the beta dialect, and GA's for each: sessions, responses, places in errors.

Source: realtime contract §0.2 and §4.4. Beta objects are flat: `voice` is GA's
`audio.output.voice`. What the beta spells otherwise is checked here, under its beta name;
the rest is GA's to check, and `told` gives the places in its errors their beta names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import checks as c
from .beta_items import item_to_beta, items_from_beta
from .refusals import Refusal, Refused, refuse
from .session_checks import MAX_OUTPUT_TOKENS, PATCH

DEFAULT_TEMPERATURE = 0.8
"""Shown where nobody set one. It is not passed on: the model's own default applies."""

_FORMATS: dict[str, dict[str, Any]] = {
    "pcm16": {"type": "audio/pcm", "rate": 24_000},
    "g711_ulaw": {"type": "audio/pcmu"},
    "g711_alaw": {"type": "audio/pcma"},
}
_FORMAT_NAMES = {ga["type"]: name for name, ga in _FORMATS.items()}

_PLACES = {
    "modalities": "output_modalities",
    "voice": "audio.output.voice",
    "input_audio_format": "audio.input.format",
    "output_audio_format": "audio.output.format",
    "input_audio_transcription": "audio.input.transcription",
    "input_audio_noise_reduction": "audio.input.noise_reduction",
    "turn_detection": "audio.input.turn_detection",
    "speed": "audio.output.speed",
    "max_response_output_tokens": "max_output_tokens",
}
"""Beta key → where GA has it. Keys that are not here have the same name in both."""


def _modalities(value: Any, path: str) -> list[str]:
    """As GA names them: speech always comes with its words, so GA says only "audio"."""
    given = c.array(c.one_of("text", "audio"))(value, path)
    if given == ["text"]:
        return ["text"]
    if sorted(given) == ["audio", "text"]:
        return ["audio"]
    message = "Supported combinations are: ['text'] and ['audio', 'text']."
    raise refuse("invalid_value", f"Invalid modalities: {given}. {message}", path)


def _format(value: Any, path: str) -> dict[str, Any]:
    return dict(_FORMATS[c.one_of(*_FORMATS)(value, path)])


_OWN = {
    "modalities": c.nullable(_modalities),
    "output_audio_format": c.nullable(_format),
    "temperature": c.nullable(c.number(0.6, 1.2)),
    "max_response_output_tokens": MAX_OUTPUT_TOKENS,
}


def _left_to_ga(*keys: str) -> dict[str, c.Check]:
    return dict.fromkeys(keys, c.anything)


_READ_ONLY = ("id", "object", "expires_at", "client_secret", "type")
_HEARING = {
    "input_audio_format": c.nullable(_format),
    **_left_to_ga("input_audio_transcription", "input_audio_noise_reduction", "turn_detection"),
}
_SESSION = c.obj(
    {},
    {
        **_OWN,
        **_HEARING,
        **_left_to_ga("voice", "speed", "instructions", "tools", "tool_choice", "model"),
        **_left_to_ga("tracing", "include", "prompt", *_READ_ONLY),
    },
)
_TRANSCRIPTION = c.obj(
    {},
    {
        "modalities": c.nullable(_modalities),
        **_HEARING,
        **_left_to_ga("include", *_READ_ONLY),
    },
)
_RESPONSE = c.obj(
    {},
    {
        **_OWN,
        **_left_to_ga("voice", "conversation", "input", "instructions", "metadata"),
        **_left_to_ga("tools", "tool_choice", "max_output_tokens"),
    },
)


def session_from_beta(raw: Any, kind: str = "realtime") -> dict[str, Any]:
    """A flat session as GA writes it, still to be checked as one (`checked_session`).

    `temperature` is checked already (None: the default) and stays, which GA does not know.

    Args:
        kind: "realtime" or "transcription".

    Raises:
        Refused: a key that the beta does not know, or a value it spells otherwise.
    """
    checked = (_SESSION if kind == "realtime" else _TRANSCRIPTION)(raw, "session")
    checked.pop("client_secret", None)
    if kind == "transcription":
        checked.pop("modalities", None)
    return _nested({"type": kind, **checked})


def checked_session(raw: Any, kind: str = "realtime") -> dict[str, Any]:
    """A flat session as the patch of an update, all of it checked; `temperature` is in it.

    Raises:
        Refused: in the beta's words; `session.` comes before the name of each place.
    """
    ga = session_from_beta(raw, kind)
    own = temperature_of(ga)
    return {**in_beta_words(PATCH, ga, "session"), **own}


def temperature_of(ga: dict[str, Any]) -> dict[str, Any]:
    """Take `temperature` out of a translated object, before GA checks it."""
    return {"temperature": ga.pop("temperature")} if "temperature" in ga else {}


def in_beta_words(check: c.Check, ga: dict[str, Any], path: str) -> dict[str, Any]:
    """What GA's check makes of a translated object.

    Raises:
        Refused: with the beta's name for the place.
    """
    try:
        return dict(check(ga, path))
    except Refused as refused:
        raise Refused(told(refused.refusal)) from None


def response_from_beta(raw: Any, only_beta: bool = True) -> dict[str, Any]:
    """A response's overrides as GA writes them; as `session_from_beta`.

    Args:
        only_beta: As for `item_from_beta`, of its `input`.
    """
    checked = _RESPONSE(raw, "response")
    if "input" in checked:
        checked["input"] = items_from_beta(checked["input"], "response.input", only_beta)
    return _nested(checked)


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *groups, last = _PLACES.get(key, key).split(".")
        inner = nested
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = value
    return nested


def session_to_beta(session: Mapping[str, Any]) -> dict[str, Any]:
    """An echo of GA (`session.created`, `session.updated`), flat and with every key."""
    if session["type"] == "transcription":
        return _transcription_to_beta(session)
    same = ("id", "model", "expires_at", "instructions", "tool_choice", "tools", "tracing")
    return {
        "object": "realtime.session",
        **{key: session.get(key) for key in (*same, "include", "prompt")},
        **_flat(session),
        "temperature": session.get("temperature", DEFAULT_TEMPERATURE),
        "client_secret": None,
    }


def _transcription_to_beta(session: Mapping[str, Any]) -> dict[str, Any]:
    flat = _flat(session)
    return {
        "object": "realtime.transcription_session",
        **{key: session.get(key) for key in ("id", "expires_at", "include")},
        "modalities": ["audio", "text"],
        **{key: flat[key] for key in _HEARING},
        "client_secret": None,
    }


def _flat(session: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that have another place in GA."""
    flat = {key: _at(session, place) for key, place in _PLACES.items()}
    flat["modalities"] = _shown_modalities(flat["modalities"])
    for key in ("input_audio_format", "output_audio_format"):
        flat[key] = _FORMAT_NAMES[_at(flat[key], "type") or "audio/pcm"]
    if (turns := flat["turn_detection"]) and turns.get("idle_timeout_ms", 0) is None:
        # The beta had none: clients of then know the key only if they set it.
        flat["turn_detection"] = {k: v for k, v in turns.items() if k != "idle_timeout_ms"}
    return flat


def _at(value: Any, place: str) -> Any:
    for key in place.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _shown_modalities(ga: Any) -> list[str]:
    return ["text"] if list(ga or ()) == ["text"] else ["audio", "text"]


def response_to_beta(response: Mapping[str, Any], temperature: float) -> dict[str, Any]:
    """A response object of GA, as plain JSON, with its voice and format at the top.

    Args:
        temperature: The session's, shown unless the response has its own.
    """
    kept = {k: v for k, v in response.items() if k not in ("output_modalities", "audio")}
    flat = _flat(response)
    return {
        "temperature": temperature,
        **kept,
        "output": [item_to_beta(item) for item in response["output"]],
        **{key: flat[key] for key in ("modalities", "voice", "output_audio_format")},
    }


_NAMES = {
    **{f"{place}.type": key for key, place in _PLACES.items() if key.endswith("_format")},
    **{place: key for key, place in _PLACES.items()},
}


def told(refusal: Refusal) -> Refusal:
    """The refusal of a session or a response, with the beta's name for the place."""
    param = refusal.param or ""
    root, _, place = param.partition(".")
    if root not in ("session", "response"):
        return refusal
    if root == "response" and place == "max_output_tokens":
        return refusal  # the beta's own name as well
    if refusal.code == "unknown_parameter" and "." not in place:
        return refusal  # a key of the client's, which was never translated
    beta = _beta_place(place)
    if beta == place:
        return refusal
    return _renamed(refusal, f"{root}.{beta}")


def _beta_place(place: str) -> str:
    for ga, beta in _NAMES.items():
        if place == ga or place.startswith((f"{ga}.", f"{ga}[")):
            return beta + place[len(ga) :]
    return place


def _renamed(refusal: Refusal, param: str) -> Refusal:
    message = refusal.message.replace(f"'{refusal.param}'", f"'{param}'", 1)
    return Refusal(refusal.code, message, param, refusal.event_id, refusal.type)
