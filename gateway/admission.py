"""Whether a session may start: what a handshake asks for, and how it is refused.

Source: realtime contract §1.1 and §1.3. Who asks is the business of `auth`.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence

from gateway.realtime.refusals import Refusal, Refused, refuse

AUTH_CLOSE, SHAPE_CLOSE, SESSION_CLOSE = 3000, 4000, 4004

FULL = Refusal("server_overloaded", "The server takes no new sessions now.")

_MODEL = re.compile(r"[\w.:/@+-]{1,128}")
_BETA_HEADER, _BETA_PROTOCOL = "realtime=v1", "openai-beta.realtime-v1"


def wanted_model(
    query: Mapping[str, str], headers: Mapping[str, str], models: Sequence[str]
) -> str:
    """The model a client asks for.

    Args:
        models: Those we serve; * and ? stand for anything.

    Raises:
        Refused: none, one that is not ours, or a kind of session we do not serve.
    """
    offered = headers.get("Sec-WebSocket-Protocol", "")
    if headers.get("OpenAI-Beta") == _BETA_HEADER or _BETA_PROTOCOL in offered:
        raise refuse(
            "beta_api_shape_disabled",
            "The Realtime Beta API is no longer supported. Please use /v1/realtime for the GA API.",
        )
    if "session_id" in query or "call_id" in query:
        raise refuse("session_not_found", "Sessions cannot be resumed on this server yet.")
    if "intent" in query:
        raise refuse("invalid_value", "Only realtime sessions are available on this server yet.")
    model = query.get("model", "")
    if not model:
        raise refuse(
            "missing_model",
            "You must provide a model parameter, for example "
            "wss://api.openai.com/v1/realtime?model=gpt-realtime-1.5",
        )
    is_known = any(fnmatch.fnmatchcase(model, known) for known in models)
    if not is_known or not _MODEL.fullmatch(model):
        raise refuse(
            "invalid_model",
            f'Model "{model[:128]}" is not supported in realtime mode. '
            "See https://platform.openai.com/docs/models for a list of supported models.",
        )
    return model


def names_of(models: Sequence[str]) -> list[str]:
    """Names to list: of a pattern its beginning, if that is a name it takes."""
    names = []
    for pattern in models:
        name = pattern.rstrip("*")
        if name and fnmatch.fnmatchcase(name, pattern) and not set(name) & set("*?["):
            names.append(name)
    return names


def close_code(refused: Refused) -> int:
    """Of a handshake whose shape was refused."""
    return SESSION_CLOSE if refused.refusal.code == "session_not_found" else SHAPE_CLOSE


def body(refusal: Refusal) -> dict[str, dict[str, str | None]]:
    """The error body of the REST API."""
    return {
        "error": {
            "message": refusal.message,
            "type": refusal.type,
            "param": refusal.param,
            "code": refusal.code,
        }
    }
