from __future__ import annotations

import asyncio

import grpc
import pytest

from mesh.errors import Unavailable
from mesh.health import Load
from mesh.worker import Worker
from ovos.worker.v1 import worker_pb2 as pb


def says(worker, active=1, most=10):
    worker._says(pb.WorkerStatus(worker_id="w_1", active_streams=active, max_streams=most))


def look(worker, times):
    for _ in range(times):
        worker.look()


@pytest.fixture
async def worker():
    worker = Worker("stt", "127.0.0.1:1")
    yield worker
    await worker.close()


async def test_one_that_works_and_misses_three_messages_hangs(worker, caplog):
    says(worker)
    look(worker, 3)
    assert not worker.hangs
    look(worker, 1)
    assert worker.hangs
    assert not worker.in_view
    assert "worker hangs" in caplog.messages


async def test_one_that_has_nothing_to_do_speaks_seldom(worker):
    says(worker, active=0)
    look(worker, 15)
    assert not worker.hangs
    look(worker, 1)
    assert worker.hangs


async def test_one_that_answers_again_hangs_no_longer_and_may_be_tried(worker, caplog):
    caplog.set_level("INFO")
    says(worker)
    look(worker, 4)
    for _ in range(5):
        worker.failed(Unavailable("the worker hangs"))
    says(worker)
    assert not worker.hangs
    worker.check()
    assert "worker answers again" in caplog.messages


async def test_one_that_never_says_anything_is_not_taken_to_hang(worker):
    look(worker, 1000)
    assert not worker.hangs


async def test_it_is_as_full_as_it_says_and_as_we_have_filled_it_since(worker):
    says(worker, active=4)
    assert worker.load == 0.4
    worker.begin("a")
    worker.begin("b")
    worker.end("b")
    assert worker.load == 0.5
    says(worker, active=5)
    assert worker.load == 0.5
    says(worker, active=10)
    assert worker.is_full


async def test_one_that_does_not_say_what_it_takes_is_never_full(worker):
    for n in range(1000):
        worker.begin(n)
    assert not worker.is_full


async def test_the_list_is_believed_until_it_speaks_for_itself(worker):
    worker.listed_as("w_1", {"active_streams": "9", "max_streams": "10"})
    assert worker.load == 0.9
    assert worker.name == "w_1"
    says(worker, active=2)
    worker.listed_as("w_1", {"active_streams": "9", "max_streams": "10"})
    assert worker.load == 0.2


@pytest.mark.parametrize("nonsense", ["", "x", "-1", "1.5"])
async def test_nonsense_in_the_list_is_nothing(worker, nonsense):
    worker.listed_as("w_1", {"active_streams": nonsense, "max_streams": nonsense})
    assert worker.load == 0


async def test_what_a_worker_says_is_kept(serve, until):
    load = Load(3, 10)
    server = await serve(load=lambda: load)
    worker = Worker("stt", f"127.0.0.1:{server.port}")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(worker.run(), name="run")
        await until(lambda: worker.load == 0.3)
        assert worker.id == server.worker_id
        assert not worker.in_view
        await server.ready()
        await until(lambda: worker.in_view)
        load = Load(0, 10)
        await until(lambda: worker.load == 0)
        load = Load(10, 10)
        await until(lambda: worker.is_full)
        running.cancel()
    assert worker.channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN


async def test_giving_up_reaches_the_calls_that_can_be_given_up(worker):
    lost = []
    worker.begin("stream", lost.append)
    worker.begin("one message")
    error = Unavailable("the worker hangs")
    worker.lose(error)
    assert lost == [error]
    worker.end("stream")
    worker.end("one message")
    worker.lose(error)
    assert lost == [error]
