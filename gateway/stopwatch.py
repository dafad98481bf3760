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
    """Times the newest utterance, and the reply that was started after it.

    What comes of an older reply, or of a reply that nobody spoke for, is not counted.
    """

    __slots__ = ("_awaited", "_now_s", "_response_id", "_start_s")

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._start_s = 0.0
        self._awaited: tuple[type, ...] = ()
        self._response_id: str | None = None

    def spoken(self) -> None:
        """The user has spoken."""
        self._start_s, self._awaited = self._now_s(), tuple(_STAGES)
        self._response_id = None

    def replying(self, response_id: str) -> None:
        """A reply begins: the answer to what was spoken, if that has none yet."""
        if self._response_id is None:
            self._response_id = response_id

    def ended(self, response_id: str) -> None:
        """A reply has ended; what is still awaited of it will not come."""
        if response_id == self._response_id:
            self._awaited = ()

    def see(self, signal: sig.Signal) -> None:
        kind = type(signal)
        if kind is sig.SpeechStopped:
            self.spoken()
        elif kind in self._awaited and self._is_ours(signal):
            self._awaited = tuple(other for other in self._awaited if other is not kind)
            _STAGES[kind].observe(self._now_s() - self._start_s)

    def _is_ours(self, signal: sig.Signal) -> bool:
        return not isinstance(signal, sig.Reply) or signal.response_id == self._response_id
