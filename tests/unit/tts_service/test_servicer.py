"""The tier over real gRPC, with an engine that tests hold back, and with espeak."""

import asyncio
import sys

import grpc
import pytest

from mesh.audio import SAMPLE_BYTES, n_samples, to_float32
from mesh.chain import Chain
from ovos.common.v1 import common_pb2
from ovos.tts.v1 import tts_pb2 as pb
from tests.calls import failure_of, set_soon
from tests.fakes.tts import CHAR_SAMPLES, RATE_HZ, FakeEngine
from tests.unit.tts_service.tier import (
    PCM24,
    PLENTY,
    PROTO,
    TALKS_FOREVER,
    TENANT,
    TIMEOUT_S,
    serving,
)
from tts_service.app import running
from tts_service.config import Config
from tts_service.engines.espeak import Espeak
from tts_service.servicer import MAX_UNARY_BYTES
from tts_service.speech import UNASKED_S

PCM48 = common_pb2.AudioFormat(
    encoding=common_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hz=48_000, channels=1
)


async def test_a_reply_is_spoken_in_order_and_ends_with_its_totals():
    async with serving(fake=FakeEngine()) as tier:
        client = tier.client()
        ready = await client.open(response_id="resp_1")
        assert (ready.engine, ready.audio_format) == ("fake", PCM24)
        assert ready.worker_id
        await client.say("Hello there, you. ")
        await client.say("Bye.")
        await client.finish()
        finished = await client.until("finished")
        assert await client.status() == grpc.StatusCode.OK
        assert [s.text for s in client.all("segment_started")] == ["Hello there,", " you.", " Bye."]
        assert [s.start_char for s in client.all("segment_started")] == [0, 12, 17]
        chunks = [audio.chunk for audio in client.all("audio")]
        assert [c.sequence for c in chunks] == list(range(1, len(chunks) + 1))
        position = 0
        for chunk in chunks:
            assert chunk.first_sample == position
            assert len(chunk.data) <= RATE_HZ * 20 // 1000 * 2
            position += n_samples(chunk.data)
        assert client.all("segment_finished")[-1].end_sample == position
        assert finished.usage.output_audio_samples == position
        assert finished.usage.input_characters == 22
        words = client.all("segment_finished")[0].words
        assert [(w.start_char, w.end_char, w.start_sample) for w in words] == [
            (0, 5, 0),
            (6, 12, 6 * CHAR_SAMPLES),
        ]


async def test_the_first_clause_is_heard_before_the_rest_is_written():
    async with serving(fake=FakeEngine()) as tier:
        client = tier.client()
        await client.open()
        await client.say("Well now then, ")
        await client.say("some")
        assert (await client.until("segment_finished")).segment == 1
        assert client.pcm


async def test_the_first_clause_is_heard_before_the_rest_is_written_with_espeak():
    async with serving(espeak=Espeak(Config())) as tier:
        client = tier.client()
        await client.open(voice=pb.VoiceSelection(voice_id="marin"))
        await client.say("Good morning to you, ")
        await client.say("my ")
        await client.until("segment_finished")
        assert abs(to_float32(client.pcm)).max() > 0.1
        await client.say("friend.")
        await client.finish()
        finished = await client.until("finished")
        assert 1.5 < finished.usage.output_audio_samples / RATE_HZ < 4


async def test_the_next_segment_is_made_while_the_first_waits_to_be_sent():
    fake = FakeEngine()
    async with serving(fake=fake) as tier:
        client = tier.client()
        await client.open(credit=common_pb2.FlowCredit(allowed_until_sample=CHAR_SAMPLES))
        await client.say("First one. Second. ")
        await client.until("audio")
        async with asyncio.timeout(TIMEOUT_S):
            while len(fake.texts) < 2:
                await set_soon(fake.idle)
        assert not client.all("segment_finished")


