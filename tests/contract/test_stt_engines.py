"""What every STT engine must do. Each line of ENGINES is run through all of it: PocketSphinx
as it is, Whisper with a tiny model that says one thing, and the fake that other tests use."""

import shutil
import threading
from pkgutil import resolve_name

import pytest

from mesh.audio import SAMPLE_BYTES, n_samples, resample
from mesh.errors import NotInstalled, Unavailable
from stt_service.app import load
from stt_service.config import Config
from stt_service.details import added
from stt_service.engine import RATE_HZ, How, knows
from stt_service.engines import ENGINES
from stt_service.speakers import Voices
from tests.contract import whisper_model
from tests.e2e.speech import recording
from tests.fakes.stt import FakeEngine, text_of

FRAME_BYTES = RATE_HZ // 50 * SAMPLE_BYTES
SPOKEN = ["what time is it in london today", "what is the weather in paris", "good morning"]


@pytest.fixture(scope="session")
def config(tmp_path_factory) -> Config:
    models_dir = tmp_path_factory.mktemp("models")
    whisper_model.make(models_dir)
    return Config(models_dir=models_dir, pocketsphinx_decoders=3, whisper_batch=3)


@pytest.fixture(scope="session", params=[*ENGINES, "fake"])
def engine(request, config):
    name = request.param
    engine = FakeEngine() if name == "fake" else resolve_name(ENGINES[name])(config)
    yield engine
    engine.close()


def speech(text: str) -> bytes:
    return resample(recording(text.replace(" ", "_")), 24_000, RATE_HZ)


def expected(engine, text: str) -> str:
    """What the engine makes of the recording of a text."""
    if isinstance(engine, FakeEngine):
        return text_of(n_samples(speech(text)))
    return text if engine.model.startswith("pocketsphinx") else whisper_model.SAYS


def frames(pcm: bytes) -> list[bytes]:
    return [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm), FRAME_BYTES)]


def heard(ear, pcm: bytes, how: How | None = None):
    recognizer = ear.recognizer(how or How())
    try:
        for frame in frames(pcm):
            recognizer.feed(frame)
        return recognizer.finish()
    finally:
        recognizer.close()


@pytest.mark.parametrize("text", SPOKEN)
def test_it_hears_what_is_said(engine, text):
    final = heard(engine.ear(), speech(text))
    assert final.text == expected(engine, text)
    assert final.language.startswith("en")
    assert final.confidence is None or 0 <= final.confidence <= 1


def test_how_the_audio_is_cut_changes_nothing(engine):
    recognizer = engine.ear().recognizer(How())
    recognizer.feed(speech(SPOKEN[0]))
    assert recognizer.finish() == heard(engine.ear(), speech(SPOKEN[0]))
    recognizer.close()


def test_one_stream_is_heard_utterance_after_utterance(engine):
    ear = engine.ear()
    for text in SPOKEN[:2] * 2:
        assert heard(ear, speech(text)).text == expected(engine, text)


def test_guesses_grow_into_the_text_and_do_not_disturb_it(engine):
    recognizer = engine.ear().recognizer(How())
    assert recognizer.guess() == "" or isinstance(engine, FakeEngine)
    guesses = []
    for n, frame in enumerate(frames(speech(SPOKEN[0]))):
        recognizer.feed(frame)
        if n % 30 == 29:
            guesses.append(recognizer.guess())
    final = recognizer.finish().text
    recognizer.close()
    assert final == expected(engine, SPOKEN[0])
    assert guesses[-1]
    assert isinstance(engine, FakeEngine) or guesses[-1].split()[0] == final.split()[0]


