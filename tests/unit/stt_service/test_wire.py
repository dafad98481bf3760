from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration

from mesh.errors import Broken, Rejected
from ovos.common.v1 import common_pb2
from ovos.stt.v1 import stt_pb2 as pb
from stt_service import hearing, wire
from stt_service.denoise import NoiseReduction
from stt_service.endpointing import Settings
from stt_service.engine import Heard, How, Word
from stt_service.listener import Wishes
from stt_service.turn_taking import Eagerness


def ms(milliseconds: int) -> Duration:
    duration = Duration()
    duration.FromTimedelta(timedelta(milliseconds=milliseconds))
    return duration


WISHES = Wishes(settings=Settings(threshold=0.7), how=How(language="en"), model="m", interim=True)


def test_what_a_config_leaves_unset_is_the_tiers_default():
    defaults = Settings(threshold=0.4, prefix_ms=1, silence_ms=2, max_utterance_ms=3)
    wishes = wire.wishes_of(pb.StreamingRecognitionConfig(), defaults)
    assert wishes == Wishes(settings=defaults, how=How())


def test_a_config_is_read():
    config = pb.StreamingRecognitionConfig(
        recognition=pb.RecognitionConfig(
            model="base.en", language_code="en-US", prompt="p", hints=["a", "b"],
            word_timestamps=True,
        ),
        endpointing=pb.EndpointingConfig(
            mode=pb.ENDPOINTING_MODE_SERVER_VAD, threshold=0.25, prefix_padding=ms(100),
            silence_duration=ms(700), max_utterance=ms(9000),
        ),
        interim_results=True,
    )  # fmt: skip
    assert wire.wishes_of(config, Settings()) == Wishes(
        settings=Settings(
            server_vad=True, threshold=0.25, prefix_ms=100, silence_ms=700, max_utterance_ms=9000
        ),
        how=How(language="en-US", prompt="p", hints=("a", "b"), word_timestamps=True),
        model="base.en",
        interim=True,
    )


def test_a_threshold_or_padding_of_zero_is_not_unset():
    config = pb.EndpointingConfig(threshold=0.0, prefix_padding=ms(0), silence_duration=ms(0))
    settings = wire.settings_of(config, Settings())
    assert (settings.threshold, settings.prefix_ms, settings.silence_ms) == (0.0, 0, 0)


def test_more_than_is_kept_is_not_promised():
    config = pb.EndpointingConfig(prefix_padding=ms(60_000), max_utterance=ms(10**7))
    settings = wire.settings_of(config, Settings())
    assert settings.prefix_ms == wire.MAX_PREFIX_MS
    assert settings.max_utterance_ms == wire.MAX_UTTERANCE_MS


