from __future__ import annotations

import itertools

import pytest

from gateway.realtime.microphone import Microphone
from gateway.realtime.refusals import Refused
from tests.script import pcm


@pytest.fixture
def microphone():
    numbers = itertools.count(1)
    return Microphone(lambda prefix: f"{prefix}_{next(numbers)}")


def test_bytes_cut_anywhere_become_whole_samples(microphone):
    assert microphone.append(b"\1") == b""
    assert microphone.append(b"\2\3") == b"\1\2"
    assert microphone.append(b"\4\5\6") == b"\3\4\5\6"
    assert microphone.buffered_ms == pytest.approx(3 / 24)


def test_a_commit_needs_100_ms_and_empties_the_buffer(microphone):
    microphone.append(pcm(100)[:-2])
    with pytest.raises(Refused, match=r"buffer only has 99\.96ms of audio"):
        microphone.commit()
    microphone.append(b"\0\0")
    assert microphone.commit() == "item_1"
    with pytest.raises(Refused, match=r"buffer only has 0\.00ms of audio"):
        microphone.commit()


def test_an_utterance_keeps_its_item_from_start_to_words(microphone):
    microphone.append(pcm(1000))
    assert microphone.started("u1") == "item_1"
    assert microphone.stopped("u1", 900) == "item_1"
    assert microphone.buffered_ms == 100
    assert microphone.item_of("u1") == "item_1"
    microphone.forget("u1")
    assert microphone.item_of("u1") is None


def test_a_commit_in_mid_speech_takes_the_announced_item(microphone):
    microphone.append(pcm(500))
    microphone.started("u1")
    assert microphone.commit() == "item_1"
    assert microphone.stopped("u1", 500) is None
    assert microphone.item_of("item_1") == "item_1"


def test_the_end_of_speech_that_was_abandoned_is_nobodys(microphone):
    microphone.append(pcm(500))
    microphone.started("u1")
    microphone.abandon()
    assert microphone.stopped("u1", 400) is None
    assert microphone.item_of("u1") is None
    assert microphone.buffered_ms == 500


def test_clearing_drops_audio_speech_and_half_a_sample(microphone):
    microphone.append(pcm(500) + b"\1")
    microphone.started("u1")
    microphone.clear()
    assert microphone.buffered_ms == 0
    assert microphone.utterance is None
    assert microphone.append(b"\2") == b""


def test_an_end_of_speech_ahead_of_the_audio_empties_the_buffer(microphone):
    microphone.append(pcm(100))
    microphone.started("u1")
    microphone.stopped("u1", 5000)
    assert microphone.buffered_ms == 0