async def test_cancel_stops_within_a_chunk_and_leaves_the_stream_open():
    fake = FakeEngine(hold=True)
    async with serving(fake=fake) as tier:
        client = tier.client()
        await client.open()
        await client.say("This is a long sentence. And one more. And")
        fake.release(3)
        for _ in range(3):
            await client.until("audio")
        await set_soon(fake.working)
        cancelled = await client.cancel("c7")
        assert (cancelled.cancel_id, cancelled.sent_until_sample) == ("c7", 3 * CHAR_SAMPLES)
        assert await set_soon(fake.idle)
        [ended] = client.all("segment_finished")
        assert ended.end_sample == 3 * CHAR_SAMPLES
        assert [(w.start_char, w.end_char) for w in ended.words] == [(0, 4)]

        fake.release(1000)
        await client.say("Yes?")
        await client.finish()
        await client.until("finished")
        started = client.all("segment_started")[-1]
        assert (started.segment, started.text, started.start_char) == (2, "Yes?", 42)
        assert client.all("audio")[3].chunk.first_sample == 3 * CHAR_SAMPLES
        assert await client.status() == grpc.StatusCode.OK


async def test_a_cancel_after_finish_ends_the_stream():
    fake = FakeEngine(hold=True)
    async with serving(fake=fake) as tier:
        client = tier.client()
        await client.open()
        await client.say("This is a long sentence.")
        await client.finish()
        await set_soon(fake.working)
        await client.cancel()
        await client.until("finished")
        assert await client.status() == grpc.StatusCode.OK
        assert await set_soon(fake.idle)


async def test_a_client_that_cancels_and_closes_its_side_gets_its_answer():
    fake = FakeEngine(hold=True)
    async with serving(fake=fake) as tier:
        client = tier.client()
        await client.open()
        await client.say("This is a long sentence. And")
        await set_soon(fake.working)
        await client.send(cancel=pb.CancelSynthesis())
        await client.call.done_writing()
        await client.until("cancelled")
        await client.until("finished")
        assert await client.status() == grpc.StatusCode.OK


@pytest.mark.parametrize("leave", ["cancel", "half-close"])
async def test_a_client_that_leaves_stops_the_engine(leave):
    fake = FakeEngine(hold=True)
    async with serving(fake=fake) as tier:
        client = tier.client()
        await client.open()
        await client.say("This is a long sentence. And one more.")
        assert await set_soon(fake.working)
        if leave == "cancel":
            client.call.cancel()
        else:
            await client.call.done_writing()
        assert await set_soon(fake.idle)
        assert fake.texts == ["This is a long sentence."]
        if leave == "half-close":
            assert await failure_of(client.call) == (grpc.StatusCode.INVALID_ARGUMENT, "finish")


async def test_a_client_that_is_killed_stops_the_engine():
    fake = FakeEngine(hold=True)
    async with running(Config(port=0), Chain({"fake": fake})) as server:
        client = await asyncio.create_subprocess_exec(
            sys.executable, "-c", TALKS_FOREVER, str(server.port), env={"PYTHONPATH": PROTO}
        )
        assert await set_soon(fake.working)
        client.kill()
        assert await set_soon(fake.idle)
        await client.wait()
        assert fake.texts == ["This is a long sentence."]


async def test_two_seconds_come_without_credit_and_the_rest_with_it():
    async with serving(fake=FakeEngine()) as tier:
        client = tier.client()
        await client.open(credit=None)
        await client.say("x" * 140 + ". ")  # 2.8 s
        unasked = int(UNASKED_S * RATE_HZ)
        while n_samples(client.pcm) < unasked:
            await client.until("audio")
        await client.cancel()
        assert n_samples(client.pcm) == unasked
        await client.say("Yes. ")
        await client.send(credit=PLENTY)
        await client.until("segment_finished")


async def test_a_client_that_has_said_all_and_closed_its_side_gets_all():
    async with serving(fake=FakeEngine()) as tier:
        client = tier.client()
        await client.open(credit=None)
        await client.say("x" * 140 + ".")
        await client.finish()
        await client.call.done_writing()
        assert (await client.until("finished")).usage.output_audio_samples > 2.8 * RATE_HZ


