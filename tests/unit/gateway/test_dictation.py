"""What the contract suite cannot see: credit, order, failures."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from gateway.backends import Passage
from gateway.realtime.effects import Listening
from gateway.realtime.settings import ServerVad
from mesh.errors import Broken, MeshError, Overloaded, Unavailable
from ovos.common.v1 import common_pb2
from ovos.stt.v1 import stt_pb2 as stt
from tests.fakes.backends import FakeBackends
from tests.fakes.mesh import ALL_CREDIT, serving

HOW = Listening(ServerVad(silence_duration_ms=700), language="de", prompt="p", logprobs=True)
SECOND = bytes(32_000)


@pytest.fixture
async def mesh():
    async with serving(FakeBackends()) as both:
        yield both


async def dictate(backends, pcm=SECOND):
    async with (
        asyncio.timeout(10),
        backends.dictate(HOW, words=True) as dictation,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(write(dictation, pcm))
        return [passage async for passage in dictation]


async def write(dictation, pcm):
    await dictation.hear(pcm)
    await dictation.finish()


async def until_finish(call):
    while (await call.read()).WhichOneof("payload") != "finish":
        pass


def final(name, text, start=0, end=16_000):
    return stt.Transcript(
        utterance_id=name, text=text, is_final=True, start_sample=start, end_sample=end
    )


async def test_the_config_says_how_to_listen(mesh):
    backends, tiers = mesh
    await dictate(backends)
    config = tiers.calls[0].requests[0].config
    assert config.audio_format.sample_rate_hz == 16_000
    assert config.recognition.language_code == "de"
    assert config.recognition.word_timestamps
    assert config.recognition.token_logprobs
    assert config.endpointing.silence_duration.ToMilliseconds() == 700
    assert not config.interim_results


async def test_audio_waits_for_credit(mesh):
    backends, tiers = mesh

    async def script(call):
        await call.read_kind("config")
        await call.say(ready=stt.RecognitionReady(credit={"allowed_until_sample": 8_000}))
        heard = 0
        while heard < 6_400:  # two chunks; the third would end beyond the credit
            heard += len((await call.read_kind("audio")).data) // 2
        more = asyncio.ensure_future(call.read())  # noqa: TID251 - to see that nothing comes
        await asyncio.wait({more}, timeout=0.05)
        assert not more.done()
        await call.say(ack=stt.AudioAck(credit=ALL_CREDIT))
        assert (await more).audio.first_sample == 6_400
        await until_finish(call)
        await call.say(finished=stt.RecognitionFinished())

    tiers.scripts.append(script)
    assert await dictate(backends) == []


async def test_passages_keep_their_order(mesh):
    backends, tiers = mesh

    async def script(call):
        await call.read_kind("config")
        await call.say(ready=stt.RecognitionReady(credit=ALL_CREDIT))
        await until_finish(call)
        for name in ("a", "b", "c"):
            await call.say(speech_started={"utterance_id": name})
        await call.say(transcript=stt.Transcript(utterance_id="a", text="interim"))
        await call.say(transcript=final("b", " second "))
        await call.say(transcript=final("c", ""))
        await call.say(transcript=final("a", "first", 1_600, 3_200))
        await call.say(finished=stt.RecognitionFinished())

    tiers.scripts.append(script)
    assert await dictate(backends) == [
        Passage("first", 100, 200),
        Passage("second", 0, 1000),
    ]


@pytest.mark.parametrize(("retryable", "kind"), [(True, Unavailable), (False, Broken)])
async def test_a_passage_without_words_fails_all(mesh, retryable, kind):
    backends, tiers = mesh

    async def script(call):
        await call.read_kind("config")
        await call.say(ready=stt.RecognitionReady(credit=ALL_CREDIT))
        await until_finish(call)
        error = common_pb2.ErrorDetail(message="no", retryable=retryable)
        await call.say(utterance_failed={"utterance_id": "a", "error": error})

    tiers.scripts.append(script)
    with pytest.raises(ExceptionGroup) as raised:
        await dictate(backends)
    assert raised.group_contains(kind)


async def test_a_worker_that_dies_is_told_to_who_writes_and_who_reads(mesh):
    backends, tiers = mesh

    async def script(call):
        await call.read_kind("config")
        await call.fail(grpc.StatusCode.UNAVAILABLE)

    tiers.scripts.append(script)
    with pytest.raises(ExceptionGroup) as raised:
        await dictate(backends)
    assert raised.group_contains(Unavailable)
    assert raised.value.split(MeshError)[1] is None


async def test_a_stream_that_ends_without_saying_so_is_a_failure(mesh):
    backends, tiers = mesh

    async def script(call):
        await call.read_kind("config")
        await call.say(ready=stt.RecognitionReady(credit=ALL_CREDIT))
        await until_finish(call)

    tiers.scripts.append(script)
    with pytest.raises(ExceptionGroup) as raised:
        await dictate(backends)
    assert raised.group_contains(Unavailable)


async def is_full(call):
    await call.fail(grpc.StatusCode.RESOURCE_EXHAUSTED)


async def test_a_worker_that_cannot_begin_hands_over_to_one_other():
    async with serving(FakeBackends(), workers=3) as (backends, tiers):
        tiers.scripts = [is_full]
        assert await dictate(backends) == []
        assert len({call.worker for call in tiers.calls}) == len(tiers.calls) == 2
        asked = [call.requests[0].config for call in tiers.calls if call.requests]
        assert all(config.recognition.language_code == "de" for config in asked)


async def test_then_the_client_is_told():
    async with serving(FakeBackends(), workers=3) as (backends, tiers):
        tiers.scripts = [is_full, is_full]
        failed = []
        try:
            await dictate(backends)
        except* Overloaded as errors:  # as it opens, or when it is read: gRPC has it both ways
            failed.append(errors)
        assert failed
        assert len(tiers.calls) == 2


async def test_what_has_begun_is_not_moved():
    async def dies(call):
        await call.read_kind("config")
        await call.say(ready=stt.RecognitionReady(credit=ALL_CREDIT))
        await call.fail(grpc.StatusCode.UNAVAILABLE)

    async with serving(FakeBackends(), workers=2) as (backends, tiers):
        tiers.scripts = [dies]
        with pytest.raises(ExceptionGroup) as raised:
            await dictate(backends)
        assert raised.group_contains(Unavailable)
        assert len(tiers.calls) == 1
