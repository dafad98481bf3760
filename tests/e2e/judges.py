"""Judges of synthesised speech: is it speech, is it as long as its text, is it that text?"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pocketsphinx import Decoder

from mesh.audio import duration_ms, resample
from stt_service.endpointing import WINDOW_SAMPLES
from stt_service.vad import Silero, Vad

RATE_HZ, EAR_HZ = 24_000, 16_000
# Speech is between a brisk and a slow reader's pace, in seconds a word.
_SHORTEST_S, _LONGEST_S = 0.15, 1.0


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def speech_fits(pcm: bytes, text: str) -> None:
    """Assert that the audio (PCM16 LE mono 24 kHz) is speech and says the text."""
    heard = resample(pcm, RATE_HZ, EAR_HZ)
    n_words = len(words_of(text))
    spoken_s = speech_s(heard)
    assert _SHORTEST_S * n_words < spoken_s < _LONGEST_S * n_words, (spoken_s, text)
    assert duration_ms(pcm, RATE_HZ) / 1000 < spoken_s + 0.5 * n_words
    assert aligned_words(heard, text) == words_of(text)


def speech_s(pcm: bytes) -> float:
    """Seconds of speech in PCM at 16 kHz, as Silero hears it."""
    windows = Vad(Silero()).feed(pcm)
    return sum(probability > 0.5 for probability in windows) * WINDOW_SAMPLES / EAR_HZ


def aligned_words(pcm: bytes, text: str) -> list[str]:
    """The words of a forced alignment of the text to PCM at 16 kHz; empty if it fails."""
    return [word.text for word in alignment(pcm, text)]


@dataclass(frozen=True, slots=True)
class Placed:
    text: str
    start_ms: int
    end_ms: int


def alignment(pcm: bytes, text: str) -> list[Placed]:
    """Where each word of the text is in PCM at 16 kHz; empty if it is not that text."""
    decoder = Decoder(samprate=EAR_HZ, lm=None, loglevel="FATAL")
    decoder.set_align_text(" ".join(words_of(text)))
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    return [
        Placed(
            re.sub(r"\(\d+\)$", "", segment.word),
            segment.start_frame * 10,
            (segment.end_frame + 1) * 10,
        )
        for segment in decoder.seg() or ()
        if not segment.word.startswith(("<", "["))
    ]
