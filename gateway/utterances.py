"""The utterances of one microphone whose words have not come, under the names we gave them.

Each recognition stream counts its utterances anew, and one that replaces a broken stream
hears the unfinished ones a second time. Here they keep their names, and what was already
reported of them is not reported again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(slots=True)
class _Utterance:
    name: str
    wire_names: set[str]
    start: int  # sample of the session
    end: int | None = None
    n_heard: int = 1
    """Streams that have heard it."""
    is_ended: bool = False  # its end was reported, or the client made it
    is_heard_again: bool = False
    is_by_hand: bool = False
    """No stream says that it begins."""


@dataclass(frozen=True, slots=True)
class Span:
    """Where an utterance is, in samples of the session."""

    name: str
    start: int
    end: int


class Utterances:
    def __init__(self, tag: str = "", from_sample: int = 0) -> None:
        """
        Args:
            tag: Part of every name: a session may have other microphones, later or elsewhere.
            from_sample: Where the microphone's audio begins.
        """
        self._tag, self._floor = tag, from_sample
        self._open: list[_Utterance] = []

    def __bool__(self) -> bool:
        """Whether any has no words yet."""
        return bool(self._open)

    @property
    def speaking_from(self) -> int | None:
        """Where the utterance begins that is being spoken."""
        return next((u.start for u in self._open if not u.is_ended), None)

    def begins(self, wire_name: str, stream: int, at: int = 0) -> str | None:
        """The name of the utterance that begins; None if it is heard for the second time.

        Args:
            stream: Number of the stream that says so.
            at: Where it begins.
        """
        for utterance in self._open:
            if utterance.is_heard_again:
                utterance.wire_names.add(wire_name)
                utterance.is_heard_again = False
                utterance.n_heard += 1
                return None
        name = f"{wire_name}/{self._tag}{stream}"
        self._open.append(_Utterance(name, {wire_name}, at))
        return name

    def ends(self, wire_name: str, at: int = 0) -> str | None:
        """The utterance that ended there, unless its end is known."""
        for utterance in self._open:
            if wire_name in utterance.wire_names and not utterance.is_ended:
                return self._ended(utterance, at)
        return None

    def broken_off(self, at: int) -> str | None:
        """The utterance being spoken ends there: nobody hears more of it."""
        spoken = next((u for u in self._open if not u.is_ended), None)
        return None if spoken is None else self._ended(spoken, at)

    def _ended(self, utterance: _Utterance, at: int) -> str:
        utterance.is_ended, utterance.end, self._floor = True, at, at
        return utterance.name

    def spans(self) -> Iterator[Span]:
        """Those that have ended and have no words."""
        for utterance in self._open:
            if utterance.is_ended and utterance.end is not None:
                yield Span(utterance.name, utterance.start, utterance.end)

    def tried(self, times: int) -> Span | None:
        """The oldest, if it has ended and so many streams have heard it."""
        first = next(iter(self._open), None)
        if first is None or first.end is None or first.n_heard < times:
            return None
        return Span(first.name, first.start, first.end)

    def given_away(self, name: str) -> None:
        """Its words come from elsewhere, if at all."""
        self._open = [u for u in self._open if u.name != name]

    def span(self, wire_name: str) -> Span | None:
        """Such a one."""
        name = self.name(wire_name)
        return next((span for span in self.spans() if span.name == name), None)

    def ended_by_client(self, name: str, at: int = 0) -> None:
        """The client ends the utterance there, under a name of its own.

        Recognition may have ended it just before under its name: both mean this one.
        """
        spoken = next((u for u in self._open if not u.is_ended), None)
        if spoken is None:
            spoken = _Utterance(name, {name}, self._floor, n_heard=0, is_by_hand=True)
            self._open.append(spoken)
        spoken.name = name
        spoken.wire_names.add(name)
        self._ended(spoken, at)

    def sent(self, name: str) -> None:
        """A stream has been sent all of an utterance that the client ended."""
        for utterance in self._open:
            utterance.n_heard += utterance.is_by_hand and utterance.name == name

    def forget(self, at: int) -> None:
        """What was heard until there, and is no utterance yet, will not be part of one."""
        self.abandon()
        self._floor = at

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
