from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest

from gateway.streams import Stream
from mesh.breaker import FAILURES, State
from mesh.dial import Link
from mesh.errors import Overloaded, Unavailable
from ovos.stt.v1 import stt_pb2 as pb
from ovos.stt.v1 import stt_pb2_grpc
from tests.fakes.backends import FakeBackends
from tests.fakes.mesh import Call, Script, serving

CLEAR = pb.StreamingRecognizeRequest(clear=pb.ClearAudio())
FINISH = pb.StreamingRecognizeRequest(finish=pb.FinishRecognition())


def audio(n_bytes: int) -> pb.StreamingRecognizeRequest:
    return pb.StreamingRecognizeRequest(audio={"data": bytes(n_bytes)})


@asynccontextmanager
async def stream_to(*scripts: Script):
    async with serving(FakeBackends()) as (backends, tiers), asyncio.TaskGroup() as tasks:
        tiers.scripts = list(scripts)

        def dial() -> Stream:
            worker = backends.stt.pick()
            stub = worker.stub(stt_pb2_grpc.SttServiceStub)
            return Stream(worker, stub.StreamingRecognize, tasks)

        yield dial, tiers.calls


async def read_into(news: list, stream: Stream) -> None:
    async for one in stream:
        news.append(one)


async def write_for_ever(stream: Stream) -> None:
    while True:
        await stream.write(audio(1000))


async def test_two_tasks_may_write_at_once():
    done = asyncio.Event()

    async def script(call: Call) -> None:
        while (await call.read()).WhichOneof("payload") != "finish":
            pass
        done.set()

    async def write(stream: Stream) -> None:
        for _ in range(50):
            await stream.write(audio(1000))

    async with stream_to(script) as (dial, calls):
        stream = dial()
        async with asyncio.TaskGroup() as tasks:
            for name in ("one", "two"):
                tasks.create_task(write(stream), name=name)
        await stream.write(FINISH)
        await done.wait()
        await stream.stop()
    assert len(calls[0].requests) == 101


async def test_what_the_call_failed_with_is_raised_to_the_reader():
    async def script(call: Call) -> None:
        await call.say(ready={"worker_id": "w"})
        await call.fail(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")

    async with stream_to(script) as (dial, _):
        stream = dial()
        news = []
        with pytest.raises(Overloaded, match="stt: full"):
            await read_into(news, stream)
        await stream.stop()
    assert [one.ready.worker_id for one in news] == ["w"]


async def test_what_the_call_failed_with_is_raised_to_the_writer():
    failed = asyncio.Event()

    async def script(call: Call) -> None:
        try:
            await call.fail(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        finally:
            failed.set()

    async with stream_to(script) as (dial, _):
        stream = dial()
        await failed.wait()
        with pytest.raises((Overloaded, Unavailable)):  # grpcio may lose the status
            await write_for_ever(stream)
        await stream.stop()


async def test_the_last_message_reaches_the_peer():
    heard = asyncio.Event()

    async def script(call: Call) -> None:
        await call.read_kind("clear")
        await call.read_kind("finish")
        heard.set()

    async with stream_to(script) as (dial, _):
        stream = dial()
        await stream.write(CLEAR)
        await stream.stop(FINISH)
        await heard.wait()


async def test_a_peer_that_does_not_answer_is_cancelled():
    cancelled = asyncio.Event()

    async def script(call: Call) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with stream_to(script) as (dial, _):
        stream = dial()
        await stream.write(CLEAR)
        await stream.stop(FINISH)
        async with asyncio.timeout(10):
            await cancelled.wait()


async def test_a_reader_that_is_cancelled_does_not_end_the_call():
    go = asyncio.Event()

    async def script(call: Call) -> None:
        await go.wait()
        await call.say(ready={"worker_id": "w"})
        await call.read()

    async with stream_to(script) as (dial, _):
        stream = dial()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await anext(aiter(stream))
        go.set()
        assert (await anext(aiter(stream))).ready.worker_id == "w"
        await stream.stop(FINISH)


async def test_failures_in_a_row_open_the_breaker_and_no_more_calls_are_made():
    async def fails(call: Call) -> None:
        await call.fail(grpc.StatusCode.UNAVAILABLE)

    async with stream_to(*[fails] * 5) as (dial, calls):
        for _ in range(5):
            stream = dial()
            with pytest.raises(Unavailable):
                await anext(aiter(stream))
            await stream.stop()
        with pytest.raises(Unavailable, match="the breaker is open"):
            dial()
    assert len(calls) == 5


async def test_stopping_twice_or_after_the_end_is_harmless():
    async def ends(call: Call) -> None:
        await call.say(ready={})

    async with stream_to(ends) as (dial, _):
        stream = dial()
        assert len([news async for news in stream]) == 1
        await stream.stop(FINISH)
        await stream.stop()


async def test_a_tier_that_is_down_opens_the_breaker():
    link = Link("llm", "127.0.0.1:1")  # nobody listens there
    stub = stt_pb2_grpc.SttServiceStub(link.channel)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(FAILURES):
            stream = Stream(link, stub.StreamingRecognize, tasks)
            with pytest.raises(Unavailable):
                await write_for_ever(stream)
            with pytest.raises(Unavailable):
                await read_into([], stream)  # the same failure, counted once
            await stream.stop()
        with pytest.raises(Unavailable, match="breaker"):
            Stream(link, stub.StreamingRecognize, tasks)
    await link.close()


async def test_a_failure_is_counted_once():
    link = Link("llm", "127.0.0.1:1")
    stub = stt_pb2_grpc.SttServiceStub(link.channel)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(FAILURES - 1):
            stream = Stream(link, stub.StreamingRecognize, tasks)
            with pytest.raises(Unavailable):
                await write_for_ever(stream)
            with pytest.raises(Unavailable):
                await read_into([], stream)
        assert link.breaker.state is State.CLOSED
    await link.close()
