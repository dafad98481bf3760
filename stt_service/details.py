"""What clients want to know of an utterance besides its text: made of its words. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from stt_service.engine import Heard, How, Segment, Token, Word
from stt_service.speakers import Voices, runs_of

LEAST_PROBABILITY = 1e-6  # engines round to 0, and the logarithm of that is no number


def added(heard: Heard, how: How, pcm: bytes, voices: Voices) -> Heard:
    """What was heard with what was asked for, and no more. Blocks for some milliseconds.

    Args:
        pcm: The utterance (PCM16 LE mono 16 kHz).
        voices: The stream's speakers so far; whoever is new is added.
    """
    return replace(
        heard,
        words=heard.words if how.word_timestamps else (),
        tokens=tokens_of(heard) if how.logprobs else (),
        segments=segments_of(heard, pcm, voices) if how.speakers else (),
    )


def tokens_of(heard: Heard) -> tuple[Token, ...]:
    """A token a word, with the space before it; none if the engine gives no probabilities."""
    if any(word.confidence is None for word in heard.words):
        return ()
    return tuple(
        Token(text, math.log(max(word.confidence or 0.0, LEAST_PROBABILITY)))
        for text, word in zip(written(heard.text, heard.words), heard.words, strict=True)
    )


def segments_of(heard: Heard, pcm: bytes, voices: Voices) -> tuple[Segment, ...]:
    """The text by its speakers, in order. Without words it is all of one speaker."""
    whole = Word(heard.text, 0, len(pcm) // 2)
    words = heard.words or ((whole,) if heard.text else ())
    texts = iter(written(heard.text, words))
    segments: list[Segment] = []
    for run in runs_of(words):
        text = "".join(next(texts) for _ in run)
        start, end = run[0].start_sample, run[-1].end_sample
        speaker = voices.name(pcm[2 * start : 2 * end])
        if segments and segments[-1].speaker == speaker:
            last = segments.pop()
            start, text = last.start_sample, last.text + text
        segments.append(Segment(text, start, end, speaker))
    return tuple(segments)


def written(text: str, words: Sequence[Word]) -> list[str]:
    """A text cut behind each of its words; all the pieces together are the text."""
    pieces, at = [], 0
    for word in words:
        found = text.find(word.text, at)
        end = at if found < 0 else found + len(word.text)
        pieces.append(text[at:end])
        at = end
    if pieces:
        pieces[-1] += text[at:]
    return pieces
