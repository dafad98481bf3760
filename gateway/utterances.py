"""The utterances of one microphone whose words have not come, under the names we gave them.

Each recognition stream counts its utterances anew, and one that replaces a broken stream
hears the unfinished ones a second time. Here they keep their names, and what was already
reported of them is not reported again.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class _Utterance:
    name: str
    wire_names: set[str]
    is_ended: bool = False  # its end was reported, or the client made it
    is_heard_again: bool = False


class Utterances:
    def __init__(self, tag: str = "") -> None:
        """
        Args:
            tag: Part of every name: a session may have other microphones, later or elsewhere.
        """
        self._tag = tag
        self._open: list[_Utterance] = []

    def __bool__(self) -> bool:
        """Whether any has no words yet."""
        return bool(self._open)

    def begins(self, wire_name: str, stream: int) -> str | None:
        """The name of the utterance that begins; None if it is heard for the second time.

        Args:
            stream: Number of the stream that says so.
        """
        for utterance in self._open:
            if utterance.is_heard_again:
                utterance.wire_names.add(wire_name)
                utterance.is_heard_again = False
                return None
        name = f"{wire_name}/{self._tag}{stream}"
        self._open.append(_Utterance(name, {wire_name}))
        return name

    def ends(self, wire_name: str) -> str | None:
        """The utterance that ended, unless its end is known."""
        for utterance in self._open:
            if wire_name in utterance.wire_names and not utterance.is_ended:
                utterance.is_ended = True
                return utterance.name
        return None

    def ended_by_client(self, name: str) -> None:
        """The client ends the utterance, under a name of its own.

        Recognition may have ended it just before under its name: both mean this one.
        """
        spoken = next((u for u in self._open if not u.is_ended), None)
        if spoken is None:
            self._open.append(_Utterance(name, {name}, is_ended=True))
        else:
            spoken.name, spoken.is_ended = name, True
            spoken.wire_names.add(name)

    def abandon(self) -> None:
        """What is being spoken will not become an utterance."""
        self._open = [utterance for utterance in self._open if utterance.is_ended]

    def name(self, wire_name: str) -> str:
        found = (u.name for u in self._open if wire_name in u.wire_names)
        return next(found, wire_name)

    def finished(self, wire_name: str) -> str:
        """Its words are there, or will not come; returns its name."""
        name = self.name(wire_name)
        self._open = [u for u in self._open if wire_name not in u.wire_names]
        return name

    def hear_again(self) -> None:
        """A new stream will hear them once more, under new names."""
        for utterance in self._open:
            utterance.is_heard_again = True
            utterance.wire_names &= {utterance.name}
