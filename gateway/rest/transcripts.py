"""What was heard in a recording, in the shapes of the OpenAI API."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.backends import Passage, PlacedWord

_HEARD_TOKEN_MS = 100  # of audio, as OpenAI counts
_CHARS_A_TOKEN = 4  # of English text, about: no tokenizer takes part

FORMATS = ("json", "text", "srt", "verbose_json", "vtt", "diarized_json")


@dataclass(slots=True)
class Transcript:
    passages: list[Passage] = field(default_factory=list)
    n_ms: int = 0
    """Length of the recording."""

    @property
    def text(self) -> str:
        return " ".join(passage.text for passage in self.passages)

    @property
    def language(self) -> str:
        return next((p.language for p in self.passages if p.language), "")

    @property
    def tokens(self) -> dict[str, Any]:
        heard = math.ceil(self.n_ms / _HEARD_TOKEN_MS)
        written = math.ceil(len(self.text) / _CHARS_A_TOKEN)
        return {
            "type": "tokens",
            "input_tokens": heard,
            "input_token_details": {"text_tokens": 0, "audio_tokens": heard},
            "output_tokens": written,
            "total_tokens": heard + written,
        }

    @property
    def duration(self) -> dict[str, Any]:
        return {"type": "duration", "seconds": math.ceil(self.n_ms / 1000)}


def as_json(transcript: Transcript, *, logprobs: bool) -> dict[str, Any]:
    found = {"text": transcript.text, "usage": transcript.duration}
    return found | ({"logprobs": all_logprobs(transcript)} if logprobs else {})


def as_verbose_json(transcript: Transcript, granularities: Sequence[str]) -> dict[str, Any]:
    """
    Args:
        granularities: "word", "segment", or both.
    """
    found: dict[str, Any] = {
        "task": "transcribe",
        "language": transcript.language,
        "duration": transcript.n_ms / 1000,
        "text": transcript.text,
    }
    if "word" in granularities:
        words = [word for passage in transcript.passages for word in passage.words]
        found["words"] = [{"word": w.text, **_place(w)} for w in words]
    if "segment" in granularities:
        passages = enumerate(transcript.passages)
        found["segments"] = [_segment(n, passage) for n, passage in passages]
    return {**found, "usage": transcript.duration}


def as_diarized_json(transcript: Transcript) -> dict[str, Any]:
    return {
        "task": "transcribe",
        "duration": transcript.n_ms / 1000,
        "text": transcript.text,
        "segments": list(speaker_segments(transcript.passages)),
        "usage": transcript.duration,
    }


def speaker_segments(passages: Sequence[Passage], first: int = 0) -> Iterator[dict[str, Any]]:
    """Who said what; all is one speaker's if nobody could tell.

    Args:
        first: Number of the first of them.
    """
    n = first
    for passage in passages:
        whole = PlacedWord(passage.text, passage.start_ms, passage.end_ms, "A")
        for turn in passage.speakers or (whole,):
            yield {
                "type": "transcript.text.segment",
                "id": f"seg_{n:03}",
                **_place(turn),
                "text": turn.text,
                "speaker": turn.speaker or "A",
            }
            n += 1


def as_srt(transcript: Transcript) -> str:
    return "".join(
        f"{n}\n{_clock(p.start_ms, ',')} --> {_clock(p.end_ms, ',')}\n{p.text}\n\n"
        for n, p in enumerate(transcript.passages, 1)
    )


def as_vtt(transcript: Transcript) -> str:
    return "WEBVTT\n\n" + "".join(
        f"{_clock(p.start_ms, '.')} --> {_clock(p.end_ms, '.')}\n{p.text}\n\n"
        for p in transcript.passages
    )


def logprobs_of(passage: Passage) -> list[dict[str, Any]]:
    return [
        {"token": token, "bytes": list(token.encode()), "logprob": logprob}
        for token, logprob in passage.logprobs
    ]


def all_logprobs(transcript: Transcript) -> list[dict[str, Any]]:
    return [entry for passage in transcript.passages for entry in logprobs_of(passage)]


def _segment(n: int, passage: Passage) -> dict[str, Any]:
    """What only Whisper's own decoder knows is as if all had gone well."""
    sure = [logprob for _, logprob in passage.logprobs]
    raw = passage.text.encode()
    return {
        "id": n,
        "seek": 0,
        "start": passage.start_ms / 1000,
        "end": passage.end_ms / 1000,
        "text": passage.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": sum(sure) / len(sure) if sure else 0.0,
        "compression_ratio": len(raw) / len(zlib.compress(raw)),
        "no_speech_prob": 0.0,
    }


def _place(word: PlacedWord) -> dict[str, float]:
    return {"start": word.start_ms / 1000, "end": word.end_ms / 1000}


def _clock(at_ms: int, point: str) -> str:
    seconds, ms = divmod(at_ms, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{ms:03}"