async def test_a_worse_engine_is_told_of_once_and_nothing_is_lost():
    good = FakeEngine()
    async with serving(bad=FakeEngine(fails_at=0), good=good) as tier:
        client = tier.client()
        assert (await client.open()).engine == "bad"
        await client.say("One. Two. ")
        await client.finish()
        await client.until("finished")
        [degraded] = client.all("degraded")
        assert (degraded.failed_engine, degraded.serving_engine) == ("bad", "good")
        assert good.texts == ["One.", " Two."]


async def test_a_reply_that_no_engine_can_speak_is_unavailable():
    async with serving(bad=FakeEngine(fails_at=0)) as tier:
        client = tier.client()
        await client.open()
        await client.say("One. ")
        assert (await failure_of(client.call))[0] == grpc.StatusCode.UNAVAILABLE


async def test_voice_and_speed_reach_the_engine():
    fake = FakeEngine()
    async with serving(fake=fake) as tier:
        client = tier.client()
        voice = pb.VoiceSelection(voice_id="hum2", language_code="en-GB", speaking_rate=2.0)
        await client.open(voice=voice)
        await client.say("One.")
        await client.finish()
        await client.until("finished")
        [manner] = fake.manners
        assert (manner.voice_id, manner.language, manner.speed) == ("hum2", "en-GB", 2.0)


async def test_manual_text_waits_for_a_flush():
    fake = FakeEngine()
    async with serving(fake=fake) as tier:
        client = tier.client()
        await client.open(segmentation=pb.SEGMENTATION_MODE_MANUAL)
        await client.say("One. Two. ")
        await client.send(flush=pb.FlushText())
        assert (await client.until("segment_started")).text == "One. Two. "


@pytest.mark.parametrize(
    ("payload", "param"),
    [
        ({"text": pb.TextChunk(text="Hello", sequence=1)}, "config"),
        ({"config": pb.StreamingSynthesisConfig()}, "audio_format.encoding"),
        (
            {
                "config": pb.StreamingSynthesisConfig(
                    audio_format=PCM24, voice=pb.VoiceSelection(speaking_rate=5)
                )
            },
            "voice.speaking_rate",
        ),
        (
            {
                "config": pb.StreamingSynthesisConfig(
                    audio_format=PCM24, session=common_pb2.SessionRef(tenant_id="other")
                )
            },
            "session.tenant_id",
        ),
    ],
)
async def test_a_stream_that_opens_wrong_is_refused(payload, param):
    async with serving(fake=FakeEngine()) as tier:
        client = tier.client()
        await client.send(**payload)
        assert await failure_of(client.call) == (grpc.StatusCode.INVALID_ARGUMENT, param)


@pytest.mark.parametrize(
    ("payload", "param"),
    [
        ({"config": pb.StreamingSynthesisConfig(audio_format=PCM24)}, "config"),
        ({"text": pb.TextChunk(text="Hello", sequence=2)}, "text.sequence"),
        ({}, "payload"),
    ],
)
async def test_a_message_out_of_place_ends_the_stream(payload, param):
    async with serving(fake=FakeEngine()) as tier:
        client = tier.client()
        await client.open()
        await client.send(**payload)
        assert await failure_of(client.call) == (grpc.StatusCode.INVALID_ARGUMENT, param)


async def test_a_call_without_a_tenant_is_refused():
    async with serving(fake=FakeEngine()) as tier:
        client = tier.client(metadata=())
        assert (await failure_of(client.call))[0] == grpc.StatusCode.UNAUTHENTICATED


async def test_a_full_worker_refuses_the_next_stream_and_takes_it_when_one_has_ended():
    async with serving(Config(port=0, max_streams=1), fake=FakeEngine()) as tier:
        first = tier.client()
        await first.open()
        second = tier.client()
        await second.send(config=pb.StreamingSynthesisConfig(audio_format=PCM24))
        assert (await failure_of(second.call))[0] == grpc.StatusCode.RESOURCE_EXHAUSTED
        await first.finish()
        await first.until("finished")
        assert await first.status() == grpc.StatusCode.OK
        await tier.client().open()


