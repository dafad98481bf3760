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

log = logging.getLogger(__name__)


class Words:
    def __init__(self, backends: Backends, take: Callable[[sig.Signal], None]) -> None:
        """
        Args:
            take: Is told the words.
        """
        self._backends, self._take = backends, take
        self._room = asyncio.Semaphore(MOST_AT_A_TIME)

    async def transcribe(self, wanted: do.Transcribe, how: do.Listening) -> None:
        """Recognise a recording."""
        try:
            async with self._room:
                text = await self._backends.transcribe(wanted.pcm, how)
        except MeshError as error:
            log.warning("recording not transcribed", extra={"reason": error.detail})
            self._take(sig.NotTranscribed(wanted.utterance, told(error)))
        else:
            audio_ms = len(wanted.pcm) * 1000 // (RATE_HZ * 2)
            self._take(sig.Transcribed(wanted.utterance, text, audio_ms))

    async def overdue(self, utterance: str, after_s: float) -> None:
        """Give an utterance up whose words do not come: a response may wait for them."""
        await asyncio.sleep(after_s)
        self._take(sig.NotTranscribed(utterance, "Speech recognition took too long."))
