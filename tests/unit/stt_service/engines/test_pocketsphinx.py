"""What is PocketSphinx's own; the rest is in tests/contract/test_stt_engines.py."""

import pytest

from mesh.audio import resample
from mesh.errors import Overloaded
from stt_service.config import Config
from stt_service.engine import How
from stt_service.engines.pocketsphinx import PocketSphinx
from tests.e2e.speech import recording


@pytest.fixture(scope="module")
def engine():
    engine = PocketSphinx(Config(pocketsphinx_decoders=1))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def speech() -> bytes:
    return resample(recording("good_morning"), 24_000, 16_000)


def test_while_every_decoder_is_at_work_audio_is_kept(engine, speech):
    one, other = (engine.ear().recognizer(How()) for _ in range(2))
    one.feed(speech)
    other.feed(speech[:20_000])
    assert other.guess() == ""
    with pytest.raises(Overloaded):
        other.finish()
    assert one.finish().text == "good morning"
    one.close()
    other.feed(speech[20_000:])
    n_calls = 0
    while other.lags:
        other.feed(b"")
        n_calls += 1
    assert n_calls > 0, "what was kept is not all decoded in one call"
    assert other.finish().text == "good morning"
    other.close()


def test_what_the_microphone_sounds_like_is_kept_for_the_stream_only(engine, speech):
    ear, stranger = engine.ear(), engine.ear()
    recognizer = ear.recognizer(How())
    recognizer.feed(speech)
    recognizer.finish()
    recognizer.close()
    assert ear.mean != stranger.mean == engine.ear().mean


def test_it_says_what_it_knows(engine):
    assert list(engine.languages) == ["en-US"]
    assert engine.streaming
