from importlib.metadata import version

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from mesh.errors import Rejected, calling
from mesh.health import BUSY_EVERY_S, IDLE_EVERY_S, Load, WorkerServicer
from ovos.worker.v1 import worker_pb2 as pb
from ovos.worker.v1 import worker_pb2_grpc

LIMIT_S = 30


class Worker:
    """A WorkerServicer on a server, and what it was asked to do."""

    def __init__(self):
        self.load = Load()
        self.drains = []
        self.servicer = WorkerServicer(lambda: self.load, self.drains.append)


@pytest.fixture
def worker():
    return Worker()


@pytest.fixture
async def stub(worker, dial):
    server = grpc.aio.server()
    worker_pb2_grpc.add_WorkerServiceServicer_to_server(worker.servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield worker_pb2_grpc.WorkerServiceStub(dial(port).channel)
    await server.stop(None)


async def test_the_status_says_how_full_the_process_is(worker, stub):
    worker.load = Load(active_streams=3, max_streams=10, queue_depth=7)
    worker.servicer.state = pb.WORKER_STATE_SERVING
    answer = await stub.GetStatus(pb.GetStatusRequest(), timeout=LIMIT_S)
    assert answer.status == pb.WorkerStatus(
        worker_id=worker.servicer.worker_id,
        state=pb.WORKER_STATE_SERVING,
        active_streams=3,
        max_streams=10,
        queue_depth=7,
        version=version("ovos-voice-mesh"),
    )


def test_a_worker_starts_and_is_nobody_else():
    first, second = Worker().servicer, Worker().servicer
    assert first.state == pb.WORKER_STATE_STARTING
    assert first.worker_id != second.worker_id


async def test_a_watcher_is_told_at_once_and_again_and_again(worker, stub):
    worker.load = Load(active_streams=1)
    watch = stub.WatchStatus(pb.WatchStatusRequest(), timeout=LIMIT_S)
    assert (await watch.read()).status.active_streams == 1
    worker.load = Load(active_streams=2)
    assert (await watch.read()).status.active_streams == 2
    watch.cancel()


def test_three_missed_messages_of_a_busy_worker_are_a_hang_of_0_6_s():
    assert pytest.approx(0.6) == BUSY_EVERY_S * 3
    assert IDLE_EVERY_S > BUSY_EVERY_S


async def test_a_watch_can_be_ended(worker, stub):
    watch = stub.WatchStatus(pb.WatchStatusRequest(), timeout=LIMIT_S)
    await watch.read()
    worker.servicer.end_watches()
    assert await watch.read() is grpc.aio.EOF
    assert await watch.code() is grpc.StatusCode.OK


async def test_draining_begins_with_the_grace_asked_for(worker, stub):
    worker.load = Load(active_streams=4)
    request = pb.DrainRequest(grace=Duration(seconds=2, nanos=500_000_000))
    answer = await stub.Drain(request, timeout=LIMIT_S)
    assert (worker.drains, answer.active_streams) == ([2.5], 4)


async def test_a_call_without_a_deadline_is_refused(worker, stub):
    for call, request in (
        (stub.GetStatus, pb.GetStatusRequest()),
        (stub.Drain, pb.DrainRequest()),
    ):
        with pytest.raises(Rejected, match="deadline"), calling("stt"):
            await call(request)
    assert worker.drains == []
