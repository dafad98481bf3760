import pytest
from google.protobuf.duration_pb2 import Duration

from mesh.errors import Rejected
from ovos.common.v1 import common_pb2
from ovos.tts.v1 import tts_pb2 as pb
from tts_service import wire
from tts_service.engine import Manner, Voice, Word
from tts_service.speech import Audio, Began, Cancelled, Degraded, Ended


def pcm(rate_hz: int = 24_000, **fields) -> common_pb2.AudioFormat:
    encoding = fields.pop("encoding", common_pb2.AUDIO_ENCODING_PCM_S16LE)
    return common_pb2.AudioFormat(encoding=encoding, sample_rate_hz=rate_hz, **fields)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000, 48_000])
def test_speech_rates_are_taken(rate_hz):
    assert wire.rate_of(pcm(rate_hz)) == rate_hz


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        (common_pb2.AudioFormat(), "audio_format.encoding"),
        (pcm(encoding=common_pb2.AUDIO_ENCODING_OPUS), "audio_format.encoding"),
        (pcm(channels=2), "audio_format.channels"),
        (pcm(0), "audio_format.sample_rate_hz"),
        (pcm(96_000), "audio_format.sample_rate_hz"),
    ],
)
def test_other_formats_are_refused(asked, param):
    with pytest.raises(Rejected) as refused:
        wire.rate_of(asked)
    assert refused.value.param == param


def test_an_unset_speed_is_normal():
    assert wire.manner_of(pb.VoiceSelection(voice_id="alloy")) == Manner("alloy", "", 1.0)


@pytest.mark.parametrize("speed", [0, 0.2, 4.1, float("nan")])
def test_a_speed_out_of_bounds_is_refused(speed):
    with pytest.raises(Rejected, match="speeds"):
        wire.manner_of(pb.VoiceSelection(speaking_rate=speed))


@pytest.mark.parametrize("chunk_ms", [0, 5, 300])
def test_a_chunk_out_of_bounds_is_refused(chunk_ms):
    chunk = Duration()
    chunk.FromMilliseconds(chunk_ms)
    with pytest.raises(Rejected, match="chunks"):
        wire.speech_of(pb.StreamingSynthesisConfig(audio_format=pcm(), chunk_duration=chunk))


def test_a_config_says_how_speech_is_sent():
    config = pb.StreamingSynthesisConfig(audio_format=pcm(8_000))
    config.chunk_duration.FromMilliseconds(100)
    config.credit.allowed_until_sample = 800
    config.segmentation = pb.SEGMENTATION_MODE_MANUAL
    speech = wire.speech_of(config)
    speech.say("One. Two.", 1)
    assert speech.next_work() is None
    speech.flush()
    work = speech.next_work()
    speech.add(work.key, bytes(4000), ())
    speech.take()
    assert len(speech.take().pcm) == 1600
    assert speech.take() is None


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        (Began(1, "Hi.", 7), {"segment_started": {"segment": 1, "text": "Hi.", "start_char": 7}}),
        (
            Audio(1, b"ab", 3, 40),
            {"audio": {"segment": 1, "chunk": {"data": b"ab", "sequence": 3, "first_sample": 40}}},
        ),
        (
            Ended(1, 60, (Word(0, 2, 5),)),
            {
                "segment_finished": {
                    "segment": 1,
                    "end_sample": 60,
                    "words": [{"start_char": 0, "end_char": 2, "start_sample": 5}],
                }
            },
        ),
        (
            Degraded("a", "b", "why"),
            {"degraded": {"failed_engine": "a", "serving_engine": "b", "reason": "why"}},
        ),
        (Cancelled("c", 9), {"cancelled": {"cancel_id": "c", "sent_until_sample": 9}}),
    ],
)
def test_every_event_has_its_message(event, payload):
    assert wire.response_of(event) == pb.StreamingSynthesizeResponse(**payload)


def test_voices_are_listed_with_engine_and_rate():
    [voice] = wire.voices_of("fake", 22_050, [Voice("a", "Ann", ("en-us",))])
    assert voice == pb.Voice(
        voice_id="a",
        display_name="Ann",
        language_codes=["en-us"],
        engine="fake",
        native_sample_rate_hz=22_050,
    )