@pytest.mark.parametrize(
    ("config", "param"),
    [
        (pb.EndpointingConfig(threshold=-0.1), "threshold"),
        (pb.EndpointingConfig(threshold=float("nan")), "threshold"),
        (pb.EndpointingConfig(prefix_padding=ms(-1)), "prefix_padding"),
        (pb.EndpointingConfig(silence_duration=ms(-1)), "silence_duration"),
        (pb.EndpointingConfig(max_utterance=ms(-1)), "max_utterance"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(config, param):
    with pytest.raises(Rejected) as refused:
        wire.settings_of(config, Settings())
    assert refused.value.param == f"endpointing.{param}"


def test_an_update_changes_what_it_sets():
    assert wire.updated(WISHES, pb.RecognitionUpdate()) == WISHES
    changed = wire.updated(WISHES, pb.RecognitionUpdate(interim_results=False))
    assert (changed.interim, changed.how, changed.settings) == (False, WISHES.how, WISHES.settings)
    manual = pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_MANUAL)
    changed = wire.updated(WISHES, pb.RecognitionUpdate(endpointing=manual))
    assert changed.settings == Settings(server_vad=False, threshold=0.7)
    german = pb.RecognitionConfig(language_code="de")
    changed = wire.updated(WISHES, pb.RecognitionUpdate(recognition=german))
    assert (changed.how, changed.model) == (How(language="de"), "")


def test_semantic_detection_has_an_eagerness():
    def settings(before: Settings, **config) -> Settings:
        return wire.settings_of(pb.EndpointingConfig(**config), before)

    semantic = pb.ENDPOINTING_MODE_SEMANTIC_VAD
    low = settings(Settings(), mode=semantic, eagerness=pb.EAGERNESS_LOW)
    assert low == Settings(semantic=True, eagerness=Eagerness.LOW)
    assert settings(low, silence_duration=ms(7)).eagerness is Eagerness.LOW
    high = settings(low, eagerness=pb.EAGERNESS_HIGH)
    assert (high.semantic, high.eagerness) == (True, Eagerness.HIGH)
    assert settings(low, mode=semantic) == Settings(semantic=True)  # unset is medium
    assert not settings(low, mode=pb.ENDPOINTING_MODE_SERVER_VAD).semantic
    manual = settings(low, mode=pb.ENDPOINTING_MODE_MANUAL)
    assert (manual.server_vad, manual.semantic) == (False, False)


def test_noise_reduction_is_read_and_an_update_without_it_takes_it_away():
    far = pb.NoiseReduction(place=pb.MICROPHONE_PLACE_FAR_FIELD, strength=0.5)
    config = pb.StreamingRecognitionConfig(recognition=pb.RecognitionConfig(noise_reduction=far))
    wishes = wire.wishes_of(config, Settings())
    assert wishes.noise == NoiseReduction(far=True, strength=0.5)
    assert wire.updated(wishes, pb.RecognitionUpdate(interim_results=True)).noise == wishes.noise
    plain = pb.RecognitionUpdate(recognition=pb.RecognitionConfig())
    assert wire.updated(wishes, plain).noise is None
    near = pb.RecognitionConfig(noise_reduction=pb.NoiseReduction())
    assert wire.noise_of(near) == NoiseReduction(far=False, strength=1.0)
    for strength in (-0.1, 1.1, float("nan")):
        config = pb.RecognitionConfig(noise_reduction=pb.NoiseReduction(strength=strength))
        with pytest.raises(Rejected) as refused:
            wire.noise_of(config)
        assert refused.value.param == "recognition.noise_reduction.strength"


def test_what_is_heard_becomes_its_message():
    started = wire.response_of(hearing.Started("utt_1", 7)).speech_started
    assert (started.utterance_id, started.start_sample) == ("utt_1", 7)
    stopped = wire.response_of(hearing.Stopped("utt_1", 9)).speech_stopped
    assert (stopped.utterance_id, stopped.end_sample) == ("utt_1", 9)
    failed = wire.response_of(hearing.Failed("utt_1", Broken("no"))).utterance_failed
    assert (failed.utterance_id, failed.error.code) == ("utt_1", common_pb2.ERROR_CODE_INTERNAL)
    guess = wire.response_of(hearing.Guessed("utt_1", "hel", 1, 2, 7, 8)).transcript
    assert guess == pb.Transcript(
        utterance_id="utt_1", text="hel", stable_chars=1, revision=2, start_sample=7, end_sample=8
    )


def test_a_final_transcript_has_words_and_usage():
    heard = Heard(text="hi", language="en", confidence=0.5, words=(Word("hi", 1, 2, 0.25),))
    final = wire.response_of(hearing.Final("utt_1", heard, 3, 10, 30)).transcript
    assert final == pb.Transcript(
        utterance_id="utt_1", text="hi", is_final=True, stable_chars=2, confidence=0.5,
        language_code="en", words=[pb.Word(text="hi", start_sample=1, end_sample=2,
        confidence=0.25)], start_sample=10, end_sample=30, revision=3,
        usage=common_pb2.Usage(input_audio_samples=20),
    )  # fmt: skip
    plain = wire.response_of(hearing.Final("utt_1", Heard(text=""), 1, 0, 0)).transcript
    assert not plain.HasField("confidence")
