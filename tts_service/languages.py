"""Finding the language meant. Pure."""

from __future__ import annotations

from collections.abc import Iterable

DEFAULT = "en-us"

# What callers write → what espeak-ng calls it.
_OTHER_NAMES = {"zh": "cmn", "no": "nb", "iw": "he", "in": "id", "tl": "fil"}


def nearest(wanted: str, tags: Iterable[str]) -> str | None:
    """The tag among `tags` (lower case) that serves `wanted` best, or None.

    That is the tag itself, else the language in general, else one of its accents.
    """
    wanted = wanted.lower().replace("_", "-")
    general, _, accent = wanted.partition("-")
    general = _OTHER_NAMES.get(general, general)
    wanted = f"{general}-{accent}" if accent else general
    related = [tag for tag in tags if tag.partition("-")[0] == general]
    for choice in (wanted, general, DEFAULT):
        if choice in related:
            return choice
    return related[0] if related else None


def covers(wanted: str, tag: str) -> bool:
    """Whether a voice for `tag` (lower case) is one of those meant: "en" means all English."""
    wanted = wanted.lower().replace("_", "-")
    wanted = _OTHER_NAMES.get(wanted, wanted)
    return tag == wanted or tag.startswith(f"{wanted}-")
