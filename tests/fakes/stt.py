"""A speech recognition engine that tells how much it heard, and does as it is told."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from mesh.audio import n_samples
from stt_service.config import Config
from stt_service.engine import RATE_HZ, Heard, How, Word

TIMEOUT_S = 10.0


class FakeEngine:
    """Hears "3 tenths" in 0.3 s of any audio."""

    streaming = True
    threads = 4
    guess_every_ms = 100

    def __init__(
        self,
        config: Config | None = None,
        *,
        model: str = "fake",
        languages: Sequence[str] = (),
        failures: int = 0,
        streaming: bool = True,
    ) -> None:
        """
        Args:
            failures: How many times `finish` raises before it works.
        """
        self.model, self.languages, self.failures = model, languages, failures
        self.streaming = streaming
        self.asked: list[How] = []
        self.closed = 0
        self.may_finish = threading.Event()
        """Cleared, it holds `finish` up."""
        self.may_finish.set()

    def ear(self, tenant: str = "") -> FakeEar:
        return FakeEar(self)

    def close(self) -> None:
        pass


class FakeEar:
    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine

    def recognizer(self, how: How) -> FakeRecognizer:
        self._engine.asked.append(how)
        return FakeRecognizer(self._engine, how)


class FakeRecognizer:
    lags = False

    def __init__(self, engine: FakeEngine, how: How) -> None:
        self._engine, self._how = engine, how
        self._n_samples = 0
        self._closed = False

    def feed(self, pcm: bytes) -> None:
        self._n_samples += n_samples(pcm)

    def guess(self) -> str:
        return text_of(self._n_samples)

    def finish(self) -> Heard:
        if self._engine.failures:
            self._engine.failures -= 1
            raise ValueError("told to fail")
        if not self._engine.may_finish.wait(TIMEOUT_S):
            raise TimeoutError("nobody let it finish")
        text, end = text_of(self._n_samples), self._n_samples
        words = (Word(text, 0, end, 0.5),) if self._how.needs_words and end else ()
        return Heard(text=text if end else "", language="en", words=words)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._engine.closed += 1


def text_of(n_heard: int) -> str:
    return f"{round(n_heard * 10 / RATE_HZ)} tenths"
