"""Which session a handshake asks for, or why there is none.

Source: realtime contract §1.1 and §1.3. Who asks is the business of `auth`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.backends import Profile
from gateway.client_secrets import Preset
from gateway.models import Models
from gateway.realtime.refusals import SERVER_ERROR, Refusal, Refused, refuse, wrong_value
from gateway.realtime.settings import Kind

SHAPE_CLOSE, SESSION_CLOSE, LATER_CLOSE = 4000, 4004, 1013

NO_BETA = Refusal(
    "beta_api_shape_disabled",
    "The Realtime Beta API is no longer supported. Please use /v1/realtime for the GA API.",
)
NO_SESSION = Refusal("session_not_found", "There is no session of that id that can be joined here.")
CROWDED = Refusal("too_many_sidebands", "The session has as many sidebands as it may have.")
FULL = Refusal("server_overloaded", "The server takes no new sessions now.", type=SERVER_ERROR)

_BETA_HEADER, _BETA_PROTOCOL = "realtime=v1", "openai-beta.realtime-v1"
_TRANSCRIBES = re.compile(r"whisper-.*|.*-transcribe(-.*)?|.*-whisper")
"""OpenAI's models that only transcribe."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The session that a client asks for."""

    kind: Kind
    model: str
    """ "" for a transcription session."""
    profile: Profile
    beta: bool = False
    """Whether the client speaks the beta dialect."""


@dataclass(frozen=True, slots=True)
class Resumption:
    """A session that a client wants to go on with."""

    session_id: str
    last_event_id: str = ""
    """The last event that it has had; "" if it does not say."""


PLAIN = Profile()
NEW_SESSION_ID = "X-New-Session-Id"
_SESSION_ID = re.compile(r"sess_[0-9A-Za-z]{16,64}")


def resumption(query: Mapping[str, str], headers: Mapping[str, str]) -> Resumption | None:
    """The session that a client wants to go on with; None if it wants a new one."""
    for asked in (
        query.get("session_id"),
        query.get("conversation_id"),
        headers.get("X-Session-Id"),
    ):
        if asked is not None:
            return Resumption(asked[:128], query.get("last_event_id", "")[:128])
    return None


def begins(query: Mapping[str, str], headers: Mapping[str, str]) -> bool:
    """Whether a client wants a new session."""
    return resumption(query, headers) is None and call_id(query) is None


def call_id(query: Mapping[str, str]) -> str | None:
    """The running session that a client wants to join, beside its own client; None if it does
    not want that."""
    asked = query.get("call_id")
    return None if asked is None else asked[:128]


def session_id_of(headers: Mapping[str, str]) -> str | None:
    """What a balancer wants a new session to be called, so that its client comes back here."""
    found = headers.get(NEW_SESSION_ID, "")
    return found if _SESSION_ID.fullmatch(found) else None


def speaks_beta(headers: Mapping[str, str]) -> bool:
    """Whether a client asks for the beta dialect."""
    offered = headers.get("Sec-WebSocket-Protocol", "").split(",")
    named = headers.get("OpenAI-Beta", "").split(",")  # as "assistants=v2, realtime=v1"
    is_offered = _BETA_PROTOCOL in (protocol.strip() for protocol in offered)
    return is_offered or _BETA_HEADER in (name.strip() for name in named)


def wanted(
    query: Mapping[str, str],
    headers: Mapping[str, str],
    models: Models,
    preset: Preset | None = None,
    *,
    strict: bool = False,
) -> Wanted:
    """What a client asks for.

    Args:
        preset: What its client secret opens.
        strict: Whether the beta dialect is refused, as the live service does.

    Raises:
        Refused: no model, one that is not ours, or a kind of session that cannot be.
    """
    beta = speaks_beta(headers)
    if beta and strict:
        raise Refused(NO_BETA)
    if _kind(query, preset) == "transcription":
        if query.get("model"):
            message = "You must not provide a model parameter for transcription sessions"
            raise refuse(None, message)
        return Wanted("transcription", "", Profile(), beta)
    model = _model(query, preset)
    return Wanted("realtime", model, profile(models, model), beta)


def profile(models: Models, model: str, param: str | None = None) -> Profile:
    """What serves a model that is asked for.

    Raises:
        Refused: it is not ours.
    """
    found = models.find(model)
    if found is not None:
        return found
    name = model[:128]
    if _TRANSCRIBES.fullmatch(name):
        message = f'Model "{name}" is not supported in Realtime API'
    else:
        message = (
            f'Model "{name}" is not supported in realtime mode. '
            "See https://platform.openai.com/docs/models for a list of supported models."
        )
    raise refuse("invalid_model", message, param)


def close_code(refused: Refused) -> int:
    """Of a handshake whose shape was refused."""
    return _CLOSES.get(refused.refusal.code or "", SHAPE_CLOSE)


_CLOSES = {
    "session_not_found": SESSION_CLOSE,
    "rate_limit_exceeded": LATER_CLOSE,
    "too_many_sidebands": LATER_CLOSE,
}


def _kind(query: Mapping[str, str], preset: Preset | None) -> Kind:
    intent = query.get("intent")
    if intent not in (None, "", "transcription"):
        raise wrong_value("intent", intent, ["transcription"])
    bound = preset.kind if preset is not None else None
    if intent and bound == "realtime":
        raise refuse(None, "This client secret opens a realtime session, not a transcription one.")
    return "transcription" if intent else bound or "realtime"


def _model(query: Mapping[str, str], preset: Preset | None) -> str:
    """The model asked for. One that a client secret is bound to cannot be changed."""
    model = query.get("model") or query.get("deployment", "")  # the latter is Azure's word
    if preset is not None and (preset.is_bound or not model):
        model = preset.model
    if not model:
        raise refuse(
            "missing_model",
            "You must provide a model parameter, for example "
            "wss://api.openai.com/v1/realtime?model=gpt-realtime-1.5",
        )
    return model
