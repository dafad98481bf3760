"""The input audio buffer and the user's utterances in it.

Only positions live here, not the audio: that has gone to speech recognition already.
"""

from __future__ import annotations

from collections.abc import Callable

from .refusals import refuse
from .settings import RATE_HZ

MIN_COMMIT_MS = 100.0
_SAMPLE_BYTES = 2


class Microphone:
    """Which item each utterance is, and how much audio waits to become one."""

    def __init__(self, new_id: Callable[[str], str]) -> None:
        self._new_id = new_id
        self._odd = b""  # half a sample, until its other half comes
        self._samples = 0  # appended in the session
        self._start = 0  # where the buffer begins
        self._items: dict[str, str] = {}  # utterance → item, until its words are there
        self.utterance: str | None = None
        """The utterance being spoken."""

    @property
    def buffered_ms(self) -> float:
        return max(0, self._samples - self._start) * 1000 / RATE_HZ

    def append(self, data: bytes) -> bytes:
        """Take bytes cut anywhere; returns the whole samples among them."""
        data = self._odd + data
        whole = len(data) - len(data) % _SAMPLE_BYTES
        self._odd = data[whole:]
        self._samples += whole // _SAMPLE_BYTES
        return data[:whole]

    def started(self, utterance: str) -> str:
        """The user speaks; returns the id of the item this will be."""
        self.utterance = utterance
        self._items[utterance] = self._new_id("item")
        return self._items[utterance]

    def stopped(self, utterance: str, audio_ms: int) -> str | None:
        """The user has spoken; returns the item, or None if the speech was abandoned."""
        if utterance != self.utterance:
            return None
        self.utterance = None
        self._start = min(self._samples, audio_ms * RATE_HZ // 1000)
        return self._items[utterance]

    def commit(self) -> str:
        """End the utterance by hand; returns its item, which also names the utterance.

        Raises:
            Refused: there is less than 100 ms of audio.
        """
        if self.buffered_ms < MIN_COMMIT_MS:
            raise refuse(
                "input_audio_buffer_commit_empty",
                "Error committing input audio buffer: buffer too small. Expected at least 100ms "
                f"of audio, but buffer only has {self.buffered_ms:.2f}ms of audio.",
            )
        item_id = self._items.pop(self.utterance, "") if self.utterance else ""
        item_id = item_id or self._new_id("item")
        self.utterance, self._start = None, self._samples
        self._items[item_id] = item_id
        return item_id

    def clear(self) -> None:
        self.abandon()
        self._start, self._odd = self._samples, b""

    def abandon(self) -> None:
        """Speech that is being heard will not become an item; its audio stays."""
        if self.utterance:
            self._items.pop(self.utterance, None)
        self.utterance = None

    def item_of(self, utterance: str) -> str | None:
        return self._items.get(utterance)

    def expect(self, item_id: str) -> None:
        """An item's own recording is being recognised, under the item's id."""
        self._items[item_id] = item_id

    def forget(self, utterance: str) -> None:
        """Its words are there, or will not come."""
        item_id = self._items.pop(utterance, utterance)
        self._items = {name: item for name, item in self._items.items() if item != item_id}
        if utterance == self.utterance:
            self.utterance = None
