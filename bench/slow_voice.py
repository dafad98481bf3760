"""A voice that takes its time: a TTS engine that is at work for as long as large models are, and
says for whom."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from tts_service.engine import Halt, Manner, Piece, Voice, Word

RATE_HZ = 24_000
CHAR_S = 0.06  # of audio, as people speak
PIECE_S = 0.02


class SlowVoice:
    """Hums. What it does is noted by the voice that is asked for: give every caller its own."""

    sample_rate_hz = RATE_HZ
    most_chars = 300
    voices: Sequence[Voice] = (Voice("hum", "Hum", ("en-us",)),)

    def __init__(self, share: float) -> None:
        """
        Args:
            share: Of the length of what it says, that it takes to make it.
        """
        self._share = share
        self.at_work: set[str] = set()
        self.ended_s: dict[str, float] = {}
        """When it last ended to work for a voice."""

    def voice_for(self, manner: Manner) -> str:
        return "hum"

    def synthesize(self, text: str, manner: Manner, halt: Halt) -> Iterator[Piece]:
        self.at_work.add(manner.voice_id)
        words = tuple(
            Word(at, at + 1, int(at * CHAR_S * RATE_HZ))
            for at, char in enumerate(text)
            if not char.isspace()
        )
        try:
            for n in range(int(len(text) * CHAR_S / PIECE_S)):
                if halt.stopped:
                    return
                time.sleep(PIECE_S * self._share)
                hum = np.full(int(PIECE_S * RATE_HZ), 0.1, dtype=np.float32)
                yield Piece(hum, () if n else words)
        finally:
            self.at_work.discard(manner.voice_id)
            self.ended_s[manner.voice_id] = time.monotonic()