@pytest.mark.parametrize("pcm", [b"", bytes(2), bytes(RATE_HZ // 20)], ids=len)
def test_next_to_no_audio_is_no_text(engine, pcm):
    recognizer = engine.ear().recognizer(How())
    if pcm:
        recognizer.feed(pcm)
    assert recognizer.finish().text == (
        "" if not isinstance(engine, FakeEngine) or not pcm else text_of(n_samples(pcm))
    )
    recognizer.close()


def test_words_have_times_in_the_audio_if_they_are_asked_for(engine):
    pcm = speech(SPOKEN[1])
    assert heard(engine.ear(), pcm).words == ()
    final = heard(engine.ear(), pcm, How(word_timestamps=True))
    assert " ".join(word.text for word in final.words) == final.text == expected(engine, SPOKEN[1])
    at = 0
    for word in final.words:
        assert at <= word.start_sample < word.end_sample <= n_samples(pcm)
        assert word.confidence is None or 0 <= word.confidence <= 1
        at = word.start_sample


@pytest.mark.parametrize("wish", ["logprobs", "speakers"])
def test_what_is_made_of_words_has_its_words_and_they_are_the_text(engine, wish):
    pcm = speech(SPOKEN[1])
    final = heard(engine.ear(), pcm, How(**{wish: True}))
    asked = How(word_timestamps=True, logprobs=True, speakers=True)
    found = added(final, asked, pcm, Voices())
    assert "".join(token.text for token in found.tokens) == final.text
    assert all(token.logprob <= 0 for token in found.tokens)
    assert [segment.text for segment in found.segments] == [final.text]
    assert found.segments[0].speaker == "A"


def test_it_takes_language_prompt_and_hints(engine):
    how = How(language="en-GB", prompt="A talk about the weather.", hints=("Paris", "London"))
    assert isinstance(heard(engine.ear(), speech(SPOKEN[1]), how).text, str)
    assert knows(engine, "en")
    assert knows(engine, "en-AU")


def test_what_was_given_up_leaves_nothing_behind(engine):
    ear = engine.ear()
    for _ in range(4):
        recognizer = ear.recognizer(How())
        for frame in frames(speech(SPOKEN[0]))[:60]:
            recognizer.feed(frame)
        recognizer.close()
        recognizer.close()
    assert heard(ear, speech(SPOKEN[1])).text == expected(engine, SPOKEN[1])


def test_it_can_be_closed_while_it_works(engine):
    ear = engine.ear()
    for _ in range(4):
        recognizer = ear.recognizer(How())
        working = threading.Thread(target=recognizer.feed, args=(speech(SPOKEN[0]),))
        working.start()
        recognizer.close()
        working.join()
    assert heard(ear, speech(SPOKEN[1])).text == expected(engine, SPOKEN[1])


def test_two_streams_at_once_do_not_disturb_each_other(engine):
    found = {}

    def hear(text: str) -> None:
        found[text] = heard(engine.ear(), speech(text)).text

    threads = [threading.Thread(target=hear, args=(text,)) for text in SPOKEN[:2]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {text: expected(engine, text) for text in SPOKEN[:2]}


def test_missing_or_broken_weights_are_not_installed(config, tmp_path):
    kind = resolve_name(ENGINES["faster_whisper"])
    with pytest.raises(NotInstalled, match="voicemesh models pull"):
        kind(Config(models_dir=tmp_path))
    shutil.copytree(config.models_dir, tmp_path, dirs_exist_ok=True)
    (tmp_path / "whisper/base.en/model.bin").write_bytes(b"<html>not a model</html>")
    with pytest.raises(NotInstalled, match="do not load"):
        kind(Config(models_dir=tmp_path))


def test_the_chain_has_what_is_installed_and_says_why_the_rest_is_absent(config, tmp_path):
    chain = load(Config(models_dir=tmp_path))
    assert chain.names == ["pocketsphinx"]
    assert "voicemesh models pull" in chain.absent["faster_whisper"]
    assert load(config).names == ["faster_whisper", "pocketsphinx"]
    with pytest.raises(Unavailable, match="voicemesh models pull"):
        load(Config(models_dir=tmp_path, engines=("faster_whisper",)))
