"""What a microphone has told recognition and may have to tell again.

A stream that breaks is replaced by another one, to which everything is sent again that the first
had not acknowledged: audio, and between it the commands, in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.realtime.settings import RATE_HZ
from ovos.common.v1 import common_pb2
from ovos.stt.v1 import stt_pb2 as pb

KEPT_BYTES = 60 * RATE_HZ * 2  # of audio: a minute


@dataclass(slots=True)
class _Kept:
    sample: int  # of the session's clock: where its audio ends
    request: pb.StreamingRecognizeRequest

    @property
    def is_audio(self) -> bool:
        return self.request.WhichOneof("payload") == "audio"


class Replay:
    """Messages in order. All but the first few of them may be unsent."""

    def __init__(self, from_sample: int) -> None:
        self.first_sample = self.sent = from_sample
        """Where what is kept begins, and where what was sent of it ends."""
        self._kept: deque[_Kept] = deque()
        self._next = 0  # what was not sent
        self._n_bytes = 0  # of audio

    @property
    def n_unsent(self) -> int:
        return len(self._kept) - self._next

    def add(self, sample: int, request: pb.StreamingRecognizeRequest) -> None:
        """
        Args:
            sample: Of the session's clock, where the audio up to here ends.
        """
        kept = _Kept(sample, request)
        if kept.is_audio:
            self._n_bytes += len(request.audio.data)
        self._kept.append(kept)
        while self._n_bytes > KEPT_BYTES:  # what is too old is given up; commands are kept
            self._drop(next(n for n, one in enumerate(self._kept) if one.is_audio))

    def take(self, credit: int) -> pb.StreamingRecognizeRequest | None:
        """The next message to send; None if there is none, or it lies beyond that sample."""
        if not self.n_unsent or self._kept[self._next].sample > credit:
            return None
        kept = self._kept[self._next]
        self._next += 1
        self.sent = kept.sample
        return kept.request

    def rewind(self) -> None:
        """All of it is to be sent again."""
        self._next, self.sent = 0, self.first_sample

    def acknowledged(self, until_sample: int) -> None:
        """Nobody will ask for what lies before."""
        while self._next and self._kept[0].sample <= until_sample:  # never what was not sent
            self._drop(0)

    def audio(self) -> Iterator[common_pb2.AudioChunk]:
        """All that is kept."""
        return (kept.request.audio for kept in self._kept if kept.is_audio)

    def _drop(self, n: int) -> None:
        dropped = self._kept[n]
        del self._kept[n]
        self._next -= n < self._next
        self.first_sample = dropped.sample
        if dropped.is_audio:
            self._n_bytes -= len(dropped.request.audio.data)