async def test_the_last_streams_are_kept_for_tenants_that_have_none():
    async with serving(Config(port=0, max_streams=10), fake=FakeEngine()) as tier:
        for _ in range(9):
            await tier.client().open()
        refused = tier.client()
        await refused.send(config=pb.StreamingSynthesisConfig(audio_format=PCM24))
        assert (await failure_of(refused.call))[0] == grpc.StatusCode.RESOURCE_EXHAUSTED
        await tier.client((("x-tenant-id", "polite"),)).open()


async def test_streams_that_never_begin_take_nobodys_place():
    async with serving(Config(port=0, max_streams=1), fake=FakeEngine()) as tier:
        for _ in range(3):
            await tier.client().call.wait_for_connection()
        await tier.client().open()


async def test_one_short_text_in_one_answer():
    async with serving(fake=FakeEngine()) as tier:
        request = pb.SynthesizeRequest(text="Hello there. Bye.", audio_format=PCM24)
        answer = await tier.stub.Synthesize(request, metadata=TENANT, timeout=TIMEOUT_S)
        assert n_samples(answer.audio) > 17 * CHAR_SAMPLES
        assert answer.usage.output_audio_samples == n_samples(answer.audio)
        assert answer.audio_format == PCM24


@pytest.mark.parametrize(
    ("text", "deadline_s"), [("", TIMEOUT_S), ("x" * 1001, TIMEOUT_S), ("Hello", None)]
)
async def test_a_unary_call_that_is_wrong_is_refused(text, deadline_s):
    async with serving(fake=FakeEngine()) as tier:
        request = pb.SynthesizeRequest(text=text, audio_format=PCM24)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await tier.stub.Synthesize(request, metadata=TENANT, timeout=deadline_s)
        assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_audio_that_is_more_than_a_message_holds_is_refused():
    async with serving(fake=FakeEngine()) as tier:
        slow = pb.VoiceSelection(speaking_rate=0.25)
        n_bytes = CHAR_SAMPLES * 4 * (48_000 // RATE_HZ) * SAMPLE_BYTES  # a character, so slow
        fits, too_long = MAX_UNARY_BYTES // n_bytes - 30, 1000
        for n_chars, code in ((fits, None), (too_long, grpc.StatusCode.INVALID_ARGUMENT)):
            request = pb.SynthesizeRequest(text="x" * n_chars, audio_format=PCM48, voice=slow)
            call = tier.stub.Synthesize(request, metadata=TENANT, timeout=TIMEOUT_S)
            if code is None:
                assert len((await call).audio) > 3_000_000
                continue
            with pytest.raises(grpc.aio.AioRpcError, match="use the stream") as raised:
                await call
            assert raised.value.code() == code


async def test_a_unary_call_that_is_cancelled_stops_the_engine():
    fake = FakeEngine(hold=True)
    async with serving(fake=fake) as tier:
        request = pb.SynthesizeRequest(text="Hello there.", audio_format=PCM24)
        call = tier.stub.Synthesize(request, metadata=TENANT, timeout=TIMEOUT_S)
        assert await set_soon(fake.working)
        call.cancel()
        assert await set_soon(fake.idle)


async def test_voices_are_listed_by_engine_and_language():
    async with serving(fake=FakeEngine(), other=FakeEngine()) as tier:
        request = pb.ListVoicesRequest()
        everyone = await tier.stub.ListVoices(request, metadata=TENANT, timeout=TIMEOUT_S)
        assert [(v.engine, v.voice_id) for v in everyone.voices] == [
            ("fake", "hum"), ("fake", "hum2"), ("other", "hum"), ("other", "hum2"),
        ]  # fmt: skip
        assert everyone.voices[0].native_sample_rate_hz == RATE_HZ
        request = pb.ListVoicesRequest(language_code="en-GB")
        british = await tier.stub.ListVoices(request, metadata=TENANT, timeout=TIMEOUT_S)
        assert {v.voice_id for v in british.voices} == {"hum2"}
