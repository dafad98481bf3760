"""Engines that take as long as they are told, and next to no computing: what else a turn takes
is the platform's.

Delays count from the call: what an engine waits for before it, a thread for example, is not its
own.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Iterator, Sequence

import numpy as np

from llm_orchestrator.engine import Done, Finish, News, Request, TextDelta, Usage
from stt_service.engine import Heard, How
from tts_service.engine import Halt, Manner, Piece, Voice, pieces
from tts_service.segment import Segmenter

STT_FINAL_S = 0.05
LLM_FIRST_S, LLM_TOKEN_S = 0.05, 0.01
TTS_FIRST_S = 0.03
QUESTION = "what is the weather in paris"
NUMBER = " 1000"
ANSWER = ("This", " is", " number", NUMBER, ",", " and", " there", " will", " be", " more", ".")
"""As tokens."""
CHAR_S = 0.05  # of speech
RATE_HZ = 24_000
LOUDNESS, PITCH_HZ = 0.1, 220
LONGEST_S = 20.0  # what a segment may be


def repeated(answer: Sequence[str], times: int) -> tuple[str, ...]:
    """The answer so many times, a sentence each."""
    first, *others = answer
    return (*answer, *(f" {first}", *others) * (times - 1))


def fixed_s() -> float:
    """What engines take of a turn: from the end of speech to the first audio."""
    return STT_FINAL_S + LLM_FIRST_S + (tokens_to_speak(ANSWER) - 1) * LLM_TOKEN_S + TTS_FIRST_S


def tokens_to_speak(tokens: Sequence[str]) -> int:
    """How many tokens there must be before anything can be spoken."""
    segmenter = Segmenter()
    return next(
        (n for n, token in enumerate(tokens, start=1) if segmenter.push(token)), len(tokens)
    )


class FixedEar:
    """Hears the same in everything, so long after the end of speech."""

    streaming = False
    guess_every_ms = 3_600_000  # never
    languages = ("en",)
    lags = False

    def __init__(self, threads: int, model: str = "fixed") -> None:
        self.threads, self.model = threads, model

    def ear(self, tenant: str = "") -> FixedEar:
        return self

    def recognizer(self, how: How) -> FixedEar:
        return self

    def feed(self, pcm: bytes) -> None:
        """It is all the same."""

    def guess(self) -> str:
        return ""

    def finish(self) -> Heard:
        time.sleep(STT_FINAL_S)
        return Heard(text=QUESTION, language="en")

    def close(self) -> None:
        """There is nothing to close."""


class FixedWriter:
    """Writes the same answer to everything, token by token, but for the number: what has been
    spoken before may be kept, and then no engine is waited for."""

    available = True
    model = "fixed"
    context_tokens = 128_000
    goes_on = False

    def __init__(self, answer: Sequence[str] = ANSWER) -> None:
        self._answer = tuple(answer)
        self._numbers = itertools.count(int(NUMBER) + 1)

    async def generate(self, request: Request) -> AsyncGenerator[News, None]:
        due_s = time.monotonic() + LLM_FIRST_S
        number = f" {next(self._numbers)}"
        for token in self._answer:
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            yield TextDelta(number if token == NUMBER else token)
            due_s += LLM_TOKEN_S
        yield Done(Finish.STOP, Usage(10, 0, len(self._answer)))

    async def models(self) -> tuple[str, ...]:
        return (self.model,)

    async def refresh(self) -> None:
        """It is there."""

    async def close(self) -> None:
        """There is nothing to close."""


class FixedVoice:
    """Hums each text for as long as it would take to say; the first of it comes after a while,
    the rest at once."""

    sample_rate_hz = RATE_HZ
    voices = (Voice("hum", "Hum", ("en-us",)),)
    most_chars = int(LONGEST_S / CHAR_S)

    def __init__(self) -> None:
        moments = np.arange(int(LONGEST_S * RATE_HZ), dtype=np.float32) / RATE_HZ
        self._hum = (LOUDNESS * np.sin(2 * np.pi * PITCH_HZ * moments)).astype(np.float32)

    def voice_for(self, manner: Manner) -> str:
        return "hum"

    def synthesize(self, text: str, manner: Manner, halt: Halt) -> Iterator[Piece]:
        time.sleep(TTS_FIRST_S)
        return pieces(self._hum[: int(len(text) * CHAR_S * RATE_HZ)], RATE_HZ, halt)
