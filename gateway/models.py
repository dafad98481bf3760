"""Which model names clients may ask for, and what serves each.

    [[model]]
    name = "support-*"               # with * and ?; the first that takes a name serves it
    provider = "groq"                # of the language model
    llm = "llama-3.3-70b-versatile"  # or several, best first: [{provider = "groq", model = "…"}]
    stt = "faster_whisper"
    tts = ["kokoro", "espeak"]
    voice = "echo"
    instructions = "You work for Acme."

Only `name` is required. What an entry does not say is the tiers' own choice. Names that
GATEWAY_MODELS takes and no entry does are served as if their entry said nothing.
"""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from gateway.backends import Profile

_USUAL = "gpt-realtime"  # what the live service takes for no name
_NAME = re.compile(r"[\w.:/@+-]{1,128}")


class ModelsFileError(ValueError):
    """The models file is missing or not as it should be. The message says where."""


class _Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    provider: str
    model: str = ""


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    provider: str = ""
    llm: str | list[_Choice] = ""
    stt: str = ""
    tts: str | list[str] = ""
    voice: str = ""
    instructions: str | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: list[_Entry] = []


class Models:
    """The names this process serves."""

    def __init__(self, profiles: Sequence[Profile], names: Sequence[str]) -> None:
        """
        Args:
            profiles: Of names with a profile of their own; the first that fits serves.
            names: Of all others. Both with * and ?.
        """
        self._profiles = (*profiles, *(Profile(name) for name in names))

    def find(self, name: str) -> Profile | None:
        """What serves a model; None if it is not ours."""
        if not _NAME.fullmatch(name):
            return None
        fitting = (p for p in self._profiles if fnmatch.fnmatchcase(name, p.name))
        return next(fitting, None)

    def names(self) -> list[str]:
        """Names to list: of a pattern its beginning, if that is a name it takes."""
        names: dict[str, None] = {}
        for pattern in (profile.name for profile in self._profiles):
            name = pattern.rstrip("*")
            if name and fnmatch.fnmatchcase(name, pattern) and not set(name) & set("*?["):
                names[name] = None
        return list(names)

    @property
    def default(self) -> str:
        """The model of who names none, where that is allowed; "" if there is none."""
        names = self.names()
        return _USUAL if _USUAL in names else next(iter(names), "")


def load(path: Path | None) -> tuple[Profile, ...]:
    """The profiles of a models file, in its order; none without a file.

    Raises:
        ModelsFileError: it is not there, or not as it should be.
    """
    if path is None:
        return ()
    try:
        found = msgspec.convert(tomllib.loads(path.read_text()), _File)
    except (OSError, ValueError) as error:  # what TOML and msgspec raise are ValueErrors
        raise ModelsFileError(f"{path}: {error}") from error
    seen: set[str] = set()
    for number, entry in enumerate(found.model, 1):
        place = f"{path}: model {number} ({entry.name!r})"
        if mistake := _mistake(entry):
            raise ModelsFileError(f"{place}: {mistake}")
        if entry.name in seen:
            raise ModelsFileError(f"{place}: the name is there twice")
        seen.add(entry.name)
    return tuple(map(_profile, found.model))


def _mistake(entry: _Entry) -> str:
    if not re.fullmatch(r"[\w.:/@+*?-]{1,128}", entry.name):
        return "the name is empty or no model name"
    if isinstance(entry.llm, str):
        return "llm needs a provider" if entry.llm and not entry.provider else ""
    if entry.provider:
        return "provider goes into the entries of llm"
    return "llm needs a provider" if not all(c.provider for c in entry.llm) else ""


def _profile(entry: _Entry) -> Profile:
    if isinstance(entry.llm, list):
        llm = tuple((choice.provider, choice.model) for choice in entry.llm)
    else:
        llm = ((entry.provider, entry.llm),) if entry.provider else ()
    tts = (entry.tts,) if isinstance(entry.tts, str) else tuple(entry.tts)
    return Profile(
        name=entry.name,
        llm=llm,
        stt=entry.stt,
        tts=tuple(filter(None, tts)),
        voice=entry.voice,
        instructions=entry.instructions,
    )
