import dataclasses

import pytest
from prometheus_client import REGISTRY

from tts_service.engine import Word
from tts_service.openers import ENTRY_BYTES, LONGEST_CHARS, Opener, Openers
from tts_service.progress import Sound

SURE = Opener("acme", "fake", "hum", 1.0, 24_000, "Sure.")


def named(text: str) -> Opener:
    return dataclasses.replace(SURE, text=text)


def sounds(n_bytes: int) -> list[Sound]:
    return [Sound(bytes(n_bytes))]


def count(result: str) -> float:
    return REGISTRY.get_sample_value("tts_openers_total", {"result": result}) or 0.0


def test_what_was_kept_is_found_whole():
    openers = Openers(100_000)
    openers.keep(SURE, 1.0, [Sound(b"ab", (Word(0, 4, 0),)), Sound(b"cd"), Sound(b"")])
    assert openers.find(SURE, 1.0) == Sound(b"abcd", (Word(0, 4, 0),))


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Opener)])
def test_nothing_that_its_sound_depends_on_and_no_tenant_is_mixed_up(field):
    openers = Openers(100_000)
    openers.keep(SURE, 1.0, sounds(2))
    value = getattr(SURE, field)
    other = value + "x" if isinstance(value, str) else value * 2
    assert openers.find(dataclasses.replace(SURE, **{field: other}), 1.0) is None


def test_the_longest_unused_makes_room():
    openers = Openers(3 * (ENTRY_BYTES + 100))
    for text in "abc":
        openers.keep(named(text), 1.0, sounds(100))
    openers.find(named("a"), 1.0)
    openers.keep(named("d"), 1.0, sounds(100))
    assert [text for text in "abcd" if openers.find(named(text), 1.0)] == [*"acd"]
    assert openers.n_bytes == 3 * (ENTRY_BYTES + 100)


def test_it_never_takes_more_than_it_may():
    openers = Openers(10 * ENTRY_BYTES)
    for n in range(100):
        openers.keep(named(str(n)), 1.0, sounds(n * 150))
        assert openers.n_bytes <= 10 * ENTRY_BYTES
    openers.keep(named("small"), 1.0, sounds(10))
    openers.keep(named("small"), 1.0, sounds(20))
    assert len(openers.find(named("small"), 1.0).pcm) == 20


def test_what_would_take_all_room_is_not_kept():
    openers = Openers(2 * ENTRY_BYTES)
    openers.keep(SURE, 1.0, sounds(100))
    openers.keep(named("x"), 1.0, sounds(2 * ENTRY_BYTES))
    assert openers.find(SURE, 1.0) is not None


def test_another_loudness_is_made_anew():
    openers = Openers(100_000)
    openers.keep(SURE, 1.0, sounds(2))
    assert openers.find(SURE, 1.1) is not None
    assert openers.find(SURE, 1.2) is None
    assert openers.find(SURE, 0.8) is None


def test_only_short_texts_are_kept_and_none_when_there_is_no_room():
    assert Openers(1).takes("x" * LONGEST_CHARS)
    assert not Openers(1).takes("x" * (LONGEST_CHARS + 1))
    assert not Openers(0).takes("x")


def test_hits_and_misses_are_counted():
    openers, before = Openers(100_000), (count("hit"), count("miss"))
    openers.find(SURE, 1.0)
    openers.keep(SURE, 1.0, sounds(2))
    openers.find(SURE, 1.0)
    openers.find(SURE, 1.0)
    assert (count("hit") - before[0], count("miss") - before[1]) == (2, 1)
