"""What a client may know of a failure inside the mesh.

An error's own words are for operators: gRPC's hold addresses and host names.
"""

from __future__ import annotations

from mesh.errors import MeshError, Overloaded, Rejected, TooSlow, Unavailable

_WORDS: tuple[tuple[type[MeshError], str], ...] = (
    (Unavailable, "It cannot be reached."),
    (Overloaded, "It is busy."),
    (TooSlow, "It took too long."),
)


_BY_CODE = {
    "insufficient_quota": "The provider's quota is used up. Check its plan and billing details.",
    "rate_limit_exceeded": "The provider's rate limit was reached. Try again later.",
}


def told(error: MeshError) -> str:
    """A sentence for the client; of a request that was wrong, what is wrong with it."""
    if isinstance(error, Rejected):
        return error.detail
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    return next((words for kind, words in _WORDS if isinstance(error, kind)), "It failed inside.")
