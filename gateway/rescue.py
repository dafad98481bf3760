"""What a microphone still has of utterances that were not recognised.

Who has been speaking when recognition went away has nobody who hears the end. It is then where
the voice falls silent, by its loudness alone: coarse, but what was said is kept, and the words
come from a recogniser later. That is asked only once the session has waited long enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np

from gateway.backends import Unheard
from gateway.realtime import signals as sig
from gateway.realtime.settings import RATE_HZ
from gateway.recognition import ms
from gateway.utterances import Span, Utterances
from mesh.audio import to_float32

FRAME = RATE_HZ // 50  # samples of 20 ms
QUIET = 0.1  # of the loudest: 20 dB below a voice is a room
QUIET_MS = 800  # more than pauses between words have
NOTHING_S = 1.0
"""Who sends nothing for so long has said what there was to say."""


class Chunk(Protocol):
    """Audio and where it begins, in samples of the session."""

    @property
    def first_sample(self) -> int: ...

    @property
    def data(self) -> bytes: ...


class Rescue:
    def __init__(self, utterances: Utterances, kept: Callable[[], Iterable[Chunk]]) -> None:
        """
        Args:
            kept: The audio that there is, in order.
        """
        self._utterances, self._kept = utterances, kept
        self._voice: _Voice | None = None

    def speech_goes_on(self, now_s: float) -> bool:
        """Whether an utterance is being spoken whose end cannot be told yet."""
        start = self._utterances.speaking_from
        if start is None:
            self._voice = None
            return False
        if self._voice is None or self._voice.start != start:
            self._voice = _Voice(start, now_s)
        chunks = list(self._kept())
        if chunks:  # what is too old is not there any more
            self._voice.heard_until = max(self._voice.heard_until, chunks[0].first_sample)
        return self._voice.goes_on(cut(chunks, self._voice.heard_until, None), now_s)

    def all(self, now_sample: int) -> Iterator[sig.SpeechStopped | Unheard]:
        """What there is of each utterance that has no words; one that is being spoken ends."""
        name = self._utterances.broken_off(now_sample)
        if name is not None:
            yield sig.SpeechStopped(name, ms(now_sample))
        for span in self._utterances.spans():
            if pcm := self._cut(span):
                yield Unheard(span.name, pcm)

    def tried_twice(self, drop: Callable[[int], None]) -> Iterator[Unheard]:
        """An utterance that broke two streams shall not break a third.

        Args:
            drop: Has the audio before that sample not heard again.
        """
        span = self._utterances.tried(2)
        pcm = self._cut(span) if span is not None else b""
        if span is not None and pcm:
            self._utterances.given_away(span.name)
            drop(span.end)
            yield Unheard(span.name, pcm)

    def one(self, wire_name: str) -> Unheard | None:
        """What there is of the utterance of that name."""
        span = self._utterances.span(wire_name)
        pcm = self._cut(span) if span is not None else b""
        return Unheard(span.name, pcm) if span is not None and pcm else None

    def _cut(self, span: Span) -> bytes:
        return cut(self._kept(), span.start, span.end)


def cut(chunks: Iterable[Chunk], start: int, end: int | None) -> bytes:
    """What there is of the audio between two samples; None is its end."""
    parts = []
    for chunk in chunks:
        first = chunk.first_sample
        last = first + len(chunk.data) // 2
        until = last if end is None else min(last, end)
        if until > max(first, start):
            parts.append(chunk.data[2 * (max(first, start) - first) : 2 * (until - first)])
    return b"".join(parts)


class _Voice:
    """How loud somebody is who speaks."""

    def __init__(self, start: int, now_s: float) -> None:
        self.start = self.heard_until = start
        self._loudest = 0.0
        self._quiet = 0  # frames, up to now
        self._heard_s = now_s

    def goes_on(self, pcm: bytes, now_s: float) -> bool:
        """
        Args:
            pcm: What came since `heard_until`.
        """
        n_frames = len(pcm) // (2 * FRAME)
        self.heard_until += n_frames * FRAME
        if n_frames:
            self._heard_s = now_s
            frames = to_float32(pcm[: 2 * n_frames * FRAME]).reshape(n_frames, FRAME)
            for loud in np.sqrt((frames**2).mean(axis=1)):
                self._loudest = max(self._loudest, float(loud))
                self._quiet = self._quiet + 1 if loud <= QUIET * self._loudest else 0
        is_quiet = self._quiet * 20 >= QUIET_MS
        return not is_quiet and now_s - self._heard_s < NOTHING_S
