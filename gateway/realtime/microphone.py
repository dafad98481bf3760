"""The input audio buffer and the user's utterances in it.

Positions live here; the audio has gone to speech recognition already. Only the last of it
is kept, for `conversation.item.retrieve`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from . import g711
from .recordings import LONGEST_MS, Tape
from .refusals import refuse
from .settings import RATE_HZ, AudioFormat, Pcm, Pcma

MIN_COMMIT_MS = 100.0
CARRIED_MS = 3000
"""Of audio: speech that began in another process and is not heard again by then is over."""
_SAMPLE_BYTES = 2


@dataclass(frozen=True, slots=True)
class Heard:
    """What becomes an item; milliseconds of all audio of the session."""

    item_id: str
    start_ms: int
    end_ms: int


class SavedMicrophone(msgspec.Struct, frozen=True):
    """Between two utterances. In samples."""

    appended: int
    start: int
    odd: bytes


class Microphone:
    """Which item the user's speech will be, and how much audio waits to become one."""

    __slots__ = (
        "_carried_at", "_decoder", "_item_id", "_new_id", "_samples", "_start", "odd",
        "tape", "utterance",
    )  # fmt: skip

    def __init__(self, new_id: Callable[[str], str], kept_ms: int = 0) -> None:
        """
        Args:
            kept_ms: How much audio is kept.
        """
        self._new_id = new_id
        self._decoder: g711.Decoder | None = None
        self.tape = Tape(kept_ms)
        self.odd = b""
        """Half a sample, until its other half comes."""
        self._samples = 0  # appended in the session
        self._start = 0  # where the buffer begins
        self._item_id = ""  # what the utterance being spoken will be
        self.utterance: str | None = None
        """The utterance being spoken."""
        self._carried_at: int | None = None

    @property
    def buffered_ms(self) -> float:
        return max(0, self._samples - self._start) * 1000 / RATE_HZ

    def buffered_ms_with(self, data: bytes) -> float:
        """How much there would be with this as well."""
        per_byte = g711.PCM_BYTES if self._decoder else 1
        return self.buffered_ms + len(data) * per_byte / (_SAMPLE_BYTES * RATE_HZ / 1000)

    @property
    def position_ms(self) -> int:
        """How much was appended in the session."""
        return self._samples * 1000 // RATE_HZ

    def tune(self, wanted: AudioFormat) -> None:
        """Audio comes in this format from now on."""
        self._decoder = None if isinstance(wanted, Pcm) else g711.Decoder(law_of(wanted))
        self.odd = b""

    def append(self, data: bytes) -> bytes:
        """Take bytes cut anywhere; returns the whole samples among them, as PCM."""
        pcm = self._decoder.feed(data) if self._decoder else self._whole(data)
        self._samples += len(pcm) // _SAMPLE_BYTES
        self.tape.add(pcm)
        return pcm

    def passed(self, n_samples: int, pcm: bytes, odd: bytes) -> None:
        """So much was appended in another process.

        Args:
            pcm: The audio, if it is known.
            odd: What is left of it.
        """
        self._samples += n_samples
        self.odd = odd
        if pcm:
            self.tape.add(pcm)
        else:
            self.tape.skip(n_samples * _SAMPLE_BYTES)

    def open_from_ms(self, *, by_hand: bool) -> int | None:
        """Where audio begins that is no item yet and may become one; None if there is none, or
        more than the tape holds.

        Args:
            by_hand: All audio becomes an item, not only speech.
        """
        start_ms = self._start * 1000 // RATE_HZ
        is_open = self.utterance or (by_hand and self._samples > self._start)
        return start_ms if is_open and self.position_ms - start_ms < LONGEST_MS else None

    @property
    def is_carried(self) -> bool:
        """Whether speech began in another process, and is not heard here yet."""
        return self._carried_at is not None and self.utterance is not None

    @property
    def is_overdue(self) -> bool:
        """Whether it should have been heard by now."""
        if self._carried_at is None or self.utterance is None:
            return False
        return (self._samples - self._carried_at) * 1000 // RATE_HZ > CARRIED_MS

    def carry(self) -> None:
        """Another process hears from now on."""
        self._carried_at = self._samples

    def goes_on(self, utterance: str) -> None:
        """The speech that began elsewhere is heard here, under that name."""
        self.utterance, self._carried_at = utterance, None

    def saved(self) -> SavedMicrophone:
        return SavedMicrophone(self._samples, self._start, self.odd)

    def restore(self, saved: SavedMicrophone) -> None:
        """Go on where another process stopped. Its last audio is not here."""
        self._samples, self._start, self.odd = saved.appended, saved.start, saved.odd
        self.tape.skip(saved.appended * _SAMPLE_BYTES)

    def _whole(self, data: bytes) -> bytes:
        data = self.odd + data
        whole = len(data) - len(data) % _SAMPLE_BYTES
        self.odd = data[whole:]
        return data[:whole]

    def started(self, utterance: str, audio_ms: int) -> str:
        """The user speaks; returns the id of the item this will be."""
        self.utterance, self._carried_at = utterance, None
        self._start = min(self._samples, audio_ms * RATE_HZ // 1000)
        self._item_id = self._new_id("item")
        return self._item_id

    def stopped(self, utterance: str, audio_ms: int) -> Heard | None:
        """The user has spoken; None if that speech was abandoned."""
        if utterance != self.utterance:
            return None
        self.utterance = None
        return self._cut(self._item_id, audio_ms)

    def timed_out(self, silent_since_ms: int) -> Heard:
        """The user has said nothing since then: the silence becomes an item."""
        self._start = silent_since_ms * RATE_HZ // 1000
        return self._cut(self._new_id("item"), self.position_ms)

    def commit(self) -> Heard:
        """End the utterance by hand; its item also names the utterance.

        Raises:
            Refused: there is less than 100 ms of audio.
        """
        if self.buffered_ms < MIN_COMMIT_MS:
            raise refuse(
                "input_audio_buffer_commit_empty",
                "Error committing input audio buffer: buffer too small. Expected at least 100ms "
                f"of audio, but buffer only has {self.buffered_ms:.2f}ms of audio.",
            )
        item_id = self._item_id if self.utterance else self._new_id("item")
        self.utterance = None
        heard = self._cut(item_id, self.position_ms)
        self._start, self.odd = self._samples, b""  # less than a millisecond may be left
        return heard

    def clear(self) -> None:
        self.abandon()
        self._start, self.odd = self._samples, b""

    def failed(self, utterance: str) -> None:
        """What becomes of an utterance is known. If it is still being spoken, it has failed."""
        if utterance == self.utterance:
            self.abandon()

    def abandon(self) -> None:
        """Speech that is being heard will not become an item; its audio stays."""
        self.utterance = None

    def _cut(self, item_id: str, end_ms: int) -> Heard:
        start_ms = self._start * 1000 // RATE_HZ
        self._start = min(self._samples, end_ms * RATE_HZ // 1000)
        return Heard(item_id, start_ms, max(start_ms, end_ms))


def law_of(wanted: AudioFormat) -> g711.Law:
    return "audio/pcma" if isinstance(wanted, Pcma) else "audio/pcmu"
