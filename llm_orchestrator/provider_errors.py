"""What providers' SDKs raise, as ours."""

from __future__ import annotations

import re
from typing import Any

from llm_orchestrator.truncation import too_long
from mesh.errors import MeshError, Overloaded, Rejected, Unavailable

RATE_LIMITED = "rate_limit_exceeded"
NO_QUOTA = "insufficient_quota"

_OUR_FAULT = {400, 404, 405, 409, 413, 415, 422}
"""Statuses that say the request is wrong, not the provider's state."""

_TOO_LONG = re.compile(
    r"context_length_exceeded|(?:maximum|exceeds?\b.{0,40}) context|context (?:length|size|window)"
    r"|prompt is too long",
    re.IGNORECASE,
)


def failure(provider: str, error: Exception) -> MeshError:
    """What an SDK raised, as ours. Providers quote the request in their messages; we do not."""
    status = getattr(error, "status_code", None)
    if not isinstance(status, int) or status < 0:
        return Unavailable(f"{provider} failed: {type(error).__name__}")
    if status == 429:
        return _limited(provider, error)
    if status in (401, 403):
        return Unavailable(f"{provider} does not accept the key ({status})")
    if status in (400, 413) and _is_too_long(error):
        return too_long(f"The conversation is too long for the model, says {provider}")
    if status in _OUR_FAULT:
        return Rejected(f"{provider} does not accept the request ({status})")
    return Unavailable(f"{provider} failed ({status})")


def is_refusal(error: Exception) -> bool:
    """Whether a provider says that it does not understand, rather than that it cannot now."""
    return getattr(error, "status_code", None) in (400, 422) and not _is_too_long(error)


def _is_too_long(error: Exception) -> bool:
    return bool(_TOO_LONG.search(f"{_code(error)} {error}"))


def _limited(provider: str, error: Exception) -> Overloaded:
    if _code(error) == NO_QUOTA:
        return Overloaded(f"the quota at {provider} is used up (429)", code=NO_QUOTA)
    return Overloaded(
        f"{provider} limits us (429)", retry_after_s=_retry_after_s(error), code=RATE_LIMITED
    )


def _code(error: Exception) -> str:
    """The provider's own name for what went wrong; SDKs put it in several places."""
    body: Any = getattr(error, "body", None)
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    found = [getattr(error, "code", None)]
    if isinstance(body, dict):
        found += [body.get("code"), body.get("type")]
    return next((name for name in found if isinstance(name, str) and name), "")


def _retry_after_s(error: Exception) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:
        return None
