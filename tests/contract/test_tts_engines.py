"""What every TTS engine must do. Each line of ENGINES is run through all of it: espeak as it
is, Kokoro and Piper with tiny models that have the real ones' inputs and outputs, and the
fake that other tests use."""

import shutil
import threading
from pkgutil import resolve_name

import numpy as np
import pytest
from faster_whisper.vad import get_speech_timestamps
from pocketsphinx import Decoder

from mesh.audio import resample, to_float32
from mesh.errors import NotInstalled
from mesh.threads import ModelThreads
from tests.contract import tts_models
from tests.fakes.tts import FakeEngine, WatchedHalt
from tts_service.app import load
from tts_service.config import Config
from tts_service.engine import FASTEST, SLOWEST, CannotSay, Halt, Manner
from tts_service.engines import ENGINES
from tts_service.loudness import Levels
from tts_service.voices import OPENAI_NAMES
from tts_service.worker import Worker

TEXT = "Hello there, how are you doing today?"
SECOND = 16_000


@pytest.fixture(scope="session")
def config(tmp_path_factory) -> Config:
    models_dir = tmp_path_factory.mktemp("models")
    tts_models.kokoro(models_dir)
    tts_models.piper(models_dir, speakers=tts_models.SPEAKERS)
    return Config(models_dir=models_dir)


@pytest.fixture(scope="session", params=[*ENGINES, "fake"])
def engine(request, config):
    name = request.param
    return FakeEngine() if name == "fake" else resolve_name(ENGINES[name])(config)


def said(engine, text: str = TEXT, manner: Manner | None = None) -> np.ndarray:
    pieces = engine.synthesize(text, manner or Manner(), Halt())
    return np.concatenate([piece.samples for piece in pieces])


def test_it_makes_float_samples_of_about_the_length_of_the_text(engine):
    samples = said(engine)
    assert samples.dtype == np.float32
    assert np.abs(samples).max() <= 1
    assert np.sqrt(np.mean(samples**2)) > 0.01
    assert 0.5 < len(samples) / engine.sample_rate_hz < 12
    assert len(said(engine, TEXT + " " + TEXT)) > 1.5 * len(samples)


@pytest.mark.parametrize("speed", [SLOWEST, 0.5, 2.0, FASTEST])
def test_speed_changes_the_length(engine, speed):
    assert len(said(engine, manner=Manner(speed=speed))) * speed == pytest.approx(
        len(said(engine)), rel=0.2
    )


def test_every_name_of_openais_is_a_voice_and_unknown_is_the_default(engine):
    listed = [voice.voice_id for voice in engine.voices]
    assert len(set(listed)) == len(listed)
    for name in OPENAI_NAMES:
        assert engine.voice_for(Manner(name)) in listed
    for name in ("", "no-such-voice", "../../etc/passwd"):
        assert engine.voice_for(Manner(name)) == listed[0]
    assert engine.voice_for(Manner(listed[-1])) == listed[-1]


def test_voices_sound_different(engine):
    first, last = engine.voices[0].voice_id, engine.voices[1].voice_id
    if isinstance(engine, FakeEngine):
        return  # it hums on one note
    one, other = said(engine, manner=Manner(first)), said(engine, manner=Manner(last))
    assert len(one) != len(other) or not np.allclose(one, other, atol=0.01)


def test_a_language_is_spoken_by_a_voice_of_it_or_not_at_all(engine):
    assert engine.voice_for(Manner("alloy", "en-GB")) in [
        v.voice_id for v in engine.voices if v.languages[0].startswith("en")
    ]
    try:
        voice = engine.voice_for(Manner("alloy", "xx"))
    except CannotSay:
        return
    pytest.fail(f"{voice} was chosen for a language that does not exist")


def test_words_lie_in_the_text_and_in_the_audio_in_order(engine):
    pieces = list(engine.synthesize(TEXT, Manner(), Halt()))
    words = [word for piece in pieces for word in piece.words]
    n_samples = sum(len(piece.samples) for piece in pieces)
    assert words == sorted(words, key=lambda word: (word.start_sample, word.start_char))
    for word in words:
        assert 0 <= word.start_char < word.end_char <= len(TEXT)
        assert 0 <= word.start_sample < n_samples
    if words:
        assert [TEXT[w.start_char : w.end_char] for w in words] == TEXT.split()


