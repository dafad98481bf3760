from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from gateway.backends import Unheard
from gateway.realtime import signals as sig
from gateway.realtime.settings import RATE_HZ
from gateway.rescue import NOTHING_S, QUIET_MS, Rescue, cut
from gateway.utterances import Utterances

MS = RATE_HZ // 1000


def sound(ms: int, loud: float) -> bytes:
    """Noise of a loudness, 0 to 1."""
    noise = np.random.default_rng(1).uniform(-1, 1, ms * MS) * loud * 32767
    return noise.astype("<i2").tobytes()


class Tape:
    """What a microphone keeps, in pieces of 200 ms."""

    def __init__(self, at: int = 0) -> None:
        self.chunks: list[SimpleNamespace] = []
        self.at = at

    def add(self, pcm: bytes) -> None:
        for start in range(0, len(pcm), 400 * MS):
            data = pcm[start : start + 400 * MS]
            self.chunks.append(SimpleNamespace(first_sample=self.at, data=data))
            self.at += len(data) // 2

    def __call__(self):
        return iter(self.chunks)


@pytest.fixture
def tape():
    return Tape()


@pytest.fixture
def utterances():
    return Utterances()


@pytest.fixture
def rescue(utterances, tape):
    return Rescue(utterances, tape)


def test_audio_is_cut_where_an_utterance_is(tape):
    pcm = sound(1000, 0.5)
    tape.add(pcm)
    assert cut(tape(), 100, 9000) == pcm[200:18_000]
    assert cut(tape(), 100, None) == pcm[200:]
    assert cut(tape(), 50_000, None) == b""


def test_utterances_without_words_come_with_their_audio(rescue, utterances, tape):
    pcm = sound(1000, 0.5)
    tape.add(pcm)
    first, second = (utterances.begins(f"u{n}", 1, n * 4800) for n in (1, 2))
    utterances.ends("u1", 9600)
    utterances.ends("u2", 12_000)
    assert list(rescue.all(tape.at)) == [
        Unheard(first, pcm[9600:19_200]),
        Unheard(second, pcm[19_200:24_000]),
    ]
    assert rescue.one("u2") == Unheard(second, pcm[19_200:24_000])
    assert rescue.one("u3") is None


def test_one_whose_audio_is_gone_is_lost(rescue, utterances):
    utterances.begins("u1", 1, 100)
    utterances.ends("u1", 200)
    assert list(rescue.all(300)) == []
    assert rescue.one("u1") is None


def test_speech_that_nobody_heard_the_end_of_ends_here(rescue, utterances, tape):
    pcm = sound(1000, 0.5)
    tape.add(pcm)
    name = utterances.begins("u1", 1, 2400)
    assert list(rescue.all(tape.at)) == [
        sig.SpeechStopped(name, 1000),
        Unheard(name, pcm[4800:]),
    ]


def test_where_nobody_speaks_nothing_goes_on(rescue, tape):
    tape.add(sound(1000, 0.5))
    assert not rescue.speech_goes_on(0.0)


def test_speech_goes_on_until_the_voice_falls_silent(rescue, utterances, tape):
    tape.add(sound(1000, 0.5))
    utterances.begins("u1", 1, 0)
    assert rescue.speech_goes_on(0.0)
    tape.add(sound(QUIET_MS - 200, 0.01))
    assert rescue.speech_goes_on(0.2)
    tape.add(sound(1000, 0.5))
    assert rescue.speech_goes_on(0.4), "a pause between words"
    tape.add(sound(QUIET_MS + 100, 0.01))
    assert not rescue.speech_goes_on(0.6)


def test_speech_whose_sound_stops_coming_is_over(rescue, utterances, tape):
    tape.add(sound(1000, 0.5))
    utterances.begins("u1", 1, 0)
    assert rescue.speech_goes_on(10.0)
    assert rescue.speech_goes_on(10.0 + NOTHING_S / 2)
    assert not rescue.speech_goes_on(10.0 + NOTHING_S)


def test_audio_that_was_dropped_is_not_waited_for(rescue, utterances, tape):
    tape.add(sound(1000, 0.5))
    utterances.begins("u1", 1, 0)
    assert rescue.speech_goes_on(0.0)
    tape.add(sound(2000, 0.5))
    del tape.chunks[:10]
    assert rescue.speech_goes_on(0.2)
    assert not rescue.speech_goes_on(0.2 + NOTHING_S), "what was heard is not heard again"


def test_the_next_utterance_is_judged_by_itself(rescue, utterances, tape):
    tape.add(sound(1000, 0.9))
    utterances.begins("u1", 1, 0)
    rescue.speech_goes_on(0.0)
    utterances.ends("u1", tape.at)
    start = tape.at
    tape.add(sound(1000, 0.05))
    utterances.begins("u2", 1, start)
    assert rescue.speech_goes_on(100.0), "a low voice"
