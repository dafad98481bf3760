"""Ids of tool calls: at most 32 characters, so that every client's field takes them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable

MAX_CHARACTERS = 32  # the Realtime protocol's limit on a call_id

_FITS = re.compile(rf"[a-zA-Z0-9_-]{{1,{MAX_CHARACTERS}}}")


def mint() -> str:
    return f"call_{secrets.token_hex(12)}"


class CallIds:
    """The ids of one response: the provider's where they fit, else our own.

    Some servers give no ids, longer ones, or the same "call_0" in every response; the
    conversation needs each to be there once. The provider sees our id in the history,
    in the call and in its result alike, so nothing needs to be mapped back.
    """

    def __init__(self, taken: Iterable[str]) -> None:
        """
        Args:
            taken: Ids that the conversation already has.
        """
        self._taken = set(taken)

    def fit(self, given: str) -> str:
        """The id to use for a new call that the provider calls `given`, perhaps nothing."""
        fits = _FITS.fullmatch(given) and given not in self._taken
        call_id = given if fits else mint()
        self._taken.add(call_id)
        return call_id