def test_it_ends_without_an_error_when_told_to_stop(engine):
    halt = Halt()
    pieces = engine.synthesize(TEXT, Manner(), halt)
    next(pieces)
    halt.stop()
    assert list(pieces) == []


def test_told_to_stop_before_it_starts_it_says_nothing(engine):
    halt = Halt()
    halt.stop()
    assert list(engine.synthesize(TEXT, Manner(), halt)) == []


def test_it_speaks_again_after_a_stop(engine):
    halt = Halt()
    halt.stop()
    list(engine.synthesize(TEXT, Manner(), halt))
    assert len(said(engine)) > engine.sample_rate_hz // 2


def test_an_inference_that_takes_minutes_stops_at_once(tmp_path):
    tts_models.kokoro(tmp_path, endless=True)
    kokoro = resolve_name(ENGINES["kokoro"])(Config(models_dir=tmp_path))
    halt = WatchedHalt()
    result = []
    thread = threading.Thread(target=lambda: result.extend(kokoro.synthesize(TEXT, Manner(), halt)))
    thread.start()
    assert halt.at_work.wait(5)
    halt.stop()
    thread.join(5)
    assert not thread.is_alive()
    assert result == []


def test_engines_that_share_espeak_do_not_disturb_each_other(config):
    kokoro, piper, espeak = (resolve_name(ENGINES[name])(config) for name in ENGINES)
    alone = {each: len(said(each)) for each in (espeak, kokoro, piper)}
    for _ in range(3):
        for each in (espeak, kokoro, piper):
            said(each, "Guten Tag!", Manner("onyx"))
            said(espeak, "Guten Tag!", Manner("coral", "de", 3.0))
            assert len(said(each)) == pytest.approx(alone[each], abs=each.sample_rate_hz // 100)


@pytest.mark.parametrize("name", ["kokoro", "piper"])
def test_missing_or_broken_weights_are_not_installed(name, tmp_path):
    kind = resolve_name(ENGINES[name])
    with pytest.raises(NotInstalled, match="voicemesh models pull"):
        kind(Config(models_dir=tmp_path))
    getattr(tts_models, name)(tmp_path)
    [model] = tmp_path.glob("*/*.onnx")
    model.write_bytes(b"<html>not a model</html>")
    with pytest.raises(NotInstalled, match="does not load"):
        kind(Config(models_dir=tmp_path))


def test_the_chain_has_what_is_installed_and_says_why_the_rest_is_absent(config, tmp_path):
    chain = load(Config(models_dir=tmp_path), Levels())
    assert chain.names == ["espeak"]
    assert set(chain.absent) == {"kokoro", "piper"}
    shutil.copytree(config.models_dir / "piper", tmp_path / "piper")
    assert load(Config(models_dir=tmp_path), Levels()).names == ["piper", "espeak"]
    assert load(config, Levels()).names == ["kokoro", "piper", "espeak"]


@pytest.fixture(scope="session")
def decoder():
    return Decoder(lm=None, loglevel="FATAL")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TEXT, "hello there how are you doing today"),
        ("It is 3:45 PM.", "it is three forty five p m"),
        ("The answer is 3.14.", "the answer is three point one four"),
        ("**12 times 4** is 48.", "twelve times four is forty eight"),
        ("I can tell you the time, the date, and do simple arithmetic.", None),
        ("You said: what time is it in london today", None),
    ],
)
async def test_what_espeak_says_is_the_text(config, decoder, text, words):
    """A recogniser's forced alignment of the text to the audio succeeds, and Silero hears
    speech in it for about as long as it lasts."""
    threads = ModelThreads("test")
    worker = Worker(load(Config(engines=("espeak",)), Levels()), threads, Levels())
    pcm = b""
    async for sound in worker.speaker(Manner("marin"), 24_000).speak(text, 300):
        pcm += sound.pcm
    await threads.close()
    pcm = resample(pcm, 24_000, SECOND)
    if words is None:
        words = "".join(c for c in text.lower() if c.isalpha() or c == " ")
    decoder.set_align_text(words)
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    assert decoder.hyp().hypstr == words
    around = np.concatenate([np.zeros(SECOND // 2, np.float32), to_float32(pcm)])
    heard = get_speech_timestamps(around)
    assert sum(span["end"] - span["start"] for span in heard) > 0.6 * len(pcm) / 2
