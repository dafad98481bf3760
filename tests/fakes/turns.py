"""A queue of turns in memory: what is put there stays there."""

from __future__ import annotations

from typing import Self

from gateway.backends import Words
from gateway.realtime.effects import Listening
from mesh.errors import MeshError


class FakeTurns:
    patience_s = 60.0

    def __init__(self) -> None:
        self.queued: list[tuple[str, bytes, Listening]] = []
        self.known: Words | None = None
        """What became of every utterance before it is put there."""
        self.failure: MeshError | None = None

    def with_model(self, model: str) -> Self:
        return self

    async def put(self, utterance: str, pcm: bytes, how: Listening) -> Words | None:
        if self.failure is not None:
            raise self.failure
        self.queued.append((utterance, pcm, how))
        return self.known
