"""Whether a space is missing between a text that was cut and what goes on behind it. No I/O.

A model that starts a new message seldom begins it with the space that a new word needs. But a
text may also have been cut inside a word, as tokens are, and then a space is wrong: "Lon" and
"don" look like "is" and "raining". No dictionary knows every language, so the conversation
is the dictionary. Between two letters:

1. together they are a word of the conversation ("London"): no space;
2. one of the two is one ("is"): a space;
3. else no space: the model saw the exact text.

Case, digits and punctuation decide before that where they can: "is" and "Paris", "is" and "42",
"Hello." and "How" are apart, "10:" and "42" are not. Scripts without spaces get none.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Container

from llm_orchestrator.overlap import mark, unspaced

LONGEST_WORD = 40
"""What is longer is decided as it is."""

_PAUSES = ".,;:!?…"
_APOSTROPHES = "'’"
_EDGES = "\"'.,;:!?…()[]{}<>*_`“”„«»‘’¿¡—–-/"
_UNIT_LETTERS = 2
"""Letters right behind a number: "42nd", "5pm", "3D"."""


def words_of(*texts: str) -> frozenset[str]:
    """The words of texts, in lower case, without the punctuation around them."""
    return frozenset(word.strip(_EDGES).casefold() for text in texts for word in text.split())


def between(written: str, more: str, words: Container[str], *, final: bool) -> str | None:
    """What is missing: " ", or ""; None if that depends on more text.

    Args:
        written: Not empty; does not end with white space.
        more: Not empty.
        words: Of the conversation, in lower case.
        final: Whether no more text comes.
    """
    last, first = written[-1], more[0]
    if first.isspace() or unspaced(last) or unspaced(first):
        return ""
    if not mark(first):
        return " " if unicodedata.category(first) in ("Ps", "Pi") and not _opens(last) else ""
    if not mark(last):
        return _behind_punctuation(written, first)
    return _between_words(written, more, words, final=final)


def apart(written: str, more: str) -> str:
    """What is missing between two messages that are read as one: " ", or ""."""
    last, first = written[-1:], more[:1]
    if not last or last.isspace() or first.isspace() or unspaced(last) or unspaced(first):
        return ""
    return " "


def _opens(char: str) -> bool:
    return unicodedata.category(char) in ("Ps", "Pi", "Pd")


def _behind_punctuation(written: str, first: str) -> str:
    last = written[-1]
    if last in _PAUSES:
        in_number = first.isdigit() and written[-2:-1].isdigit()
        in_name = last == "." and first.islower()  # example.com
        return "" if in_number or in_name else " "
    return " " if last in ")]}”»" else ""


def _between_words(written: str, more: str, words: Container[str], *, final: bool) -> str | None:
    last, first = written[-1], more[0]
    if last.isdigit() and first.isdigit():
        return ""
    if last.islower() and (first.isupper() or first.isdigit()):
        return " "
    length = _letters(more)
    if length == len(more) < LONGEST_WORD and not final:
        return None
    before, after = written[-_letters(written[::-1]) :].casefold(), more[:length].casefold()
    if before + after in words:
        return ""
    if before in words or after in words:
        return " "
    return " " if last.isdigit() and length > _UNIT_LETTERS else ""


def _letters(text: str) -> int:
    """How many characters of a word a text begins with."""
    for i, char in enumerate(text):
        if not mark(char) and char not in _APOSTROPHES:
            return i
    return len(text)
