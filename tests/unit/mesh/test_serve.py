import asyncio
import gc
import os
import signal
from contextlib import asynccontextmanager

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from mesh.errors import Draining, NotInstalled, Overloaded, Unavailable, calling
from mesh.health import Load
from mesh.redis import connect
from mesh.registration import Listing
from mesh.registry import Registry
from mesh.serve import address, run, until_stopped
from ovos.worker.v1 import worker_pb2, worker_pb2_grpc

LIMIT_S = 30
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Echo:
    """A stream that gives back what it gets, and counts itself as load."""

    def __init__(self):
        self.active = 0
        self.began = asyncio.Event()
        self.handlers = {"Echo": grpc.stream_stream_rpc_method_handler(self.echo)}

    async def echo(self, requests, context):
        self.active += 1
        self.began.set()
        try:
            async for request in requests:
                yield request
        finally:
            self.active -= 1

    def load(self):
        return Load(active_streams=self.active)


@pytest.fixture
def echo():
    return Echo()


@pytest.fixture
async def server(serve, echo):
    return await serve(handlers=echo.handlers, load=echo.load)


@pytest.fixture
def channel(server, dial):
    return dial(server.port).channel


@pytest.fixture
async def stream(channel, echo):
    """An open call of Echo."""
    call = channel.stream_stream("/test.Test/Echo")()
    await call.write(b"hello")
    await echo.began.wait()
    yield call
    call.cancel()


