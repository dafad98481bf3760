"""What is kept of one session: its inputs since the last snapshot, in order.

A session is a function of its inputs, so whoever has the snapshot and the inputs since has the
session, with the events it caused: the same ids, the same order. What is not kept frame by
frame is audio. Of what passes only the amount is noted; what may have to be heard again, the
utterance being spoken, is kept as it is.

Events are numbered, and an event's id says its number and how much of its response's audio
came before: a client that names the last event it had can be told exactly the rest.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from gateway.realtime import client_events as ce
from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.dialects import Dialect, Ga
from gateway.realtime.effects import Effect
from gateway.realtime.refusals import Refusal
from gateway.realtime.server_events import AudioDelta, Error, ResponseDone, ServerEvent
from gateway.realtime.session import Session

SPEECH_BYTES = 12_000
"""Audio of an utterance that is kept together: a quarter of a second."""

_JSON = b"j"
CUT = b"x"
"""An entry instead of all that follows: it was too much to keep."""

_OPEN, _CLIENT, _SIDEBAND, _REFUSED, _SIGNAL = b"o", b"c", b"b", b"r", b"s"
_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode
_SIGNALS = {kind.__name__: kind for kind in sig.Signal.__args__}
_EVENT_ID = re.compile(r"event_[0-9a-f]{8}_(\d{1,12})(?:\.(\d{1,12}))?(?:x\w*)?")


class OfSideband(bytes):
    """A message of a sideband. It speaks GA, whatever the client speaks."""


class NotWhole(Exception):
    """Not all of the session was kept."""


class Opened:
    """The first input of a session: its client is there."""


Input = ce.ClientEvent | sig.Signal | Opened


@dataclass(frozen=True, slots=True)
class Position:
    """How far a client has been told: the number of its last event, and how much PCM of the
    reply being spoken it has had."""

    seq: int
    audio_bytes: int | None = None


def position_of(event_id: str) -> Position | None:
    """What the id of an event tells; None if it is none of ours, or ""."""
    found = _EVENT_ID.fullmatch(event_id)
    if found is None:
        return None
    return Position(int(found[1]), int(found[2]) if found[2] else None)


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """Where a session is, noted often and without waiting."""

    made: int
    """The number of the last event when the entries before the last ones were kept."""
    sent: int
    """The number of the last event that was sent."""
    samples: int
    """Of the microphone."""
    played: dict[str, int]
    """PCM bytes of the audio of each response that runs."""


class Journal:
    """Takes note of what a session is told."""

    __slots__ = (
        "_audio", "_is_first", "_is_open", "_pending", "_session", "_silent", "_speech",
        "_tag", "_unnoted", "next", "played", "samples", "seq",
    )  # fmt: skip

    def __init__(self, session: Session, *, first: int = 0) -> None:
        """
        Args:
            first: How many entries came before.
        """
        self._session = session
        self.next = first
        """The number of the next entry."""
        self.seq = 0
        """The number of the last event."""
        self.samples = 0
        """Appended in the session."""
        self.played: dict[str, int] = {}
        """PCM bytes of each response that runs."""
        self._pending: list[bytes] = []
        self._silent = 0  # samples that passed since the last entry, and were not speech
        self._speech = bytearray()
        self._unnoted: dict[str, int] = {}  # audio of responses since the last entry
        self._is_first = True
        self._is_open = False  # whether audio has to be kept
        self._audio = 0  # frames sent
        self._tag = secrets.token_hex(4)

    def note(self, event: Input, effects: Sequence[Effect], raw: str | bytes = "") -> int:
        """An input and what it caused.

        Args:
            raw: The message that a client's event was read from.

        Returns:
            How many entries have to be kept before the client may hear of it.
        """
        match event:
            case ce.AppendAudio():
                self._heard(effects)
            case sig.ReplyAudio(response_id, pcm):
                self._play(response_id, len(pcm), effects)
            case sig.Hypothesis() if not effects:
                pass
            case _:
                self._flush()
                if isinstance(event, sig.EarsLost):  # who replays this has no audio to hear again
                    again = [e.utterance for e in effects if isinstance(e, do.Transcribe)]
                    event = sig.EarsLost(event.reason, (*event.late, *again))
                self._add(_entry(event, raw))
                self._after(event, effects)
        return self.next

    def stamp(self, event: ServerEvent) -> str:
        """Number an event; its id."""
        if isinstance(event, AudioDelta):
            self._audio += 1  # frames of several responses may be at the same place
            return f"event_{self._tag}_{self._place}x{self._audio:x}"
        self.seq += 1
        return f"event_{self._tag}_{self._place}"

    def played_with(self, event: object) -> int:
        """How much of a response's audio there is with this event; 0 if it is no audio."""
        return self.played.get(event.response_id, 0) if isinstance(event, AudioDelta) else 0

    def id_of(self, seq: int) -> str:
        """The id of an event that another process made."""
        return f"event_{self._tag}_{seq}"

    def beside(self, seq: int | None = None) -> str:
        """The id of an event that is not the session's.

        Args:
            seq: The number of the event before it, if that is not the last one.
        """
        place = self._place if seq is None else str(seq)
        return f"event_{self._tag}_{place}x{secrets.token_hex(4)}"

    @property
    def _place(self) -> str:
        if len(self.played) != 1:
            return str(self.seq)
        return f"{self.seq}.{next(iter(self.played.values()))}"

    def take(self) -> list[bytes]:
        """The entries that were not taken yet."""
        pending, self._pending = self._pending, []
        return pending

    @property
    def taken(self) -> int:
        """How many entries were taken, or came before."""
        return self.next - len(self._pending)

    @property
    def is_clean(self) -> bool:
        """Whether everything was taken."""
        return not self._pending

    def settle(self) -> None:
        """Note what passed up to now."""
        self._flush()

    def _heard(self, effects: Sequence[Effect]) -> None:
        pcm = b"".join(effect.pcm for effect in effects if isinstance(effect, do.Hear))
        self.samples += len(pcm) // 2
        self._is_open = self._session.hearing.kept_from_ms is not None
        if not self._is_open:
            if self._speech:  # it has become too long
                self._flush()
            self._silent += len(pcm) // 2
        else:
            self._speech += pcm
            if len(self._speech) >= SPEECH_BYTES:
                self._flush()
        match effects:
            case [do.Send(Error(error))]:
                self._flush()  # it was refused: that is all there is of it
                return self._add(_REFUSED + _encode(error))
        # The first audio after something happened may start a clock.
        something = any(isinstance(effect, do.Send) for effect in effects)
        if self._is_first or something:
            self._flush()
            self._is_first = something

    def _play(self, response_id: str, n_bytes: int, effects: Sequence[Effect]) -> None:
        if not effects and response_id not in self.played:
            return  # late news of a reply that was stopped
        self.played[response_id] = self.played.get(response_id, 0) + n_bytes
        self._unnoted[response_id] = self._unnoted.get(response_id, 0) + n_bytes
        if len(effects) > 1:
            self._flush()

    def _after(self, event: Input, effects: Sequence[Effect]) -> None:
        is_open = self._session.hearing.kept_from_ms is not None
        begins = isinstance(event, sig.SpeechStarted) or not self._is_open
        if is_open and begins and (pcm := self._session.hearing.kept()):
            self._add(_signal(sig.AudioKept(pcm)))  # it has passed, and was not kept
        self._is_open = is_open
        for effect in effects:
            if isinstance(effect, do.Send) and isinstance(effect.event, ResponseDone):
                self.played.pop(effect.event.response["id"], None)

    def _flush(self) -> None:
        odd = self._session.hearing.odd
        if self._silent:
            self._add(_signal(sig.AudioPassed(self._silent, odd=odd)))
        if self._speech:
            pcm = bytes(self._speech)
            self._add(_signal(sig.AudioPassed(len(pcm) // 2, pcm, odd)))
        for response_id, n_bytes in self._unnoted.items():
            self._add(_signal(sig.ReplyPlayed(response_id, n_bytes)))
        self._silent = 0
        self._speech.clear()
        self._unnoted.clear()
        self._is_first = True

    def _add(self, entry: bytes) -> None:
        self._pending.append(entry)
        self.next += 1


def inputs(entries: Sequence[bytes], dialect: Dialect) -> Iterator[Input]:
    """What a session was told, again.

    Args:
        dialect: What its client speaks.

    Raises:
        NotWhole: see there.
    """
    ga = dialect if isinstance(dialect, Ga) else Ga()
    for entry in entries:
        kind, rest = entry[:1], entry[1:]
        if kind == CUT:
            raise NotWhole
        if kind == _OPEN:
            yield Opened()
        elif kind == _CLIENT:
            yield dialect.decode(rest)
        elif kind == _SIDEBAND:
            yield ga.decode(rest)
        elif kind == _REFUSED:
            yield Refusal(**_decode(rest))
        else:
            name, fields = (msgspec.json.decode if kind == _JSON else _decode)(rest)
            yield msgspec.convert(fields, _SIGNALS[name])


def _entry(event: Input, raw: str | bytes) -> bytes:
    match event:
        case Opened():
            return _OPEN
        case Refusal():  # whatever it was that could not be read, this is shorter
            return _REFUSED + _encode(asdict(event))
        case _ if isinstance(raw, OfSideband):
            return _SIDEBAND + raw
        case _ if raw:
            return _CLIENT + (raw.encode() if isinstance(raw, str) else raw)
        case _:
            return _signal(event)


def _signal(signal: Any) -> bytes:
    try:
        return _SIGNAL + _encode((type(signal).__name__, signal))
    except OverflowError:  # the JSON of others may hold numbers that msgpack has not
        return _JSON + msgspec.json.encode((type(signal).__name__, signal))
