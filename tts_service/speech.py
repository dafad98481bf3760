"""One reply being spoken, as a state machine: what to synthesize, what to send. No I/O, no clock.

    client:  say, flush, allow, cancel, finish
    voice:   next_work, add, degrade, end
    wire:    take → events, in order

Samples count from the first of the stream, characters from the first of all text sent,
also across a cancel: what was forgotten still counts as text, what was not sent never
was audio.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from mesh.audio import SAMPLE_BYTES, n_samples
from mesh.errors import Rejected
from tts_service.engine import Word
from tts_service.segment import Segment, Segmenter

MAX_TEXT_CHARS = 64 * 1024  # an hour of speech: more than any reply
UNASKED_S = 2.0  # sent to a client that has granted nothing
AHEAD_S = 5.0  # made and not sent before the next segment waits


@dataclass(frozen=True, slots=True)
class Began:
    segment: int
    text: str
    start_char: int


@dataclass(frozen=True, slots=True)
class Audio:
    segment: int
    pcm: bytes
    sequence: int
    first_sample: int
    words: tuple[Word, ...] = ()
    """Those that begin in it. Characters of the segment, samples of the stream."""


@dataclass(frozen=True, slots=True)
class Ended:
    segment: int
    end_sample: int
    words: tuple[Word, ...]
    """As with Audio, all of them."""


@dataclass(frozen=True, slots=True)
class Degraded:
    failed: str
    serving: str
    reason: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    cancel_id: str
    sent_until_sample: int


Event = Began | Audio | Ended | Degraded | Cancelled


@dataclass(frozen=True, slots=True)
class Work:
    """A segment to synthesize."""

    key: int
    """Unique on the stream. Not the segment's number: that is given when its start is sent."""

    segment: Segment


@dataclass(frozen=True, slots=True)
class _Stop:
    """All audio of a segment has been made."""

    key: int


_Item = Work | bytes | _Stop | Degraded | Cancelled


