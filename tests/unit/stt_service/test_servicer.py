import asyncio
from contextlib import asynccontextmanager, suppress

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from mesh.audio import n_samples
from ovos.common.v1 import common_pb2
from ovos.stt.v1 import stt_pb2 as pb
from stt_service.config import Config
from stt_service.engines.pocketsphinx import PocketSphinx
from tests.calls import drain, failure_of
from tests.e2e.speech import recording
from tests.fakes.stt import FakeEngine
from tests.unit.stt_service.tier import MANUAL, PCM24, RATE_HZ, TENANT, serving

ABORTED = grpc.StatusCode.ABORTED
INVALID = grpc.StatusCode.INVALID_ARGUMENT
TENTH = bytes(2 * RATE_HZ // 10)
SPEECH = recording("what_is_the_weather_in_paris")


@pytest.fixture
async def tier():
    async with serving(fake=FakeEngine()) as tier:
        yield tier


def session(**ref) -> common_pb2.SessionRef:
    return common_pb2.SessionRef(**{"tenant_id": "acme", "session_id": "sess_1"} | ref)


@pytest.mark.parametrize(
    ("metadata", "config", "status", "param"),
    [
        ((), {}, grpc.StatusCode.UNAUTHENTICATED, ""),
        (TENANT, {"session": session(tenant_id="evil")}, INVALID, "session.tenant_id"),
        (TENANT, {"resume_from_sample": (1 << 64) - 1}, INVALID, "resume_from_sample"),
        (TENANT, {"audio_format": common_pb2.AudioFormat(encoding=2, sample_rate_hz=8000)},
         INVALID, "audio_format.encoding"),
        (TENANT, {"audio_format": common_pb2.AudioFormat(encoding=1, sample_rate_hz=1000)},
         INVALID, "audio_format.sample_rate_hz"),
        (TENANT, {"audio_format": common_pb2.AudioFormat(encoding=1, sample_rate_hz=8000,
                                                         channels=2)},
         INVALID, "audio_format.channels"),
        (TENANT, {"endpointing": pb.EndpointingConfig(threshold=1.5)},
         INVALID, "endpointing.threshold"),
        (TENANT, {"endpointing": pb.EndpointingConfig(silence_duration=Duration(seconds=-1))},
         INVALID, "endpointing.silence_duration"),
        (TENANT, {"recognition": pb.RecognitionConfig(model="whisper-9")},
         grpc.StatusCode.NOT_FOUND, "recognition.model"),
    ],
)  # fmt: skip
async def test_a_stream_that_cannot_be_is_refused(tier, metadata, config, status, param):
    client = tier.client(metadata)
    config = {"audio_format": PCM24} | config
    with suppress(grpc.aio.AioRpcError):  # it may have been refused before it could write
        await client.send(config=pb.StreamingRecognitionConfig(**config))
    assert await failure_of(client.call) == (status, param)


async def test_the_first_message_is_config(tier):
    client = tier.client()
    await client.commit()
    assert await failure_of(client.call) == (INVALID, "config")


async def test_a_second_config_ends_the_stream(tier):
    client = await tier.client_at()
    await client.send(config=pb.StreamingRecognitionConfig(audio_format=PCM24))
    assert await failure_of(client.call) == (INVALID, "config")


async def test_it_says_who_serves_with_what(tier):
    ready = await tier.client().open()
    assert (ready.worker_id, ready.model) == (tier.server.worker_id, "fake")
    assert ready.credit.allowed_until_sample >= RATE_HZ


async def test_an_end_without_finish_leaves_nothing_transcribed(tier):
    client = await tier.client_at(endpointing=MANUAL)
    await client.hear(TENTH)
    await client.call.done_writing()
    assert await failure_of(client.call) == (INVALID, "finish")


async def test_more_streams_than_allowed_are_refused_and_room_comes_back():
    async with serving(Config(port=0, max_streams=1), fake=FakeEngine()) as tier:
        first, second = await tier.client_at(), tier.client()
        await second.send(config=pb.StreamingRecognitionConfig(audio_format=PCM24))
        assert (await failure_of(second.call))[0] == grpc.StatusCode.RESOURCE_EXHAUSTED
        await first.finish()
        await drain(first.call)
        await tier.client_at()


async def test_one_tenant_cannot_take_every_stream():
    async with serving(Config(port=0, max_streams=10), fake=FakeEngine()) as tier:
        for _ in range(9):
            await tier.client_at()
        refused = tier.client()
        await refused.send(config=pb.StreamingRecognitionConfig(audio_format=PCM24))
        assert (await failure_of(refused.call))[0] == grpc.StatusCode.RESOURCE_EXHAUSTED
        polite = tier.client((("x-tenant-id", "polite"),))
        await polite.open()


class Whose(FakeEngine):
    def __init__(self):
        super().__init__()
        self.tenants = []

    def ear(self, tenant=""):
        self.tenants.append(tenant)
        return super().ear(tenant)


async def test_the_engine_knows_whose_audio_it_hears():
    engine = Whose()
    async with serving(fake=engine) as tier:
        client = await tier.client_at(endpointing=MANUAL)
        await client.hear(TENTH)
        await client.commit()
        await client.final()
        request = pb.RecognizeRequest(audio_format=PCM24, audio=TENTH)
        await tier.stub.Recognize(request, metadata=(("x-tenant-id", "polite"),), timeout=30)
    assert engine.tenants == ["acme", "polite"]


async def test_streams_that_never_begin_take_nobodys_place():
    async with serving(Config(port=0, max_streams=1), fake=FakeEngine()) as tier:
        for _ in range(3):
            await tier.client().call.wait_for_connection()
        await tier.client_at()


async def test_an_older_attempt_is_refused_and_a_newer_one_takes_over(tier):
    first = await tier.client_at(session=session(attempt=2))
    for late in (1, 2):
        stale = tier.client()
        config = pb.StreamingRecognitionConfig(session=session(attempt=late), audio_format=PCM24)
        await stale.send(config=config)
        assert await failure_of(stale.call) == (ABORTED, "session.attempt")
    newer = await tier.client_at(session=session(attempt=3))
    assert await failure_of(first.call) == (ABORTED, "session.attempt")
    await newer.finish()
    await drain(newer.call)
    await tier.client_at(session=session(attempt=1))  # another stream, after those have ended


async def test_other_sessions_and_nameless_ones_have_attempts_of_their_own(tier):
    one = await tier.client_at(session=session(attempt=2))
    other = await tier.client_at(session=session(session_id="sess_2", attempt=1))
    nameless = [await tier.client_at(session=common_pb2.SessionRef(attempt=n)) for n in (2, 1)]
    for client in (one, other, *nameless):
        await client.finish()


async def test_a_draining_worker_says_so_and_takes_no_more():
    async with serving(Config(port=0, drain_s=7.0), fake=FakeEngine()) as tier:
        client = await tier.client_at(endpointing=MANUAL)
        await client.hear(TENTH)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(tier.server.drain())
            away = await client.until("go_away")
            assert away.grace.seconds == 7
            refused = tier.client()
            assert (await failure_of(refused.call))[0] == grpc.StatusCode.UNAVAILABLE
            await client.commit("last")  # what is open is served to its end
            assert (await client.final()).text == "1 tenths"
            await client.finish()
            await drain(client.call)


def request(audio: bytes = SPEECH, **fields) -> pb.RecognizeRequest:
    return pb.RecognizeRequest(audio=audio, audio_format=PCM24, **fields)


async def test_a_whole_recording_is_recognized(tier):
    answer = await tier.stub.Recognize(
        request(recognition=pb.RecognitionConfig(word_timestamps=True)),
        timeout=30,
        metadata=TENANT,
    )
    transcript = answer.transcript
    assert (transcript.text, transcript.is_final) == ("28 tenths", True)
    assert (transcript.start_sample, transcript.end_sample) == (0, n_samples(SPEECH))
    assert transcript.stable_chars == len(transcript.text)
    assert transcript.usage.input_audio_samples == n_samples(SPEECH)
    assert transcript.words[0].end_sample == pytest.approx(n_samples(SPEECH), abs=3)


async def test_a_whole_recording_has_the_details_that_were_asked_for(tier):
    config = pb.RecognitionConfig(
        token_logprobs=True, speakers=True, noise_reduction=pb.NoiseReduction()
    )
    answer = await tier.stub.Recognize(request(recognition=config), timeout=30, metadata=TENANT)
    transcript = answer.transcript
    assert transcript.text == "28 tenths"
    assert [token.token for token in transcript.logprobs] == ["28 tenths"]
    [segment] = transcript.segments
    assert (segment.text, segment.speaker, segment.start_sample) == ("28 tenths", "A", 0)
    assert segment.end_sample == pytest.approx(n_samples(SPEECH), abs=3)
    assert not transcript.words


@pytest.mark.parametrize(
    ("changed", "status", "param"),
    [
        (request(bytes((3 << 20) + 2)), INVALID, "audio"),
        (request(bytes(3)), INVALID, "audio"),
        (request(session=session(tenant_id="evil")), INVALID, "session.tenant_id"),
        (request(recognition=pb.RecognitionConfig(model="x")), grpc.StatusCode.NOT_FOUND,
         "recognition.model"),
        (request(recognition=pb.RecognitionConfig(noise_reduction=pb.NoiseReduction(strength=2))),
         INVALID, "recognition.noise_reduction.strength"),
        (pb.RecognizeRequest(audio=SPEECH), INVALID, "audio_format.encoding"),
    ],
)  # fmt: skip
async def test_a_recording_that_cannot_be_is_refused(tier, changed, status, param):
    call = tier.stub.Recognize(changed, timeout=30, metadata=TENANT)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    assert refused.value.code() == status
    assert param in str(refused.value.trailing_metadata())


async def test_a_recording_of_a_language_that_nobody_knows_is_refused():
    async with serving(fake=FakeEngine(languages=("en-US",))) as tier:
        call = tier.stub.Recognize(
            request(recognition=pb.RecognitionConfig(language_code="fr")),
            timeout=30,
            metadata=TENANT,
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() == INVALID


async def test_unary_calls_need_a_deadline(tier):
    for call in (
        tier.stub.Recognize(request(), metadata=TENANT),
        tier.stub.ListModels(pb.ListModelsRequest(), metadata=TENANT),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() == INVALID


async def test_models_are_listed_in_the_order_of_the_chain():
    engines = {
        "best": FakeEngine(model="best"),
        "rest": FakeEngine(model="rest", languages=("en-US",)),
    }
    async with serving(**engines) as tier:
        listed = (
            await tier.stub.ListModels(pb.ListModelsRequest(), timeout=30, metadata=TENANT)
        ).models
    assert [(m.name, list(m.language_codes), m.loaded) for m in listed] == [
        ("best", [], True),
        ("rest", ["en-US"], True),
    ]
    assert listed[0].native_sample_rate_hz == 16_000


@asynccontextmanager
async def pocketsphinx():
    engine = PocketSphinx(Config(pocketsphinx_decoders=2))
    async with serving(pocketsphinx=engine) as tier:
        yield tier


@pytest.mark.parametrize("frame_ms", [20, 200])
async def test_pocketsphinx_hears_what_callers_say(frame_ms):
    async with pocketsphinx() as tier:
        client = await tier.client_at()
        for text in ("what time is it in london today", "what is the weather in paris"):
            await client.hear(recording(text.replace(" ", "_")), frame_ms)
            assert (await client.final()).text == text
        await client.finish()
        spoken = ["speech_started", "speech_stopped", "final"]
        assert client.kinds == ["ready", *spoken, *spoken, "finished"]


async def test_pocketsphinx_guesses_while_it_is_spoken_to():
    speech = recording("what_time_is_it_in_london_today")
    half = len(speech) // 4 * 2
    async with pocketsphinx() as tier:
        client = await tier.client_at(interim_results=True)
        await client.hear(speech[:half], frame_ms=20)
        assert (await client.until("transcript")).text.startswith("what")
        await client.hear(speech[half:], frame_ms=20)
        assert (await client.final()).text == "what time is it in london today"


async def test_pocketsphinx_tells_words_probabilities_and_who_spoke():
    config = pb.RecognitionConfig(word_timestamps=True, token_logprobs=True, speakers=True)
    spoken = ["what is the weather in paris", "good morning", "what is the weather in paris"]
    async with pocketsphinx() as tier:
        client = await tier.client_at(recognition=config)
        finals = []
        for text in spoken:
            await client.hear(recording(text.replace(" ", "_")))
            finals.append(await client.final())
    assert [segment.speaker for final in finals for segment in final.segments] == ["A", "B", "A"]
    for final in finals:
        assert "".join(token.token for token in final.logprobs) == final.text
        assert all(token.logprob <= 0 for token in final.logprobs)
        assert " ".join(word.text for word in final.words) == final.text
        assert all(0 <= word.confidence <= 1 for word in final.words)
        [segment] = final.segments
        assert segment.text == final.text
        assert segment.start_sample == final.words[0].start_sample >= final.start_sample
        assert segment.end_sample == final.words[-1].end_sample <= final.end_sample
