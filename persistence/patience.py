"""Waiting for a server that is away: as long as it takes, and said once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from mesh.errors import MeshError
from mesh.stream import stop_if_cancelled

REST_FIRST_S, REST_LAST_S = 0.1, 2.0

T = TypeVar("T")

log = logging.getLogger(__name__)


class Rest:
    """How long to wait before the next attempt: doubles until something succeeds."""

    def __init__(self, what: str) -> None:
        """
        Args:
            what: Who is away, for the log.
        """
        self._what, self._next_s = what, REST_FIRST_S

    def failed(self, error: Exception) -> float:
        """
        Returns:
            Seconds to wait.
        """
        wait_s, self._next_s = self._next_s, min(2 * self._next_s, REST_LAST_S)
        if wait_s == REST_FIRST_S:
            # Only our own words: a library's may hold a password or what people said.
            words = error.detail if isinstance(error, MeshError) else type(error).__name__
            log.warning("%s is away", self._what, extra={"error": words})
        return wait_s

    def succeeded(self) -> None:
        if self._next_s != REST_FIRST_S:
            log.info("%s is back", self._what)
        self._next_s = REST_FIRST_S


async def patiently(
    attempt: Callable[[], Awaitable[T]], *, away: tuple[type[Exception], ...], what: str
) -> T:
    """Try until it succeeds.

    Args:
        away: Errors that mean to try again; any other ends it.
        what: Who is away, for the log.
    """
    rest = Rest(what)
    while True:
        try:
            result = await attempt()
        except away as error:
            stop_if_cancelled()
            await asyncio.sleep(rest.failed(error))
        else:
            rest.succeeded()
            return result
