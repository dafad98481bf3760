import signal

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.errors import Unavailable
from ovos.worker.v1 import worker_pb2, worker_pb2_grpc
from tests import processes
from tests.processes import until, until_it_answers
from tts_service.app import SERVICE, load, running
from tts_service.config import Config
from tts_service.loudness import Levels


async def test_it_serves_health_and_load_beside_speech():
    async with (
        running(Config(port=0, engines=("espeak",), max_streams=7)) as server,
        grpc.aio.insecure_channel(f"{server.host}:{server.port}") as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        answer = await health.Check(request, timeout=30)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        worker = worker_pb2_grpc.WorkerServiceStub(channel)
        status = (await worker.GetStatus(worker_pb2.GetStatusRequest(), timeout=30)).status
        assert (status.active_streams, status.max_streams) == (0, 7)


def test_without_any_engine_there_is_no_tier(tmp_path):
    with pytest.raises(Unavailable, match="voicemesh models pull"):
        load(Config(engines=("kokoro", "piper"), models_dir=tmp_path), Levels())


async def start(tmp_path, **env):
    ports = {"TTS_PORT": "0", "TTS_METRICS_PORT": "0"}
    return await processes.start("tts_service", MODELS_DIR=str(tmp_path), **ports, **env)


async def test_the_process_says_what_serves_and_ends_at_sigterm(tmp_path):
    process = await start(tmp_path)
    assert (await until(process, "engine serves"))["engine"] == "espeak"
    port = (await until(process, "ready"))["port"]
    await until_it_answers(port)
    process.send_signal(signal.SIGTERM)
    await until(process, "stopped")
    assert await process.wait() == 0


async def test_a_process_without_an_engine_says_why_and_ends(tmp_path):
    process = await start(tmp_path, TTS_ENGINES="kokoro")
    assert "voicemesh models pull" in (await until(process, "no engine"))["reason"]
    assert await process.wait() == 1
