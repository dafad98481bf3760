import signal
import socket

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.chain import Chain
from ovos.worker.v1 import worker_pb2, worker_pb2_grpc
from stt_service.app import SERVICE, load, running
from stt_service.config import Config
from stt_service.engines import ENGINES
from tests import processes
from tests.fakes.stt import FakeEngine
from tests.processes import until, until_it_answers


async def test_it_serves_health_and_load_beside_recognition():
    async with (
        running(Config(port=0, max_streams=7), Chain({"fake": FakeEngine()})) as server,
        grpc.aio.insecure_channel(f"{server.host}:{server.port}") as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        answer = await health.Check(request, timeout=30)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        worker = worker_pb2_grpc.WorkerServiceStub(channel)
        status = (await worker.GetStatus(worker_pb2.GetStatusRequest(), timeout=30)).status
        assert (status.active_streams, status.max_streams) == (0, 7)


async def start(tmp_path, **env):
    ports = {"STT_PORT": "0", "STT_METRICS_PORT": "0"}
    return await processes.start("stt_service", MODELS_DIR=str(tmp_path), **ports, **env)


async def test_the_process_says_what_serves_and_ends_at_sigterm(tmp_path):
    process = await start(tmp_path)
    assert "voicemesh models pull" in (await until(process, "engine absent"))["reason"]
    assert (await until(process, "engine serves"))["engine"] == "pocketsphinx"
    port = (await until(process, "ready"))["port"]
    await until_it_answers(port)
    process.send_signal(signal.SIGTERM)
    await until(process, "stopped")
    assert await process.wait() == 0


async def test_a_process_without_an_engine_says_why_and_ends(tmp_path):
    process = await start(tmp_path, STT_ENGINES="faster_whisper")
    assert "voicemesh models pull" in (await until(process, "no engine"))["reason"]
    assert await process.wait() == 1


class Deaf(FakeEngine):
    """Loads, and cannot work."""

    def __init__(self, config: Config) -> None:
        super().__init__(config, failures=1)


async def test_an_engine_that_cannot_work_leaves_its_place_to_the_next(monkeypatch):
    monkeypatch.setitem(ENGINES, "deaf", f"{__name__}:Deaf")
    monkeypatch.setitem(ENGINES, "fake", "tests.fakes.stt:FakeEngine")
    chain = load(Config(engines=("deaf", "fake")))
    assert chain.names == ["fake"]
    assert "told to fail" in chain.absent["deaf"]


async def test_a_port_in_use_is_named(unused_tcp_port):
    chain = Chain({"fake": FakeEngine()})
    with (
        socket.create_server(("127.0.0.1", unused_tcp_port)),
        pytest.raises(OSError, match=f"{unused_tcp_port} .STT_PORT"),
    ):
        async with running(Config(port=unused_tcp_port), chain):
            pass
