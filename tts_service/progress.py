"""How far a segment has come, in which voice whatever. Pure.

An engine is given a segment in parts (see `segment.part_end`), each the beginning of what
is left. When it fails in one, another goes on behind the last word that was begun.
"""

from __future__ import annotations

from dataclasses import dataclass

from mesh.audio import n_samples
from tts_service.engine import Word
from tts_service.segment import part_end, pause_after
from tts_service.speakable import Speakable


@dataclass(frozen=True, slots=True)
class Sound:
    """Some of a segment's audio."""

    pcm: bytes
    words: tuple[Word, ...] = ()
    """Timing known by now: characters of the segment as written, samples from its first.
    Where a model thread makes it: characters of the part, samples from the part's first."""


class Progress:
    def __init__(self, text: Speakable) -> None:
        self.rest = text
        self.n_samples = 0
        self.declined: set[str] = set()
        """Engines that have no sounds for it."""

        self._part = text
        self._part_from = 0  # samples; where the part starts
        self._part_words: list[Word] = []  # characters of the part, samples of the segment

    @property
    def is_done(self) -> bool:
        return self.rest.is_silent

    def begin(self, most_chars: int) -> str:
        """The text to speak next."""
        self._part = self.rest.until(part_end(self.rest.text, most_chars))
        self._part_from = self.n_samples
        self._part_words.clear()
        return self._part.text

    def add(self, sound: Sound) -> Sound:
        """The sound with its words placed in the segment as written.

        Args:
            sound: Of the part: its words are placed in that.
        """
        self.n_samples += n_samples(sound.pcm)
        written = []
        for word in sound.words:
            start_sample = self._part_from + word.start_sample
            self._part_words.append(Word(word.start_char, word.end_char, start_sample))
            start = self._part.written_at[word.start_char]
            last = self._part.written_at[word.end_char - 1]
            written.append(Word(start, last + 1, start_sample))
        return Sound(sound.pcm, tuple(written))

    def end(self) -> int:
        """The part was spoken. Returns: milliseconds of silence before the next one."""
        rest = self.rest.behind(len(self._part.text))
        self._go_on_with(rest)
        return 0 if self.is_done else pause_after(self._part.text, rest.text)

    def break_off(self) -> None:
        """The engine failed: go on behind the last word begun. Without word timing that is
        the end of the part: better a gap than the same words twice."""
        if self.n_samples == self._part_from:
            return
        begun = [word for word in self._part_words if word.start_sample < self.n_samples]
        if begun:
            self._go_on_with(self.rest.behind(begun[-1].end_char))
        elif not self._part_words:
            self._go_on_with(self.rest.behind(len(self._part.text)))

    def _go_on_with(self, rest: Speakable) -> None:
        """Without the space before it: audio of that is not a word begun."""
        self.rest = rest.behind(len(rest.text) - len(rest.text.lstrip()))
