"""What `voicemesh up` prints: plain lines, the same for a person and for a file."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Sequence

from voicemesh import banner, logs

SAME_AGAIN_S = 10.0  # one warning that repeats is shown this often
_LONGEST_LINE = 300


class Terminal:
    """Prints what becomes of the parts, and their warnings and errors."""

    def __init__(
        self, *, verbose: bool = False, out: Callable[[str], object] | None = None
    ) -> None:
        """
        Args:
            verbose: Also every line the parts log.
            out: Takes a line; None prints it.
        """
        self._verbose, self._out = verbose, out or (lambda line: print(line, flush=True))
        self._began = time.monotonic()
        self._shown: dict[tuple[str, str], float] = {}
        self.events: dict[str, list[dict[str, object]]] = {}
        """What each part logged about the engines it has, in order."""

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def say(self, text: str) -> None:
        # Whoever watched may have gone away; the parts go on.
        with contextlib.suppress(OSError):
            self._out(text)

    def step(self, part: str, what: str) -> None:
        """One line of progress."""
        self.say(f"{self.elapsed_s:6.1f} s  {part:<12} {what}")

    def warn(self, what: str) -> None:
        """One line about something that goes on nevertheless."""
        self.say(f"voicemesh: warning: {what}")

    def ready(self, part: str, after_s: float, *, again: bool) -> None:
        self.step(part, f"is back after {after_s:.1f} s" if again else "ready")

    def died(self, part: str, how: str, rest_s: float, last: Sequence[str]) -> None:
        self.step(part, f"{how}; starting it again in {rest_s:.1f} s")
        if last:
            self.say(f"{'':23}its last words: {logs.short(last[-1])[:_LONGEST_LINE]}")

    def said(self, part: str, line: str) -> None:
        fields = logs.event(line)
        if fields and fields["event"] in banner.ENGINE_EVENTS:
            self.events.setdefault(part, []).append(fields)
        if self._verbose:
            self.say(f"[{part}] {line}")
        elif logs.is_loud(line) and self._is_news(part, line):
            self.step(part, logs.short(line)[:_LONGEST_LINE])

    def _is_news(self, part: str, line: str) -> bool:
        now, what = time.monotonic(), (part, re.sub(r"\d+", "", logs.short(line)))
        if now - self._shown.get(what, -SAME_AGAIN_S) < SAME_AGAIN_S:
            return False
        self._shown = {k: at for k, at in self._shown.items() if now - at < SAME_AGAIN_S}
        self._shown[what] = now
        return True
