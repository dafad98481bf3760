"""The short first pieces of replies ("Sure.", "One moment.") that were spoken lately, in memory.

The user waits for the first piece, and many replies begin alike: the second time its
audio is there at once, and no model thread is needed.

Why the tenant is part of the key: an opener that comes from memory comes faster. If
tenants shared them, one could find out by timing whether another had said "Hello, Ms.
Okafor!" lately. So each tenant has its own, which costs the first "Sure." of each once.
What one tenant keeps may push out another's, the longest unused first: that tells
how busy the worker is, nothing that was said. Nothing is written to disk or to a log.

Why an entry has a gain: the level of a voice is learned while it speaks. What was made
with another gain than the rest of the reply will have is made anew.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from tts_service import metrics
from tts_service.progress import Sound

LONGEST_CHARS = 40  # about 2.5 s of speech
SAME_GAIN_DB = 1.0  # a smaller step in loudness goes unnoticed
ENTRY_BYTES = 1000  # what an entry takes besides its audio: key, words, objects


@dataclass(frozen=True, slots=True)
class Opener:
    """All that its sound depends on, and whose it is."""

    tenant: str
    engine: str
    voice_id: str
    speed: float
    rate_hz: int
    text: str


class Openers:
    def __init__(self, max_bytes: int) -> None:
        """
        Args:
            max_bytes: Of all entries together; 0 keeps none.
        """
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Opener, tuple[Sound, float]] = OrderedDict()
        self.n_bytes = 0

    def takes(self, text: str) -> bool:
        """Whether such a text would be kept."""
        return self._max_bytes > 0 and len(text) <= LONGEST_CHARS

    def find(self, opener: Opener, gain: float) -> Sound | None:
        """
        Args:
            gain: Of the voice by now.
        """
        sound, made_with = self._kept.get(opener, (None, gain))
        if sound is None or abs(20 * math.log10(gain / made_with)) > SAME_GAIN_DB:
            metrics.OPENERS.labels("miss").inc()
            return None
        self._kept.move_to_end(opener)
        metrics.OPENERS.labels("hit").inc()
        return sound

    def keep(self, opener: Opener, gain: float, sounds: Iterable[Sound]) -> None:
        """
        Args:
            sounds: All of it, as a model thread made it.
        """
        parts = list(sounds)
        whole = Sound(b"".join(s.pcm for s in parts), tuple(w for s in parts for w in s.words))
        if len(whole.pcm) + ENTRY_BYTES > self._max_bytes:
            return
        self._drop(opener)
        self._kept[opener] = whole, gain
        self.n_bytes += len(whole.pcm) + ENTRY_BYTES
        while self.n_bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, opener: Opener) -> None:
        if (entry := self._kept.pop(opener, None)) is not None:
            self.n_bytes -= len(entry[0].pcm) + ENTRY_BYTES
