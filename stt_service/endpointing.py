"""Where speech starts and ends, decided in audio time. No I/O, no clock.

    event = endpointer.hear(probability)    # for each window of 512 samples

Positions are in samples at 16 kHz and count from the stream's first sample. The rules
are Silero's: speech starts at `threshold` and ends after `silence_ms` below
`threshold - 0.15`; what lies between changes nothing. With semantic settings `silence_ms`
does not count: whoever knows what was said says with `allow` how long each pause may last.

Why a commit or clear in mid-speech may be followed by a new start: the speaker is still
speaking. The new speech begins where the old one was cut; nothing is heard twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from stt_service.engine import RATE_HZ
from stt_service.turn_taking import WAITS, Eagerness

WINDOW_SAMPLES = 512  # samples; the only window Silero knows at 16 kHz
HYSTERESIS = 0.15
LEAST_THRESHOLD = 0.01  # else a low threshold would never see silence
MIN_SPEECH_SAMPLES = 2 * WINDOW_SAMPLES  # 64 ms: a click or a knock is over by then
SOFT_END_MS = 2000  # so long before `max_utterance_ms` any quiet window ends an utterance,
# since the hard limit would cut a word


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the ends of speech are found."""

    server_vad: bool = True
    """Detect speech; False leaves it all to `commit`."""

    semantic: bool = False
    """What was said tells how long a pause may last; only with `server_vad`."""

    eagerness: Eagerness = Eagerness.MEDIUM
    """How soon a pause is taken for the end; only with `semantic`."""

    threshold: float = 0.5
    """Speech probability, 0 to 1, above which speech starts."""

    prefix_ms: int = 300
    """Audio kept from before the detected start."""

    silence_ms: int = 200
    """Silence that ends an utterance."""

    max_utterance_ms: int = 60_000
    """Ends an utterance even without silence."""


@dataclass(frozen=True, slots=True)
class Started:
    start_sample: int
    """First sample of speech, padding included."""


@dataclass(frozen=True, slots=True)
class Stopped:
    end_sample: int
    """Sample after the last one of the utterance, its silence included."""


class Endpointer:
    """Turns speech probabilities into starts and stops."""

    def __init__(self, settings: Settings, at: int = 0) -> None:
        """
        Args:
            at: Position of the first window's first sample.
        """
        self._settings = settings
        self._at = at  # windows up to here are judged
        self._floor = at  # before it all is committed, cleared or ended
        self._speech: int | None = None  # where the speech being heard starts
        self._voice: int | None = None  # where the run of voiced windows starts
        self._quiet: int | None = None  # where the silence inside the speech starts
        self._allowed_ms: int | None = None  # how long that silence may last, if it was said
        self._longest = 0  # samples of the longest silence after which this speech went on

    @property
    def settings(self) -> Settings:
        return self._settings

    @property
    def in_speech(self) -> bool:
        return self._speech is not None

    @property
    def pausing(self) -> bool:
        """Whether the speech being heard may be over."""
        return self._quiet is not None

    @property
    def pause(self) -> int | None:
        """Where the silence inside the speech being heard starts, if there is one."""
        return self._quiet

    @property
    def pause_ms(self) -> int:
        """How long that silence has lasted."""
        return 0 if self._quiet is None else (self._at - self._quiet) * 1000 // RATE_HZ

    @property
    def longest_pause_ms(self) -> int:
        """The longest silence after which the speech being heard went on."""
        return self._longest * 1000 // RATE_HZ

    @property
    def open_from(self) -> int:
        """First sample that a commit would take, or that speech starting now would."""
        if self._speech is not None:
            return self._speech
        if not self._settings.server_vad:
            return self._floor
        return self._padded(self._at if self._voice is None else self._voice)

    @property
    def floor(self) -> int:
        """End of what was last committed, cleared or ended."""
        return self._floor

    def hear(self, probability: float) -> Started | Stopped | None:
        """Judge the next window. At most one thing can happen in it."""
        window, self._at = self._at, self._at + WINDOW_SAMPLES
        if self._speech is None:
            return self._wait_for_speech(window, probability)
        return self._wait_for_silence(window, probability)

    def commit(self, at: int) -> int:
        """End the utterance at `at`, by order of the client.

        Returns:
            Where it starts: at the speech being heard, else at the last commit, clear
            or end of speech.
        """
        start = self._floor if self._speech is None else self._speech
        self._cut(at)
        return min(start, at)

    def allow(self, wait_ms: int) -> None:
        """Let the present pause last so long, with semantic settings; later ones are not
        meant. Until it is said, that is the time for what one cannot tell."""
        self._allowed_ms = wait_ms

    def clear(self, at: int) -> None:
        """Drop what is before `at`, and the speech being heard."""
        self._cut(at)

    def update(self, settings: Settings, at: int) -> None:
        """Go on with other settings. `at`: first sample of the next window.

        Speech being heard goes on. If the client now commits, it is part of what the
        next commit takes, and no end of it is reported.
        """
        if settings.server_vad != self._settings.server_vad:
            if self._speech is not None:
                self._floor = self._speech
            self._at = at
            self._silence()
        self._settings = settings

    def _wait_for_speech(self, window: int, probability: float) -> Started | None:
        if probability >= self._settings.threshold and self._voice is None:
            self._voice = window
        elif self._is_quiet(probability):
            self._voice = None
        if self._voice is None or self._at - self._voice < MIN_SPEECH_SAMPLES:
            return None
        self._speech, self._voice = self._padded(self._voice), None
        return Started(self._speech)

    def _wait_for_silence(self, window: int, probability: float) -> Stopped | None:
        if probability >= self._settings.threshold:
            self._go_on(window)
        elif self._is_quiet(probability) and self._quiet is None:
            self._quiet = window
        if not self._is_over():
            return None
        self._cut(self._at)
        return Stopped(self._at)

    def _is_quiet(self, probability: float) -> bool:
        return probability < max(self._settings.threshold - HYSTERESIS, LEAST_THRESHOLD)

    def _is_over(self) -> bool:
        assert self._speech is not None
        longest_ms = self._settings.max_utterance_ms
        length = self._at - self._speech
        if length >= _samples(longest_ms):
            return True
        if self._quiet is None:
            return False
        soft_ms = longest_ms - min(SOFT_END_MS, longest_ms // 4)
        return (
            self._at - self._quiet >= _samples(self._longest_silence_ms())
            or length >= _samples(soft_ms)
        )  # fmt: skip

    def _longest_silence_ms(self) -> int:
        settings = self._settings
        if not settings.semantic:
            return settings.silence_ms
        if self._allowed_ms is None:
            return WAITS[settings.eagerness].unclear
        return self._allowed_ms

    def _go_on(self, window: int) -> None:
        if self._quiet is not None:
            self._longest = max(self._longest, window - self._quiet)
        self._quiet = self._allowed_ms = None

    def _cut(self, at: int) -> None:
        self._floor = at
        self._silence()

    def _silence(self) -> None:
        """No speech is being heard."""
        self._speech = self._voice = self._quiet = self._allowed_ms = None
        self._longest = 0

    def _padded(self, start: int) -> int:
        return max(self._floor, start - _samples(self._settings.prefix_ms))


def _samples(duration_ms: int) -> int:
    return duration_ms * RATE_HZ // 1000
