"""The latency ledger of one session's turns: from the end of the user's speech on."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import Histogram

from gateway import metrics
from gateway.realtime import signals as sig

_STAGES: dict[type, Histogram] = {
    sig.Transcribed: metrics.TRANSCRIPT,
    sig.ReplyText: metrics.FIRST_TEXT,
    sig.ReplyAudio: metrics.FIRST_AUDIO,
}


class Stopwatch:
    """Observes the first signal of each stage after each end of speech."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._start_s = 0.0
        self._awaited: set[type] = set()

    def start(self) -> None:
        self._start_s, self._awaited = self._now_s(), set(_STAGES)

    def see(self, signal: sig.Signal) -> None:
        kind = type(signal)
        if kind is sig.SpeechStopped:
            self.start()
        elif kind in self._awaited:
            self._awaited.discard(kind)
            _STAGES[kind].observe(self._now_s() - self._start_s)
