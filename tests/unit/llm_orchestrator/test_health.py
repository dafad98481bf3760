"""Health over real gRPC, as providers come and go."""

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from llm_orchestrator import app
from llm_orchestrator.config import Config
from llm_orchestrator.health import Watch
from llm_orchestrator.providers import Providers
from tests.fakes.llm import FakeEngine, Model, Reply

CONFIG = Config(port=0, metrics_port=0)
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def health(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=app.SERVICE), timeout=5)
    return answer.status


async def test_health_follows_whether_anybody_can_answer():
    engine = FakeEngine(Model())
    providers = Providers({"one": engine})
    async with (
        app.running(CONFIG, providers) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        watch = Watch(providers, server)
        assert await health(channel) == NOT_SERVING
        for engine.available, status in ((True, SERVING), (False, NOT_SERVING), (True, SERVING)):
            await watch.tell(await watch.look())
            assert await health(channel) == status
    assert engine.closed


async def test_a_watch_sees_providers_come():
    engine = FakeEngine(Model(Reply()))
    engine.available = False
    providers = Providers({"one": engine})
    async with (
        app.running(CONFIG, providers) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        asyncio.timeout(10),
        asyncio.TaskGroup() as tasks,
    ):
        keeping = tasks.create_task(Watch(providers, server).keep(0.01), name="watch")
        call = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service=app.SERVICE)
        )
        assert (await call.read()).status == NOT_SERVING
        engine.available = True
        assert (await call.read()).status == SERVING
        call.cancel()
        keeping.cancel()
