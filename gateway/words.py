"""Words that a session waits for: of recordings, which are recognised here, and of utterances,
whose words may never come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from gateway.backends import Backends
from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.settings import RATE_HZ
from gateway.told import told
from mesh.errors import MeshError

MOST_AT_A_TIME = 2  # recordings of one session: the recognisers are everyone's

Take = Callable[[sig.Signal], None]

log = logging.getLogger(__name__)


class Words:
    __slots__ = ("_backends", "_room")

    def __init__(self, backends: Backends) -> None:
        self._backends = backends
        self._room: asyncio.Semaphore | None = None  # most sessions have no recordings

    async def transcribe(self, wanted: do.Transcribe, how: do.Listening, take: Take) -> None:
        """Recognise a recording.

        Args:
            take: Is told the words.
        """
        if self._room is None:
            self._room = asyncio.Semaphore(MOST_AT_A_TIME)
        try:
            async with self._room:
                text = await self._backends.transcribe(wanted.pcm, how)
        except MeshError as error:
            log.warning("recording not transcribed", extra={"reason": error.detail})
            take(sig.NotTranscribed(wanted.utterance, told(error)))
        else:
            audio_ms = len(wanted.pcm) * 1000 // (RATE_HZ * 2)
            take(sig.Transcribed(wanted.utterance, text, audio_ms))


async def overdue(utterance: str, after_s: float, take: Take) -> None:
    """Give an utterance up whose words do not come: a response may wait for them."""
    await asyncio.sleep(after_s)
    take(sig.NotTranscribed(utterance, "Speech recognition took too long."))