class Speech:
    def __init__(
        self,
        *,
        rate_hz: int,
        chunk_samples: int,
        allowed_until: int | None,
        manual: bool,
        continues: bool = False,
    ) -> None:
        """
        Args:
            allowed_until: First grant; None is UNASKED_S.
            manual: Only `flush` and `finish` end a segment.
            continues: The beginning of the reply was spoken on another stream.
        """
        self.n_chars = 0
        self.sent_until = 0  # samples
        self._segmenter = Segmenter(manual=manual, continues=continues)
        self._ahead = int(AHEAD_S * rate_hz)
        self._chunk_bytes = chunk_samples * SAMPLE_BYTES
        unasked = int(UNASKED_S * rate_hz)
        self._allowed_until: int | None = unasked if allowed_until is None else allowed_until
        self._finished = False
        self._text_sequence = self._audio_sequence = 0
        self._waiting: deque[Segment] = deque()
        self._last_key = 0
        self._making: int | None = None  # key
        self._made_until = 0  # samples
        self._began_at = 0  # samples; where the segment being made starts
        self._words: dict[int, list[Word]] = {}  # by key, until the segment's end is sent
        self._items: deque[_Item] = deque()
        self._pending = bytearray()  # less than a chunk of the segment being sent
        self._sending: int | None = None  # key
        self._number = 0  # of the segment whose start was sent last
        self._is_degraded = False

    @property
    def is_finished(self) -> bool:
        """The client will send no more text."""
        return self._finished

    @property
    def is_silent(self) -> bool:
        """There is nothing that could still be said, as after a cancel."""
        idle = not self._waiting and self._making is None and not self._segmenter.is_open
        return idle and not self._pending and bytes not in map(type, self._items)

    @property
    def is_done(self) -> bool:
        """All that will be said was taken."""
        idle = not self._waiting and self._making is None
        return self._finished and idle and not self._items and not self._pending

    # The client

    def say(self, text: str, sequence: int) -> None:
        """
        Raises:
            Rejected: a chunk is missing or repeated, there is too much text, or it comes
                after `finish`.
        """
        if self._finished:
            raise Rejected("text after finish", param="text")
        if sequence != self._text_sequence + 1:
            detail = f"text chunk {sequence} came after {self._text_sequence}"
            raise Rejected(detail, param="text.sequence")
        self.n_chars += len(text)
        if self.n_chars > MAX_TEXT_CHARS:
            raise Rejected(f"more than {MAX_TEXT_CHARS} characters", param="text.text")
        self._text_sequence = sequence
        self._waiting.extend(self._segmenter.push(text))

    def flush(self) -> None:
        self._waiting.extend(self._segmenter.flush())

    def finish(self) -> None:
        self.flush()
        self._finished = True

    def allow(self, until_sample: int) -> None:
        if self._allowed_until is not None:
            self._allowed_until = max(self._allowed_until, until_sample)

    def allow_all(self) -> None:
        """The client has left the pace to the transport."""
        self._allowed_until = None

    def cancel(self, cancel_id: str) -> None:
        """Forget what was not sent. The caller stops the voice.

        A segment that has begun ends here, with the words that were sent.
        """
        self._segmenter.forget()
        self._waiting.clear()
        self._pending.clear()
        self._making, self._made_until = None, self.sent_until
        news = [item for item in self._items if isinstance(item, Degraded | Cancelled)]
        self._items.clear()
        if self._sending is not None:
            self._items.append(_Stop(self._sending))
        self._words = {key: words for key, words in self._words.items() if key == self._sending}
        self._items.extend([*news, Cancelled(cancel_id, self.sent_until)])

    # The voice

    def next_work(self) -> Work | None:
        """Begin the next segment, if there is one and enough of the last was sent."""
        too_far = self._made_until - self.sent_until > self._ahead
        if not self._waiting or self._making is not None or too_far:
            return None
        self._last_key += 1
        work = Work(self._last_key, self._waiting.popleft())
        self._making, self._began_at = work.key, self._made_until
        self._words[work.key] = []
        self._items.append(work)
        return work

    def add(self, key: int, pcm: bytes, words: tuple[Word, ...]) -> None:
        """
        Args:
            words: Samples from the start of the segment.
        """
        if key != self._making:
            return  # late news of a segment that was cancelled
        self._made_until += n_samples(pcm)
        self._items.append(pcm)
        self._words[key] += [
            Word(w.start_char, w.end_char, self._began_at + w.start_sample) for w in words
        ]

    def degrade(self, key: int, news: Degraded) -> None:
        """Told once a stream: the client cannot do more about the second time."""
        if key == self._making and not self._is_degraded:
            self._is_degraded = True
            self._items.append(news)

    def end(self, key: int) -> None:
        if key != self._making:
            return
        self._making = None
        self._items.append(_Stop(key))

    # The wire

    def take(self) -> Event | None:
        """The next event to send; None until there is one and the client has room for it."""
        while len(self._pending) < self._chunk_bytes and self._items:
            match self._items[0]:
                case bytes() as pcm:
                    self._pending += pcm
                    self._items.popleft()
                case _Stop() if self._pending:
                    return self._chunk(len(self._pending))
                case item:
                    self._items.popleft()
                    return self._event(item)
        return self._chunk(self._chunk_bytes) if len(self._pending) >= self._chunk_bytes else None

    def _event(self, item: Work | _Stop | Degraded | Cancelled) -> Event:
        match item:
            case Work(key, segment):
                self._sending = key
                self._number += 1
                return Began(self._number, segment.text, segment.start_char)
            case _Stop(key):
                self._sending = None
                words = self._words.pop(key)
                sent = tuple(word for word in words if word.start_sample < self.sent_until)
                return Ended(self._number, self.sent_until, sent)
            case _:
                return item

    def _chunk(self, size: int) -> Audio | None:
        until = self.sent_until + size // SAMPLE_BYTES
        if self._allowed_until is not None and until > self._allowed_until:
            return None
        pcm = bytes(self._pending[:size])
        del self._pending[:size]
        self._audio_sequence += 1
        first, self.sent_until = self.sent_until, until
        words = () if self._sending is None else self._words[self._sending]
        begin = tuple(word for word in words if first <= word.start_sample < until)
        return Audio(self._number, pcm, self._audio_sequence, first, begin)
