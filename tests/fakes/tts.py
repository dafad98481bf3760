"""A TTS engine that hums: its audio says which character it belongs to, and tests hold it back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tts_service.engine import CannotSay, Halt, Manner, Piece, Voice, Word

RATE_HZ = 24_000
CHAR_SAMPLES = RATE_HZ // 50  # every character takes 20 ms at normal speed
LEVEL = 0.1


class WatchedHalt(Halt):
    """Tells when there is work to wake."""

    def __init__(self) -> None:
        super().__init__()
        self.at_work = threading.Event()

    def calls(self, wake: Callable[[], None] | None) -> None:
        super().calls(wake)
        if wake is not None:
            self.at_work.set()


class FakeEngine:
    """Every character is one piece of audio. With `hold` each waits for a `release`."""

    sample_rate_hz = RATE_HZ
    most_chars = 1000
    voices: Sequence[Voice] = (Voice("hum", "Hum", ("en-us",)), Voice("hum2", "Hum 2", ("en-gb",)))

    def __init__(self, *, hold: bool = False, fails_at: int | None = None) -> None:
        """
        Args:
            fails_at: Character of a text before which every attempt fails.
        """
        self._hold, self._fails_at = hold, fails_at
        self._released = threading.Semaphore(0)
        self.texts: list[str] = []
        self.manners: list[Manner] = []
        self.working = threading.Event()
        """Set from the first piece of a text on, until the engine is idle."""

        self.idle = threading.Event()
        """Set when it has ended a text."""

    def release(self, pieces: int = 1) -> None:
        self._released.release(pieces)

    def voice_for(self, manner: Manner) -> str:
        if manner.language.startswith("xx"):
            raise CannotSay("no voice speaks it")
        return "hum2" if manner.voice_id == "hum2" else "hum"

    def synthesize(self, text: str, manner: Manner, halt: Halt) -> Iterator[Piece]:
        self.voice_for(manner)
        self.texts.append(text)
        self.manners.append(manner)
        self.idle.clear()
        halt.calls(self.release if self._hold else None)
        try:
            for at, char in enumerate(text):
                if at == self._fails_at:
                    raise RuntimeError("the fake fails as told")
                self.working.set()
                if self._hold:
                    self._released.acquire()
                if halt.stopped:
                    return
                yield _piece(text, at, char, manner.speed)
        finally:
            halt.calls(None)
            self.working.clear()
            self.idle.set()


def _piece(text: str, at: int, char: str, speed: float) -> Piece:
    words: tuple[Word, ...] = ()
    if not char.isspace() and (at == 0 or text[at - 1].isspace()):
        end = next((n for n in range(at, len(text)) if text[n].isspace()), len(text))
        words = (Word(at, end, round(at * CHAR_SAMPLES / speed)),)
    return Piece(np.full(round(CHAR_SAMPLES / speed), LEVEL, dtype=np.float32), words)
