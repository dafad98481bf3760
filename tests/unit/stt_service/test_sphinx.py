import importlib.util
import threading

import pytest

from mesh.audio import resample
from mesh.errors import NotInstalled
from stt_service import sphinx
from stt_service.sphinx import Decoder
from tests.e2e.speech import recording

NEUTRAL = "40,3,-1,0,0,0,0,0,0,0,0,0,0"


def distance(one: str, other: str) -> float:
    pairs = zip(one.split(","), other.split(","), strict=True)
    return max(abs(float(a) - float(b)) for a, b in pairs)


@pytest.fixture(scope="module")
def decoder():
    decoder = Decoder({"fwdflat": False})
    yield decoder
    decoder.free()


@pytest.fixture(scope="module")
def speech() -> bytes:
    return resample(recording("good_morning"), 24_000, 16_000)


def test_it_decodes(decoder, speech):
    decoder.start(decoder.mean())
    decoder.feed(speech)
    decoder.end()
    assert decoder.text() == "good morning"
    words = [s for s in decoder.segments() if not s.word.startswith(("<", "["))]
    assert [segment.word for segment in words] == ["good", "morning"]
    assert all(-2 < word.logprob <= 0 for word in words)
    assert 0 < words[0].first_frame < words[0].last_frame < words[1].last_frame < len(speech) / 320


def test_the_mean_follows_what_was_heard(decoder, speech):
    decoder.start(NEUTRAL)
    decoder.feed(speech)
    decoder.end()
    heard = decoder.mean()
    assert heard != NEUTRAL
    decoder.start(heard)
    decoder.feed(speech)
    decoder.end()
    assert distance(decoder.mean(), heard) < distance(heard, NEUTRAL)


def test_nothing_heard_is_no_text(decoder):
    decoder.start(decoder.mean())
    decoder.end()
    assert decoder.text() == ""
    assert decoder.segments() == []


def test_misuse_is_an_error(decoder):
    with pytest.raises(RuntimeError):
        decoder.end()


def test_other_threads_run_while_it_decodes(decoder, speech):
    """The reason why it is not pocketsphinx.Decoder."""
    decoding, ticks = threading.Event(), []

    def decode() -> None:
        decoder.start(decoder.mean())
        decoding.set()
        decoder.feed(speech * 2)
        decoder.end()
        decoding.clear()

    thread = threading.Thread(target=decode)
    thread.start()
    decoding.wait(10)
    while decoding.is_set() and len(ticks) < 1000:
        ticks.append(None)
    assert len(ticks) == 1000
    thread.join()


def test_without_the_wheel_it_is_not_installed(monkeypatch):
    sphinx._library.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NotInstalled, match="pip install pocketsphinx"):
        Decoder({})


def test_a_wheel_that_hides_its_functions_is_not_installed(monkeypatch):
    sphinx._library.cache_clear()
    real = importlib.util.find_spec("_ctypes")
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, find=importlib.util.find_spec: (
            real if name.endswith(".so_") else find("_ctypes")
        ),
    )
    with pytest.raises(NotInstalled, match="does not export"):
        Decoder({})
    sphinx._library.cache_clear()


def test_nothing_is_logged_least_of_all_words(capfd, speech):
    decoder = Decoder({"fwdflat": False})
    try:
        for pcm in (b"", bytes(640), speech):  # of nothing, it would complain
            decoder.start(NEUTRAL)
            decoder.feed(pcm)
            decoder.end()
            decoder.text()
    finally:
        decoder.free()
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
