"""espeak-ng: no weights, every language, a hundred times faster than speech, robotic."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mesh.audio import to_float32
from tts_service import languages
from tts_service.config import Config
from tts_service.engine import CannotSay, Halt, Manner, Piece, Voice, Word, pieces
from tts_service.espeak_ng import SLOWEST_WPM, library
from tts_service.stretch import stretch

NORMAL_WPM = 165  # the library's 175 slurs: a recogniser's alignment of it fails more often

DEFAULT_VARIANT = "f2"
VARIANTS = ("adam", "david", "f1", "f2", "f3", "f5", "klatt4", "m3", "m5", "m6")

OPENAI_VOICES = {
    "alloy": "en-us+f2",
    "ash": "en-us+m6",
    "ballad": "en-gb+klatt4",
    "cedar": "en-us+adam",
    "coral": "en-gb+f2",
    "echo": "en-us+m5",
    "fable": "en-gb+adam",
    "marin": "en-us+f3",
    "nova": "en-gb+f5",
    "onyx": "en-us+david",
    "sage": "en-us+f5",
    "shimmer": "en-us+f1",
    "verse": "en-us+klatt4",
}

MOST_CHARS = 1000  # 40 ms of one core

_TOKEN = re.compile(r"\S+")


class Espeak:
    """A voice id is a language and, if it is not the plain voice, a variant: `en-us+f3`.

    Why the whole segment is made before its first piece is given: the library calls back
    with audio, and turning that into an iterator needs a second thread, to gain the
    5 ms that a clause takes.
    """

    most_chars: int = MOST_CHARS

    def __init__(self, config: Config) -> None:
        self._library = library()
        self._languages = {each.tag: each for each in self._library.languages()}
        self.voices: Sequence[Voice] = (
            *(self._voice(*split(name)) for name in dict.fromkeys(OPENAI_VOICES.values())),
            *(self._voice(tag) for tag in sorted(self._languages)),
        )

    @property
    def sample_rate_hz(self) -> int:
        return self._library.sample_rate_hz

    def voice_for(self, manner: Manner) -> str:
        name = manner.voice_id.lower()
        tag, variant = split(OPENAI_VOICES.get(name, name))
        if tag not in self._languages or (variant and variant not in VARIANTS):
            tag, variant = languages.DEFAULT, DEFAULT_VARIANT
        if manner.language and not languages.covers(manner.language, tag):
            tag = languages.nearest(manner.language, self._languages) or ""
            if not tag:
                raise CannotSay(f"no voice speaks {manner.language}")
        return f"{tag}+{variant}" if variant else tag

    def synthesize(self, text: str, manner: Manner, halt: Halt) -> Iterator[Piece]:
        tag, variant = split(self.voice_for(manner))
        identifier = self._languages[tag].identifier
        voice = f"{identifier}+{variant}" if variant else identifier
        wpm = round(NORMAL_WPM * manner.speed)
        said = self._library.speak(text, voice, max(wpm, SLOWEST_WPM), lambda: halt.stopped)
        factor = max(1.0, SLOWEST_WPM / wpm)
        samples = stretch(to_float32(bytes(said.pcm)), self.sample_rate_hz, factor)
        words = _words(text, said.words, self.sample_rate_hz * factor / 1000)
        yield from pieces(samples, self.sample_rate_hz, halt, words)

    def _voice(self, tag: str, variant: str = "") -> Voice:
        name = self._languages[tag].name
        if not variant:
            return Voice(tag, name, (tag,))
        return Voice(f"{tag}+{variant}", f"{name}, {variant}", (tag,))


def split(voice_id: str) -> tuple[str, str]:
    tag, _, variant = voice_id.partition("+")
    return tag, variant


def _words(text: str, events: list[tuple[int, int]], samples_per_ms: float) -> tuple[Word, ...]:
    """A token of the text begins with the first event inside it; "3:45" has several."""
    words: list[Word] = []
    waiting = iter(events)
    event = next(waiting, None)
    for token in _TOKEN.finditer(text):
        while event is not None and event[0] < token.start():
            event = next(waiting, None)
        if event is not None and event[0] < token.end():
            words.append(Word(token.start(), token.end(), round(event[1] * samples_per_ms)))
    return tuple(words)
