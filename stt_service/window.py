"""The part of a long utterance that is decoded again for each guess.

A model that hears 30 s at a time takes twice as long for what is longer. So once there is
that much, what two guesses in a row found in the same places is left behind: the next guess
begins after it. Pure: knows no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from stt_service.engine import RATE_HZ

FULL = 25 * RATE_HZ  # samples; Whisper hears 30 s, and audio comes while it decodes


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a guess, as the model cuts it."""

    text: str
    end: int
    """Sample of the window."""


@dataclass(slots=True)
class Window:
    start: int = 0
    """Sample of the utterance that the next guess begins at."""

    before: str = ""
    """What was said before it."""

    _last: list[Part] = field(default_factory=list)

    def is_full(self, n_samples: int) -> bool:
        """Whether a guess shall say where its parts end, so that the window can move.

        Args:
            n_samples: Of the utterance so far.
        """
        return n_samples - self.start > FULL

    def guessed(self, parts: Sequence[Part]) -> str:
        """Take in a guess at what is in the window.

        Returns:
            The text of the whole utterance so far.
        """
        text = f"{self.before}{''.join(part.text for part in parts)}"
        pairs = enumerate(zip(parts[:-1], self._last, strict=False))  # the last one still grows
        n_both = min(len(parts) - 1, len(self._last))
        n_alike = next((n for n, (a, b) in pairs if a.text != b.text), max(0, n_both))
        self._last = list(parts)
        if n_alike:
            self.before += "".join(part.text for part in parts[:n_alike])
            self.start += parts[n_alike - 1].end
            self._last = []  # their ends were those of another window
        return text.strip()