@pytest.fixture
async def stopping(server):
    """`until_stopped` at work; nothing sends a signal before it listens."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(until_stopped(server), name="until stopped")
        await asyncio.sleep(0)
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        yield task
        task.cancel()


async def health_of(channel, service=""):
    stub = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=LIMIT_S)
    return answer.status


async def ended(task):
    async with asyncio.timeout(LIMIT_S):
        await asyncio.wait({task})
    assert task.exception() is None


@pytest.mark.parametrize("service", ["", "test.Test", "ovos.worker.v1.WorkerService"])
async def test_health_says_serving_from_ready_on(server, channel, service):
    assert await health_of(channel, service) == NOT_SERVING
    await server.ready()
    assert await health_of(channel, service) == SERVING
    await server.unready()
    assert await health_of(channel, service) == NOT_SERVING


async def test_a_draining_server_is_not_ready_again(server, channel):
    await server.ready()
    await server.drain()
    await server.ready()
    assert await health_of(channel) == NOT_SERVING
    status = await worker_pb2_grpc.WorkerServiceStub(channel).GetStatus(
        worker_pb2.GetStatusRequest(), timeout=LIMIT_S
    )
    assert status.status.state == worker_pb2.WORKER_STATE_DRAINING


async def test_reflection_lists_the_services(channel):
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    call = stub.ServerReflectionInfo(iter([question]), timeout=LIMIT_S)
    [answer] = [answer async for answer in call]
    assert {service.name for service in answer.list_services_response.service} == {
        "test.Test",
        "ovos.worker.v1.WorkerService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


async def test_calls_over_the_limit_are_refused_at_once(serve, dial, echo):
    server = await serve(handlers=echo.handlers, max_rpcs=1)
    channel = dial(server.port).channel
    first = channel.stream_stream("/test.Test/Echo")()
    await first.write(b"1")
    await echo.began.wait()
    second = channel.stream_stream("/test.Test/Echo")(timeout=LIMIT_S)
    with pytest.raises(Overloaded), calling("stt"):
        await second.read()
    assert await first.read() == b"1", "the first goes on"
    first.cancel()


async def test_a_taken_port_is_an_error_that_names_it_and_its_setting(server, serve):
    second = await serve(start=False, port=server.port)
    with pytest.raises(OSError, match=rf"127\.0\.0\.1:{server.port} \(STT_PORT\)"):
        await second.start()


def test_an_ipv6_address_is_written_in_brackets():
    assert address("::", 50051) == "[::]:50051"
    assert address("127.0.0.1", 50051) == "127.0.0.1:50051"


async def test_drain_refuses_what_is_new_and_waits_for_what_is_open(server, channel, stream):
    await server.ready()
    assert await stream.read() == b"hello"
    async with asyncio.TaskGroup() as tasks:
        drain = tasks.create_task(server.drain(), name="drain")
        await server.draining.wait()
        assert await health_of(channel) == NOT_SERVING
        second = channel.stream_stream("/test.Test/Echo")(timeout=LIMIT_S)
        with pytest.raises(Draining), calling("stt"):
            await second.read()
        await stream.write(b"still here")
        assert await stream.read() == b"still here"
        assert not drain.done()
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        await ended(drain)


@pytest.mark.parametrize("shape", ["unary_unary", "unary_stream", "stream_unary"])
async def test_calls_of_every_shape_are_refused_while_draining(server, channel, shape):
    await server.drain()
    multi = getattr(channel, shape)("/test.Test/Anything")
    call = multi(iter([b""]) if shape.startswith("stream") else b"", timeout=LIMIT_S)
    with pytest.raises(Draining), calling("stt"):
        await (call.read() if shape.endswith("stream") else call)


async def test_drain_gives_up_when_its_time_is_over(serve, caplog):
    server = await serve(drain_s=0.01, load=lambda: Load(active_streams=1))
    async with asyncio.timeout(LIMIT_S):
        await server.drain()
    assert "drain ran out of time" in caplog.messages


async def test_watchers_do_not_hold_up_the_stop(server, channel):
    watches = [
        health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()),
        worker_pb2_grpc.WorkerServiceStub(channel).WatchStatus(worker_pb2.WatchStatusRequest()),
    ]
    for watch in watches:
        await watch.read()
    async with asyncio.timeout(1):  # what still works would get 2 s
        await server.stop()
    for watch in watches:
        assert await watch.code() is grpc.StatusCode.OK


async def test_what_works_when_the_server_stops_may_end(server, stream):
    await stream.read()
    async with asyncio.TaskGroup() as tasks:
        stop = tasks.create_task(server.stop(), name="stop")
        await stream.write(b"last words")
        assert await stream.read() == b"last words"
        await stream.done_writing()
        await ended(stop)
    assert await stream.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_stops(server, stopping, stream, number):
    signal.raise_signal(number)
    async with asyncio.timeout(LIMIT_S):
        await server.draining.wait()
    assert not stopping.done()
    await stream.done_writing()
    await ended(stopping)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_a_tier_is_run_until_it_is_told_to_end(server, channel):
    @asynccontextmanager
    async def tier():
        yield server
        seen.append("left")

    async def until(running):
        seen.append(running)
        assert await health_of(channel) == NOT_SERVING
        assert gc.get_freeze_count() > 0, "else collecting garbage holds up every stream"

    seen = []
    gc.unfreeze()
    try:
        await run(tier(), "127.0.0.1", 0, until=until)
    finally:
        gc.unfreeze()
    assert seen == [server, "left"]


@pytest.mark.parametrize("kind", [Unavailable, NotInstalled])
async def test_a_tier_that_has_nothing_to_serve_with_says_why_and_ends(kind, caplog):
    @asynccontextmanager
    async def tier():
        raise kind("no weights")
        yield

    with pytest.raises(SystemExit) as ended:
        await run(tier(), "127.0.0.1", 0)
    assert ended.value.code == 1
    assert [line.reason for line in caplog.records if line.message == "no engine"] == ["no weights"]


async def test_a_second_signal_does_not_wait_for_the_drain(serve):
    server = await serve(drain_s=60, load=lambda: Load(active_streams=1))
    async with asyncio.TaskGroup() as tasks:
        stopping = tasks.create_task(until_stopped(server), name="until stopped")
        await asyncio.sleep(0)
        signal.raise_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT_S):
            await server.draining.wait()
        signal.raise_signal(signal.SIGTERM)
        await ended(stopping)


async def test_an_operator_can_drain_and_ask_twice(server, channel, stopping, stream):
    stub = worker_pb2_grpc.WorkerServiceStub(channel)
    for _ in range(2):
        request = worker_pb2.DrainRequest(grace=Duration(seconds=60))
        answer = await stub.Drain(request, timeout=LIMIT_S)
        assert answer.active_streams == 1
    signal.raise_signal(signal.SIGTERM)  # the first one is no sign of impatience
    assert await health_of(channel) == NOT_SERVING
    await stream.write(b"still here")
    assert [await stream.read(), await stream.read()] == [b"hello", b"still here"]
    await stream.done_writing()
    await ended(stopping)


FRAME = bytes(960)  # 20 ms of 24 kHz PCM
WINDOW = 64 * 1024  # with gRPC's defaults 4 MB wait between two ends, 85 s of PCM


async def fill(write):
    """Write frames until a write waits; bytes written."""
    written = 0
    while written < 8 * WINDOW:
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(write(FRAME), name="write")
            done, _ = await asyncio.wait({writing}, timeout=0.3)
            if not done:
                writing.cancel()
                return written
        written += len(FRAME)
    return written


async def test_a_server_that_does_not_read_soon_blocks_its_client(serve, dial):
    async def deaf(requests, context):
        await asyncio.Event().wait()
        yield b""

    handlers = {"Deaf": grpc.stream_stream_rpc_method_handler(deaf)}
    server = await serve(handlers=handlers)
    call = dial(server.port).channel.stream_stream("/test.Test/Deaf")()
    assert 0 < await fill(call.write) <= WINDOW
    call.cancel()


async def test_a_client_that_does_not_read_soon_blocks_the_server(serve, dial):
    written = asyncio.get_running_loop().create_future()

    async def talkative(request, context):
        written.set_result(await fill(context.write))

    handlers = {"Talk": grpc.unary_stream_rpc_method_handler(talkative)}
    server = await serve(handlers=handlers)
    call = dial(server.port).channel.unary_stream("/test.Test/Talk")(b"")
    async with asyncio.timeout(LIMIT_S):
        assert 0 < await written <= WINDOW
    call.cancel()


@pytest.mark.parametrize(("most", "taken"), [({}, False), ({"max_message_bytes": 8 << 20}, True)])
async def test_a_tier_can_take_longer_messages_than_the_others(serve, dial, most, taken):
    async def length(request, context):
        return str(len(request)).encode()

    handlers = {"Length": grpc.unary_unary_rpc_method_handler(length)}
    call = dial((await serve(handlers=handlers, **most)).port).channel.unary_unary(
        "/test.Test/Length"
    )
    size = 5 << 20
    if taken:
        assert await call(bytes(size), timeout=LIMIT_S) == str(size).encode()
    else:
        with pytest.raises(Overloaded), calling("stt"):
            await call(bytes(size), timeout=LIMIT_S)


@pytest.fixture
async def workers(streams_url):
    """The list that workers of the tier are in."""
    redis = connect(streams_url, timeout_s=2)
    yield Registry(redis, "stt").list
    await redis.aclose()


async def listed(workers, *ids):
    async with asyncio.timeout(20):
        while list(found := await workers()) != list(ids):
            await asyncio.sleep(0.02)
    return found


async def test_a_worker_is_listed_while_it_serves_and_leaves_before_it_ends(
    serve, workers, streams_url
):
    load = lambda: Load(2, 10, 1)  # noqa: E731
    server = await serve(load=load, engines=lambda: ["whisper", "sphinx"], drain_s=60.0)
    async with asyncio.TaskGroup() as tasks:
        listing = Listing(streams_url)
        keeping = tasks.create_task(server.keep_listed(listing), name="list")
        assert await workers() == {}, "it loads its models"
        await server.ready()
        found = (await listed(workers, server.worker_id))[server.worker_id]
        assert found == {
            "address": f"127.0.0.1:{server.port}",
            "pid": str(os.getpid()),
            "engines": "whisper,sphinx",
            "active_streams": "2",
            "max_streams": "10",
            "queue_depth": "1",
        }
        await server.unready()
        await listed(workers)
        await server.ready()
        await listed(workers, server.worker_id)
        draining = tasks.create_task(server.drain(), name="drain")  # its streams go on
        await ended(keeping)
        assert await workers() == {}
        draining.cancel()


async def test_a_worker_says_where_it_is_reached_if_settings_know(serve, workers, streams_url):
    server = await serve()
    await server.ready()
    async with asyncio.TaskGroup() as tasks:
        listing = Listing(streams_url, "stt-0.stt:50051")
        keeping = tasks.create_task(server.keep_listed(listing), name="list")
        found = await listed(workers, server.worker_id)
        assert found[server.worker_id]["address"] == "stt-0.stt:50051"
        keeping.cancel()


async def test_without_redis_there_is_no_list(server):
    async with asyncio.timeout(LIMIT_S):
        await server.keep_listed(Listing())
