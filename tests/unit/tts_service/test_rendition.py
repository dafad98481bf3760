import threading

import pytest
from prometheus_client import REGISTRY

from mesh.audio import n_samples, to_float32
from tests.fakes.tts import CHAR_SAMPLES, LEVEL, RATE_HZ, FakeEngine
from tts_service.engine import Manner
from tts_service.loudness import Level
from tts_service.rendition import Rendition


def cancels() -> float:
    return REGISTRY.get_sample_value("tts_cancel_seconds_count")


def test_pcm_comes_at_the_rate_and_the_loudness_asked_with_words_placed_in_it():
    rendition = Rendition("fake", FakeEngine(), Manner(), RATE_HZ * 2)
    sounds = list(rendition.sounds("One two", Level(), gain=2.0))
    pcm = b"".join(sound.pcm for sound in sounds)
    assert n_samples(pcm) == pytest.approx(7 * CHAR_SAMPLES * 2, abs=4)
    assert to_float32(pcm)[CHAR_SAMPLES] == pytest.approx(2 * LEVEL, rel=0.05)
    words = [word for sound in sounds for word in sound.words]
    assert [word.start_sample for word in words] == [0, 4 * CHAR_SAMPLES * 2]


def test_a_stop_ends_it_and_is_counted_once():
    before = cancels()
    rendition = Rendition("fake", FakeEngine(), Manner(), RATE_HZ)
    sounds = rendition.sounds("One two", Level(), gain=1.0)
    next(sounds)
    rendition.stop()
    assert n_samples(b"".join(sound.pcm for sound in sounds)) == 0
    assert cancels() == before + 1


def test_a_stop_of_what_waits_is_counted_too():
    before = cancels()
    Rendition("fake", FakeEngine(), Manner(), RATE_HZ).stop()
    assert cancels() == before + 1


def test_what_comes_to_its_end_is_no_cancel():
    before = cancels()
    list(Rendition("fake", FakeEngine(), Manner(), RATE_HZ).sounds("One", Level(), gain=1.0))
    assert cancels() == before


def test_at_work_it_gives_way_before_its_first_sound_and_that_is_no_cancel():
    before, fake = cancels(), FakeEngine(hold=True)
    rendition = Rendition("fake", fake, Manner(), RATE_HZ)
    assert not rendition.give_way()
    sounds: list = []
    thread = threading.Thread(target=lambda: sounds.extend(rendition.sounds("One", Level(), 1.0)))
    thread.start()
    assert fake.working.wait(20)
    assert rendition.give_way()
    assert not rendition.give_way()
    thread.join(20)
    assert (sounds, rendition.gave_way, cancels()) == ([], True, before)


def test_once_it_has_sounded_it_does_not_give_way():
    rendition = Rendition("fake", FakeEngine(), Manner(), RATE_HZ)
    sounds = rendition.sounds("One", Level(), gain=1.0)
    next(sounds)
    assert not rendition.give_way()
    assert n_samples(b"".join(sound.pcm for sound in sounds)) == 2 * CHAR_SAMPLES
