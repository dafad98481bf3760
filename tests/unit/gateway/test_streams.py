from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest

from gateway import metrics
from gateway.streams import Dial, Stream
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


@asynccontextmanager
async def dialled(*scripts: Script, workers: int):
    async with (
        serving(FakeBackends(), workers=workers) as (backends, tiers),
        asyncio.TaskGroup() as tasks,
    ):
        tiers.scripts = list(scripts)

        def start(worker):
            return worker.stub(stt_pb2_grpc.SttServiceStub).StreamingRecognize()

        yield Dial(backends.stt, start, tasks), backends.stt, tiers.calls


async def fails(call: Call) -> None:
    await call.fail(grpc.StatusCode.UNAVAILABLE)


async def answers(call: Call) -> None:
    await call.say(ready={"worker_id": "w"})
    await call.read()


async def hangs(call: Call) -> None:
    """Reads nothing and says nothing."""
    await asyncio.Event().wait()


async def failed(stream: Stream) -> None:
    with pytest.raises(Unavailable):
        await anext(aiter(stream))
    await stream.stop()


async def test_each_call_goes_to_a_worker_that_has_not_failed():
    async with dialled(fails, fails, answers, workers=3) as (dial, _, calls):
        await failed(dial())
        await failed(dial())
        assert dial.has_other
        stream = dial()
        assert await anext(aiter(stream))
        assert not dial.has_other
        await stream.stop()
    assert sorted(call.worker for call in calls) == [0, 1, 2]


async def test_when_all_have_failed_they_are_tried_again():
    async with dialled(fails, fails, answers, workers=2) as (dial, _, calls):
        await failed(dial())
        await failed(dial())
        await dial().stop()
    assert sorted(call.worker for call in calls[:2]) == [0, 1]


async def test_after_one_that_worked_all_others_may_be_tried():
    async with dialled(fails, answers, workers=2) as (dial, _, _calls):
        await failed(dial())
        stream = dial()
        assert not dial.has_other
        dial.worked()
        assert dial.has_other
        await stream.stop()


def failovers() -> float:
    return metrics.FAILOVER.labels("stt")._sum.get()


async def test_the_time_from_a_failure_to_the_next_answer_is_measured():
    before = failovers()
    async with dialled(fails, fails, answers, workers=3) as (dial, _, _calls):
        first = dial()
        await failed(first)
        second = dial()
        await failed(second)
        assert second.failed_s == first.failed_s, "one outage"
        assert failovers() == before
        stream = dial()
        await anext(aiter(stream))
        assert stream.failed_s is None
        await stream.stop()
    assert failovers() > before


async def test_readers_and_writers_of_a_worker_that_hangs_are_told():
    async with dialled(hangs, workers=1) as (dial, pool, calls):
        stream = dial()
        [worker] = pool.workers
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(failed_read(stream), name="read")
            writing = tasks.create_task(failed_write(stream), name="write")
            while not calls:
                await asyncio.sleep(0.01)
            worker.lose(Unavailable("it hangs", tier="stt"))
        assert str(reading.result()) == str(writing.result()) == "stt: it hangs"
        await stream.stop(FINISH)
        with pytest.raises(Unavailable, match="it hangs"):
            await stream.write(CLEAR)
        assert worker.is_idle.is_set()


async def failed_read(stream: Stream) -> Unavailable:
    with pytest.raises(Unavailable) as raised:
        await read_into([], stream)
    return raised.value


async def failed_write(stream: Stream) -> Unavailable:
    with pytest.raises(Unavailable) as raised:
        await write_for_ever(stream)
    return raised.value


async def test_a_writer_that_is_cancelled_is_cancelled_also_when_its_worker_hangs():
    async with dialled(hangs, workers=1) as (dial, pool, _calls):
        stream = dial()
        [worker] = pool.workers
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(write_for_ever(stream), name="write")
            while not stream._writing.locked():
                await asyncio.sleep(0.01)
            writing.cancel()
            worker.lose(Unavailable("it hangs", tier="stt"))
        assert writing.cancelled()
        await stream.stop()
