from __future__ import annotations

import itertools

import pytest

from gateway.realtime.microphone import Heard, Microphone
from gateway.realtime.refusals import Refused
from gateway.realtime.settings import Pcm, Pcma, Pcmu
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
    assert microphone.commit() == Heard("item_1", 0, 100)
    with pytest.raises(Refused, match=r"buffer only has 0\.00ms of audio"):
        microphone.commit()


def test_an_utterance_keeps_its_item_from_start_to_end(microphone):
    microphone.append(pcm(1000))
    assert microphone.started("u1", 300) == "item_1"
    assert microphone.stopped("u1", 900) == Heard("item_1", 300, 900)
    assert microphone.buffered_ms == 100
    assert microphone.stopped("u1", 900) is None


def test_a_commit_in_mid_speech_takes_the_announced_item(microphone):
    microphone.append(pcm(500))
    microphone.started("u1", 200)
    assert microphone.commit() == Heard("item_1", 200, 500)
    assert microphone.stopped("u1", 500) is None


def test_the_end_of_speech_that_was_abandoned_is_nobodys(microphone):
    microphone.append(pcm(500))
    microphone.started("u1", 0)
    microphone.abandon()
    assert microphone.stopped("u1", 400) is None
    assert microphone.buffered_ms == 500


def test_clearing_drops_audio_speech_and_half_a_sample(microphone):
    microphone.append(pcm(500) + b"\1")
    microphone.started("u1", 0)
    microphone.clear()
    assert microphone.buffered_ms == 0
    assert microphone.utterance is None
    assert microphone.append(b"\2") == b""


def test_silence_becomes_an_item(microphone):
    microphone.append(pcm(7000))
    assert microphone.timed_out(900) == Heard("item_1", 900, 7000)
    assert microphone.buffered_ms == 0


@pytest.mark.parametrize("format_", [Pcmu(), Pcma()])
def test_telephone_audio_is_counted_in_its_own_time(microphone, format_):
    microphone.tune(format_)
    audio = microphone.append(bytes(801))
    assert len(audio) == 801 * 3 * 2
    assert microphone.buffered_ms == pytest.approx(801 / 8)
    microphone.tune(Pcm())
    assert microphone.append(b"\1\2") == b"\1\2"


def test_an_utterance_can_be_cut_from_the_tape():
    microphone = Microphone(str, kept_ms=1000)
    microphone.append(pcm(500))
    assert microphone.tape.cut(100, 300) == pcm(200)


def test_an_end_of_speech_ahead_of_the_audio_empties_the_buffer(microphone):
    microphone.append(pcm(100))
    microphone.started("u1", 0)
    microphone.stopped("u1", 5000)
    assert microphone.buffered_ms == 0


def test_a_commit_leaves_no_fraction_of_a_millisecond(microphone):
    microphone.append(pcm(100) + bytes(24))
    assert microphone.commit().end_ms == 100
    with pytest.raises(Refused, match=r"buffer only has 0\.00ms of audio"):
        microphone.commit()


def test_the_next_utterance_is_another_item(microphone):
    microphone.append(pcm(500))
    assert microphone.started("u1", 0) == "item_1"
    microphone.abandon()
    assert microphone.started("u2", 200) == "item_2"
    assert microphone.commit().item_id == "item_2"
    microphone.append(pcm(500))
    assert microphone.commit().item_id == "item_3"


@pytest.mark.parametrize("format_", [Pcmu(), Pcma()])
def test_a_commit_of_telephone_audio_needs_800_bytes(microphone, format_):
    microphone.tune(format_)
    microphone.append(bytes(799))
    with pytest.raises(Refused, match=r"buffer only has 99\.88ms of audio"):
        microphone.commit()
    microphone.append(bytes(1))
    assert microphone.commit() == Heard("item_1", 0, 100)


def test_half_a_sample_does_not_outlive_its_format(microphone):
    microphone.append(b"\1")
    microphone.tune(Pcmu())
    microphone.tune(Pcm())
    assert microphone.append(b"\2\3") == b"\2\3"


def test_half_a_sample_does_not_outlive_its_commit(microphone):
    microphone.append(pcm(200) + b"\1")
    microphone.commit()
    assert microphone.append(b"\2\3") == b"\2\3"
