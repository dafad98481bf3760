"""Transcripts of batches are those that single calls give. What the model here says depends
on the length of its prompt, and how sure it is on all that it hears and is told."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from prometheus_client import REGISTRY

from mesh.audio import resample, to_pcm16
from stt_service.config import Config
from stt_service.engine import RATE_HZ, How
from stt_service.engines.faster_whisper import FasterWhisper
from tests.contract import whisper_model
from tests.e2e.speech import recording

SAYS = "hello there my friend hello again my friend there hello again there my again"
LIMIT_S = 60
N = 6  # utterances at once
WAIT_MS = 50  # so that threads of a slow machine find together
SPOKEN = ("what_time_is_it_in_london_today", "what_is_the_weather_in_paris", "good_morning")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    whisper_model.make(folder, "en", replace(whisper_model.SMALLEST, hearing=6), SAYS)
    whisper_model.make(folder, "many", replace(whisper_model.MULTILINGUAL, hearing=6), SAYS)
    return folder


@pytest.fixture(scope="module")
def engines(models):
    """By model: one that decodes each utterance alone, and one that decodes many in a call."""
    made = {}
    for name in ("en", "many"):
        config = Config(models_dir=models, whisper_model=name, whisper_batch_ms=WAIT_MS)
        made[name] = [FasterWhisper(replace(config, whisper_batch=most)) for most in (1, 10)]
    yield made
    for pair in made.values():
        for engine in pair:
            engine.close()


def audio(n: int) -> bytes:
    if n < len(SPOKEN):
        return resample(recording(SPOKEN[n]), 24_000, RATE_HZ)
    noise = np.random.default_rng(n).standard_normal(RATE_HZ * n // 2)
    return to_pcm16((0.1 * noise).astype(np.float32))


def at_once(engine, asked: list) -> list:
    here = threading.Barrier(len(asked))

    def hear(one):
        here.wait(LIMIT_S)
        return engine.hear(*one)

    with ThreadPoolExecutor(len(asked)) as threads:
        return list(threads.map(hear, asked, timeout=LIMIT_S))


def calls(step: str) -> float:
    return REGISTRY.get_sample_value("stt_batch_utterances_count", {"step": step}) or 0.0


def same(one, other) -> bool:
    """But for rounding."""
    words = [(word.text, word.start_sample, word.end_sample) for word in one.words]
    others = [(word.text, word.start_sample, word.end_sample) for word in other.words]
    return (
        (one.text, one.language, words) == (other.text, other.language, others)
        and one.confidence == pytest.approx(other.confidence, abs=2e-5)
        and [word.confidence for word in one.words]
        == pytest.approx([word.confidence for word in other.words], abs=2e-5)
    )


HOWS = {
    "plain": [How()] * N,
    "words": [How(word_timestamps=True)] * N,
    "prompts": [How(prompt="abc"[: n % 3]) for n in range(N)],
    "all kinds": [
        How(),
        How(language="en-GB", prompt="ab"),
        How(hints=("x", "y")),
        How(word_timestamps=True, prompt="a"),
        How(logprobs=True),
        How(),
    ],
}


@pytest.mark.parametrize("kind", HOWS)
def test_many_at_once_are_heard_as_one_after_the_other(engines, kind):
    alone, together = engines["en"]
    asked = [(audio(n), how) for n, how in enumerate(HOWS[kind])]
    expected = [alone.hear(*one) for one in asked]
    assert len({heard.confidence for heard in expected}) == N, "or mistaking one goes unseen"
    found = at_once(together, asked)
    assert [one for one in zip(found, expected, strict=True) if not same(*one)] == []


def test_many_at_once_take_fewer_calls(engines):
    _, together = engines["en"]
    before = {step: calls(step) for step in ("encode", "decode", "align")}
    at_once(together, [(audio(n), How(word_timestamps=True)) for n in range(N)])
    for step, n_before in before.items():
        assert 1 <= calls(step) - n_before < N - 1, step


def test_prompts_of_different_lengths_say_different_things(engines):
    heard = at_once(engines["en"][1], [(audio(0), how) for how in HOWS["prompts"][:3]])
    assert len({one.text for one in heard}) == 3


def test_a_language_is_found_for_each_or_taken_as_told(engines):
    alone, together = engines["many"]
    asked = [(audio(n), How(language=("", "de", "en", "")[n % 4])) for n in range(4)]
    expected = [alone.hear(*one) for one in asked]
    found = at_once(together, asked)
    assert [one for one in zip(found, expected, strict=True) if not same(*one)] == []
    assert [one.language for one in found][1:3] == ["de", "en"]


def test_what_is_longer_than_a_window_is_heard_with_the_others(engines):
    alone, together = engines["en"]
    long = audio(1) * 20
    assert len(long) > 2 * 31 * RATE_HZ
    asked = [(long, How(word_timestamps=True)), *((audio(n), How()) for n in range(4))]
    expected = [alone.hear(*one) for one in asked]
    found = at_once(together, asked)
    assert [one for one in zip(found, expected, strict=True) if not same(*one)] == []


def test_guesses_are_the_same_too(engines):
    alone, together = engines["en"]
    how = How(prompt="ab", word_timestamps=True)
    assert together.guess(audio(0), how) == alone.guess(audio(0), how) != ""
