"""Recognition is gone for a while: what was said is not lost, and is answered afterwards."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from pathlib import Path

import grpc
import pytest

from ovos.common.v1 import common_pb2
from ovos.stt.v1 import stt_pb2 as pb
from ovos.stt.v1 import stt_pb2_grpc
from tests.e2e.speech import RATE_HZ, recording, speak
from tests.stack import running

LIMIT_S = 120.0
PCM24 = common_pb2.AudioFormat(
    encoding=common_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hz=RATE_HZ, channels=1
)
QUESTION = "what_time_is_it_in_london_today"
TENANT = (("x-tenant-id", "acme"),)


@pytest.fixture(scope="module")
def own_stack():
    """A mesh of its own: it is being hurt."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        with running(Path(folder), GATEWAY_STT_PATIENCE_S="1") as stack:
            yield stack


async def until(connection, *types):
    """Events up to the first of these types."""
    events = []
    async with asyncio.timeout(LIMIT_S):
        while not events or events[-1].type not in types:
            events.append(await connection.recv())
    return events


async def test_a_question_in_whose_middle_the_last_recogniser_dies_is_answered(own_stack):
    async with (
        own_stack.openai() as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        audio_in = {"transcription": {"model": "whisper-1"}}
        await connection.session.update(session={"type": "realtime", "audio": {"input": audio_in}})
        question = recording(QUESTION)
        half = len(question) // 4 * 2
        await speak(connection, question[:half])
        await until(connection, "input_audio_buffer.speech_started")

        # Who restarts tiers is stopped, so that nobody hears the end.
        own_stack.process.send_signal(signal.SIGSTOP)
        own_stack.kill("stt_service")
        await speak(connection, question[half:])
        events = await until(connection, "error")
        types = [event.type for event in events]
        assert "input_audio_buffer.committed" in types, "it is a turn, though nobody heard it"
        assert "conversation.item.input_audio_transcription.failed" not in types

        own_stack.process.send_signal(signal.SIGCONT)
        events += await until(connection, "response.done")
    said = [e for e in events if e.type == "conversation.item.input_audio_transcription.completed"]
    assert len(said) == 1
    assert "time" in said[0].transcript
    assert events[-1].response.status == "completed"
    assert [e.type for e in events].count("response.done") == 1


async def test_a_recording_outlives_the_recogniser_that_works_on_it(own_stack):
    target = f"127.0.0.1:{own_stack.ports['STT_PORT']}"
    pause = bytes(2 * RATE_HZ)
    whole = recording(QUESTION) + pause + recording("what_is_the_weather_in_paris")
    whole = (whole + pause) * 2

    def asked():
        yield pb.SubmitRequest(config=pb.SubmissionConfig(audio_format=PCM24))
        for at in range(0, len(whole), 100_000):
            yield pb.SubmitRequest(audio=whole[at : at + 100_000])
        yield pb.SubmitRequest(finish=pb.FinishSubmission())

    async with grpc.aio.insecure_channel(target) as channel:
        stub = stt_pb2_grpc.SttServiceStub(channel)
        turn = await stub.Submit(asked(), metadata=TENANT, timeout=LIMIT_S, wait_for_ready=True)
        watch = stub.Watch(pb.WatchRequest(turn_id=turn.turn_id), metadata=TENANT, timeout=LIMIT_S)
        while (await watch.read()).WhichOneof("payload") != "started":
            pass
        own_stack.kill("stt_service")
    done = await outcome(target, turn.turn_id)
    words = done.text.split()
    assert words.count("london") == words.count("paris") == 2
    assert words.index("london") < words.index("paris")


async def outcome(target: str, turn_id: str) -> pb.Transcript:
    """What any worker says of a turn once it is over."""
    request = pb.WatchRequest(turn_id=turn_id)
    async with asyncio.timeout(LIMIT_S), grpc.aio.insecure_channel(target) as channel:
        stub = stt_pb2_grpc.SttServiceStub(channel)
        while True:
            watch = stub.Watch(request, metadata=TENANT, timeout=LIMIT_S, wait_for_ready=True)
            try:
                told = [news async for news in watch]
                break
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
                await asyncio.sleep(0.1)  # it dies just now
    attempts = [news.started.attempt for news in told if news.HasField("started")]
    assert attempts[-1:] in ([], [2])
    assert told[-1].WhichOneof("payload") == "done"
    return told[-1].done
