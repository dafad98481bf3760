import pytest

from mesh.chain import Chain
from mesh.errors import Broken, Rejected
from ovos.common.v1 import common_pb2
from ovos.stt.v1 import stt_pb2 as pb
from stt_service.endpointing import Settings
from stt_service.recording import recognised, wishes_of
from stt_service.worker import Worker
from tests.fakes.stt import FakeEngine
from tests.unit.stt_service.test_listener import LoudIsSpeech, loud, quiet

RATE_HZ = 16_000
FORMAT = common_pb2.AudioFormat(
    encoding=common_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hz=RATE_HZ, channels=1
)
VAD = Settings(prefix_ms=64, silence_ms=96)
MANUAL = pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_MANUAL)


async def heard(
    pcm: bytes, engine: FakeEngine | None = None, piece=9999, **config
) -> pb.Transcript:
    worker = Worker(Chain({"fake": engine or FakeEngine()}), LoudIsSpeech(), max_waiting=9)
    wishes, rate_hz = wishes_of(pb.SubmissionConfig(audio_format=FORMAT, **config), VAD)

    async def audio():
        for at in range(0, len(pcm), 2 * piece):
            yield pcm[at : at + 2 * piece]

    try:
        return await recognised(worker, wishes, rate_hz, audio())
    finally:
        await worker.close()


async def test_a_recording_is_cut_at_its_pauses():
    engine = FakeEngine()
    pcm = (quiet(10) + loud(20) + quiet(10)) * 3
    transcript = await heard(pcm, engine)
    assert len(engine.asked) == 3
    assert transcript.text.count("tenths") == 3
    assert transcript.is_final
    assert (transcript.start_sample, transcript.end_sample) == (0, len(pcm) // 2)


async def test_words_have_their_place_in_the_recording():
    pcm = (quiet(30) + loud(20) + quiet(30)) * 2
    words = (await heard(pcm, recognition={"word_timestamps": True})).words
    assert len(words) == 2
    half = len(pcm) // 4
    assert 0 < words[0].start_sample < words[0].end_sample <= half < words[1].start_sample


async def test_speech_at_the_end_is_heard_though_no_pause_follows():
    assert "tenths" in (await heard(quiet(10) + loud(20))).text


async def test_by_hand_it_is_one_utterance():
    engine = FakeEngine()
    transcript = await heard(bytes(2 * RATE_HZ), engine, endpointing=MANUAL)
    assert (transcript.text, len(engine.asked)) == ("10 tenths", 1)


async def test_silence_has_no_words():
    assert (await heard(quiet(50))).text == ""


async def test_one_utterance_without_text_fails_all_of_it():
    engine = FakeEngine(failures=2)
    with pytest.raises(Broken):
        await heard((quiet(10) + loud(20) + quiet(10)) * 2, engine)


async def test_half_a_sample_is_refused():
    with pytest.raises(Rejected):
        await heard(b"\1\0\1", endpointing=MANUAL)
