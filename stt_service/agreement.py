"""Which words of an interim transcript will not change any more.

Each guess decodes all that was said so far anew, and the end of it often comes out otherwise
next time. Where two guesses in a row agree on their first words, those are *stable*: from
then on they are told as they were, whatever later guesses make of them. (The policy is
LocalAgreement-2 of Liu, Spanakis and Niehues, "Low-latency sequence-to-sequence speech
recognition", Interspeech 2020.) Only the final transcript, which is decoded with more care,
may still differ.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Agreed:
    text: str
    stable_chars: int
    """So many characters of it will not change."""


class Agreement:
    """Of the guesses at one utterance."""

    def __init__(self) -> None:
        self._stable: list[str] = []
        self._last: list[str] = []

    def heard(self, guess: str) -> Agreed:
        words = guess.split()
        n_stable = len(self._stable)
        agreed = n_stable + _n_alike(self._last[n_stable:], words[n_stable:])
        self._stable += words[n_stable:agreed]
        self._last = words
        told = [*self._stable, *words[len(self._stable) :]]
        return Agreed(" ".join(told), len(" ".join(self._stable)))


def _n_alike(one: list[str], other: list[str]) -> int:
    """The first words that are the same, but for capitals and punctuation."""
    pairs = enumerate(zip(one, other, strict=False))
    shorter = min(len(one), len(other))
    return next((n for n, (a, b) in pairs if _bare(a) != _bare(b)), shorter)


def _bare(word: str) -> str:
    return "".join(char for char in word.casefold() if char.isalnum()) or word
