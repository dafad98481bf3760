"""Is an answer whole? Its text exactly once, and its audio every word of it once, in order."""

from __future__ import annotations

from dataclasses import dataclass, field

RATE_HZ = 24_000
LONGER, SHORTER = 1.05, 0.95  # than the undisturbed one: a sentence is made again, not said again


@dataclass(slots=True)
class Kept:
    """What a client received of one answer."""

    deltas: list[str] = field(default_factory=list)
    """Of the transcript."""
    transcripts: list[str] = field(default_factory=list)
    """As it was told at its end."""
    statuses: list[str] = field(default_factory=list)
    pcm: bytearray = field(default_factory=bytearray)
    """PCM16 LE mono 24 kHz."""
    times_s: list[float] = field(default_factory=list)
    """When each piece of audio came."""

    def audio(self, now_s: float, pcm: bytes) -> None:
        self.pcm += pcm
        self.times_s.append(now_s)

    @property
    def seconds(self) -> float:
        """Of audio."""
        return len(self.pcm) / (RATE_HZ * 2)

    def gap_ms(self, at_s: float) -> float | None:
        """Between the last audio up to a moment and the first behind it; None without both."""
        before = [time_s for time_s in self.times_s if time_s <= at_s]
        after = [time_s for time_s in self.times_s if time_s > at_s]
        return (after[0] - before[-1]) * 1000 if before and after else None


def faults(kept: Kept, text: str, seconds: float | None = None) -> list[str]:
    """What is wrong with an answer; nothing if it is whole.

    Args:
        text: What it must say.
        seconds: Of audio, when it was not disturbed.
    """
    found = []
    if kept.statuses != ["completed"]:
        found.append(f"it ended {len(kept.statuses)} times, as {kept.statuses}")
    if (said := "".join(kept.deltas)) != text:
        found.append(f"the text differs: {_difference(said, text)}")
    if kept.transcripts != [text]:
        found.append(f"the transcript was told {len(kept.transcripts)} times, or differs")
    if seconds is not None and not SHORTER < kept.seconds / seconds < LONGER:
        found.append(f"{kept.seconds:.2f} s of audio instead of {seconds:.2f} s")
    return found + _unheard(bytes(kept.pcm), text)


def _unheard(pcm: bytes, text: str) -> list[str]:
    """What is wrong with the audio, by forced alignment."""
    from mesh.audio import resample
    from tests.e2e.judges import EAR_HZ, aligned_words, words_of  # they need PocketSphinx

    heard = aligned_words(resample(pcm, RATE_HZ, EAR_HZ), text) if pcm else []
    return [] if heard == words_of(text) else ["the audio does not say the text"]


def _difference(said: str, text: str) -> str:
    """Where they part."""
    same = next(
        (n for n, (one, other) in enumerate(zip(said, text, strict=False)) if one != other),
        min(len(said), len(text)),
    )
    begin = max(0, same - 10)
    return f"{said[begin : same + 20]!r} instead of {text[begin : same + 20]!r} at {same}"
