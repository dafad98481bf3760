"""How far a reply has been spoken, over all the streams that spoke it. No I/O, no clock.

Positions are those of the reply: characters of its text, samples of its audio, whichever stream
they come on. So what comes twice is known by where it is.

A stream that replaces another one begins with the piece that was not finished: the same engine
makes the same audio of it, and what was heard of that is left out. Another engine takes other
time for the same words, so it begins behind the last word that was begun. Where no word was
timed that is the end of the piece: better a gap than the same words twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gateway.backends import Sound
from gateway.realtime import signals as sig
from gateway.realtime.effects import Begun
from gateway.realtime.settings import RATE_HZ
from ovos.tts.v1 import tts_pb2 as pb

SAMPLE_BYTES = 2
HEARD_SAMPLES = 60 * RATE_HZ // 1000  # of less, nobody knows which word it was


@dataclass(frozen=True, slots=True)
class Seam:
    """Where a stream begins in the reply."""

    char: int
    sample: int


class Spoken:
    def __init__(self, response_id: str, begun: Begun | None) -> None:
        """
        Args:
            begun: What another process has spoken already.
        """
        self._id = response_id
        self._next = Seam(begun.from_char, begun.from_ms * RATE_HZ // 1000) if begun else Seam(0, 0)
        self._seam = self._next
        self._taken = 0  # samples of the stream
        self._shift = self._next.sample  # from there to the reply's
        self._heard = self._shift + (begun.sent_bytes // SAMPLE_BYTES if begun else 0)
        self._piece: _Piece | None = None  # that is not finished
        self._engine = ""
        self._degraded: set[tuple[str, str]] = set()
        self._is_mute = False  # until the piece ends

    @property
    def start(self) -> Seam:
        """Where the piece begins that is spoken or comes next."""
        return Seam(self._piece.char, self._piece.sample) if self._piece else self._next

    @property
    def unheard(self) -> int:
        """Samples that a stream from `start` sends before it comes to what is new."""
        return max(0, self._heard - self.start.sample)

    def go_on(self, engine: str) -> tuple[Seam, list[Sound]]:
        """A new stream is there.

        Args:
            engine: Who speaks on it.

        Returns:
            Where it has to begin, and what is to be told of the seam.
        """
        told: list[Sound] = []
        piece = self._piece
        if piece is not None and piece.is_begun and engine != piece.engine:
            told.append(self._cut(piece))
        self._engine, self._is_mute = engine, False
        self._seam = self.start
        self._taken, self._shift = 0, self._seam.sample
        return self._seam, told

    def take(self, news: pb.StreamingSynthesizeResponse) -> Iterator[Sound]:
        """What is new to the client in what a stream says."""
        match news.WhichOneof("payload"):
            case "segment_started":
                self._begin(news.segment_started)
            case "audio":
                yield from self._hear(news.audio)
            case "segment_finished":
                yield self._finish(news.segment_finished)
            case "degraded":
                yield from self._degrade(news.degraded)

    @property
    def _at(self) -> int:
        """Where the stream is in the reply."""
        return self._taken + self._shift

    def _present(self) -> _Piece:
        if self._piece is None:
            self._piece = _Piece("", self._next.char, self._at, self._engine)
        return self._piece

    def _begin(self, started: pb.SegmentStarted) -> None:
        char = self._seam.char + started.start_char
        if self._piece is None or self._piece.char != char:
            self._piece = _Piece(started.text, char, self._at, self._engine)

    def _hear(self, audio: pb.SegmentAudio) -> Iterator[Sound]:
        pcm, at = audio.chunk.data, self._at
        self._taken += len(pcm) // SAMPLE_BYTES
        if self._is_mute:
            self._shift -= len(pcm) // SAMPLE_BYTES
            return
        piece = self._present()
        words = piece.begun((w.end_char, w.start_sample + self._shift) for w in audio.words)
        if words:
            yield sig.ReplyTiming(self._id, words)
        piece.until = max(piece.until, self._at)
        if new := pcm[max(0, self._heard - at) * SAMPLE_BYTES :]:
            self._heard = self._at
            yield sig.ReplyAudio(self._id, new)

    def _finish(self, finished: pb.SegmentFinished) -> Sound:
        piece = self._present()
        # Should it be shorter than it was, the next one still begins behind it.
        self._shift += max(0, piece.until - self._at)
        return self._end(piece, piece.end_char, finished.end_sample + self._shift)

    def _cut(self, piece: _Piece) -> Sound:
        """What was heard of a piece is all there will be."""
        return self._end(piece, piece.cut(), piece.until)

    def _end(self, piece: _Piece, end_char: int, end_sample: int) -> Sound:
        words = piece.rest(end_sample)
        self._piece, self._is_mute = None, False
        self._next = Seam(end_char, end_sample)
        return sig.ReplyTiming(self._id, words, (end_char, _ms(end_sample)))

    def _degrade(self, worse: pb.SynthesisDegraded) -> Iterator[Sound]:
        change = worse.failed_engine, worse.serving_engine
        if change not in self._degraded:
            self._degraded.add(change)
            yield sig.ReplyDegraded(self._id, *change)
        if self._engine == worse.serving_engine:
            return
        self._engine = worse.serving_engine
        if (piece := self._piece) is not None:
            piece.engine = None if piece.is_begun else self._engine
            if piece.until > self._at:  # nothing says where in its words that is
                self._shift += piece.until - self._at
                self._is_mute = True


class _Piece:
    """A segment, and when its words have been spoken: `(end_char, end_ms)` of each."""

    def __init__(self, text: str, char: int, sample: int, engine: str | None) -> None:
        """
        Args:
            engine: Who speaks it; None if more than one does.
        """
        self.text, self.char, self.sample, self.engine = text, char, sample, engine
        self.until = sample
        """Where its audio has come to, on whichever stream it came farthest."""

        self._words: list[tuple[int, int]] = []  # begun: end_char and start_sample
        self._is_told = False  # where the last one ends

    @property
    def is_begun(self) -> bool:
        return self.until > self.sample

    @property
    def end_char(self) -> int:
        return self.char + len(self.text)

    def begun(self, words: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        """Words begin, and those before them have been spoken.

        Args:
            words: `(end_char, start_sample)` of each, characters of the piece; those that were
                begun before are passed over.
        """
        spoken = []
        for end_char, start_sample in words:
            last = self._words[-1][0] if self._words else 0
            if end_char > last:
                if last:
                    spoken.append((self.char + last, _ms(start_sample)))
                self._words.append((end_char, start_sample))
        return tuple(spoken)

    def cut(self) -> int:
        """There will be no more of it; its end is behind the last word that was heard."""
        if not self._words:
            return self.end_char
        heard = [word for word in self._words if word[1] + HEARD_SAMPLES <= self.until]
        self.text = self.text[: heard[-1][0] if heard else 0]
        self._is_told = len(heard) < len(self._words)
        return self.end_char

    def rest(self, end_sample: int) -> tuple[tuple[int, int], ...]:
        """What is left at the end; all words, evenly spread, if the voice has not said."""
        if self._is_told:
            return ()
        if self._words:
            return ((self.char + self._words[-1][0], _ms(end_sample)),)
        length = max(1, len(self.text))
        samples = end_sample - self.sample
        return tuple(
            (
                self.char + word.start() + len(word[0].rstrip()),
                _ms(self.sample + samples * word.end() // length),
            )
            for word in re.finditer(r"\S+\s*", self.text)
        )


def _ms(n_samples: int) -> int:
    return n_samples * 1000 // RATE_HZ
