"""What of a text is spoken. Pure.

Language models write for the eye: marks of emphasis, lists, links, pictures. An engine
reads those aloud. They are taken out here, and positions lead back to the text as
written, because word timing is about that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_EMOJI = "\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\ufe0f\u200d\u20e3\U000e0020-\U000e007f"

_WRITTEN = re.compile(
    rf"""
    !?\[(?P<label>[^\]\n]*)\]\([^)\s]*\)                  # a link: only its label
    | ^[ \t]*```[\w+-]*[ \t]*$                            # the fence of a code block
    | ^[ \t]*(?:\#{{1,6}}|>|[-*+•])[ \t]+                 # a heading, a quote, a list item
    | (?<=\d)[ \t]*(?P<times>\*)[ \t]*(?=\d)
    | (?<=\w)(?P<join>[_|])(?=\w) | (?<=\d)(?P<power>\*\*)(?=\d)  # snake_case, a table, 2**3
    | [*`~_|]+ | (?<!\w)\#+(?=\w)                         # emphasis, a hashtag
    | [{_EMOJI}]+
    | [\x00-\x08\x0b-\x1f\x7f]+                           # a zero byte ends a C string
    """,
    re.VERBOSE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Speakable:
    """Text to speak, and where each of its characters stands in the text as written."""

    text: str
    written_at: tuple[int, ...]
    """One position a character."""

    @property
    def is_silent(self) -> bool:
        return not any(char.isalnum() for char in self.text)

    def until(self, position: int) -> Speakable:
        """What comes before a position in `text`."""
        return Speakable(self.text[:position], self.written_at[:position])

    def behind(self, position: int) -> Speakable:
        """What follows a position in `text`."""
        return Speakable(self.text[position:], self.written_at[position:])


def speakable(written: str) -> Speakable:
    """Take out what is for the eye only."""
    spoken: list[str] = []
    at: list[int] = []
    kept_until = 0

    def keep(start: int, end: int) -> None:
        spoken.append(written[start:end])
        at.extend(range(start, end))

    for found in _WRITTEN.finditer(written):
        keep(kept_until, found.start())
        if found["label"]:
            keep(*found.span("label"))
        elif found["times"]:
            spoken.append(" × ")
            at.extend([found.start("times")] * 3)
        elif found["join"] or found["power"]:
            spoken.append(" ")
            at.append(found.start())
        kept_until = found.end()
    keep(kept_until, len(written))
    return Speakable("".join(spoken), tuple(at))
