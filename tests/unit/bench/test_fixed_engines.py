from __future__ import annotations

import time

import numpy as np
import pytest

from bench import fixed_engines
from bench.fixed_engines import (
    ANSWER,
    LLM_FIRST_S,
    NUMBER,
    STT_FINAL_S,
    TTS_FIRST_S,
    FixedEar,
    FixedVoice,
    FixedWriter,
    fixed_s,
    repeated,
    tokens_to_speak,
)
from llm_orchestrator.engine import Done, Request, TextDelta
from stt_service.engine import How
from tts_service.engine import Halt, Manner
from tts_service.segment import Segmenter


@pytest.mark.parametrize(
    ("tokens", "needed"),
    [
        (("Good", " morning", ",", " you"), 4),  # what follows the comma must be there
        (("Yes", ",", " it", " is", "."), 5),  # too short a clause, and nothing behind the end
    ],
)
def test_as_many_tokens_are_needed_as_the_first_piece_has(tokens, needed):
    assert tokens_to_speak(tokens) == needed


def test_each_time_an_answer_is_said_again_it_is_spoken_as_long_as_the_first_time():
    """A piece is spoken no longer than the engine can, so the tier must see where one ends."""
    segmenter = Segmenter()
    pieces = [p for token in repeated(ANSWER, 14) for p in segmenter.push(token)]
    pieces += segmenter.flush()
    assert max(len(piece.text) for piece in pieces) < FixedVoice.most_chars
    assert sum(len(piece.text) for piece in pieces) > 13 * len("".join(ANSWER))


def test_the_delays_of_a_turn_are_those_on_its_way_to_the_first_audio():
    tokens_s = (tokens_to_speak(ANSWER) - 1) * fixed_engines.LLM_TOKEN_S
    assert tokens_s > 0
    assert fixed_s() == pytest.approx(STT_FINAL_S + LLM_FIRST_S + tokens_s + TTS_FIRST_S)


def test_the_ear_takes_its_time_after_the_end_and_none_before():
    ear = FixedEar(4)
    recognizer = ear.ear().recognizer(How())
    recognizer.feed(bytes(640))
    began_s = time.monotonic()
    heard = recognizer.finish()
    assert time.monotonic() - began_s >= STT_FINAL_S
    assert heard.text == fixed_engines.QUESTION
    assert not ear.streaming


async def test_the_writer_keeps_to_its_times_whoever_reads_late():
    began_s = time.monotonic()
    writer = FixedWriter()
    news = [piece async for piece in writer.generate(Request(messages=()))]
    took_s = time.monotonic() - began_s
    assert news[-1].usage.output_tokens == len(ANSWER)
    assert isinstance(news[-1], Done)
    said = [piece.text for piece in news if isinstance(piece, TextDelta)]
    assert [token for token in said if token != " 1001"] == [t for t in ANSWER if t != NUMBER]
    assert took_s >= LLM_FIRST_S + (len(ANSWER) - 1) * fixed_engines.LLM_TOKEN_S - 0.01
    again = [piece async for piece in writer.generate(Request(messages=()))]
    assert again[:-1] != news[:-1], "what was said before may be kept"


def test_the_voice_hums_as_long_as_a_text_is():
    voice, halt = FixedVoice(), Halt()
    began_s = time.monotonic()
    made = list(voice.synthesize("ten chars.", Manner(), halt))
    assert time.monotonic() - began_s >= TTS_FIRST_S
    samples = np.concatenate([piece.samples for piece in made])
    assert len(samples) == 10 * fixed_engines.CHAR_S * voice.sample_rate_hz
    assert np.abs(samples).max() > 0.05


def test_the_voice_stops_when_it_is_told():
    halt = Halt()
    spoken = FixedVoice().synthesize("a long text " * 10, Manner(), halt)
    next(spoken)
    halt.stop()
    assert list(spoken) == []
