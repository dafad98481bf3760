"""Health over real gRPC, as providers come and go."""

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from llm_orchestrator import app
from llm_orchestrator.config import Config
from llm_orchestrator.health import Watch
from llm_orchestrator.providers import Providers
from mesh.breaker import FAILURES, REST_S
from mesh.errors import Overloaded, Unavailable
from tests.fakes.llm import FakeEngine, Fault, Model, Reply

CONFIG = Config(port=0, metrics_port=0)
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def health(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=app.SERVICE), timeout=30)
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


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


async def test_a_tier_whose_providers_all_rest_does_not_serve_until_one_may_be_tried():
    clock, engine = Clock(), FakeEngine(Model(Reply(fault=Fault.BROKEN)))
    providers = Providers({"one": engine}, clock=clock)
    [one] = providers.all
    async with (
        app.running(CONFIG, providers) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        asyncio.timeout(30),
        asyncio.TaskGroup() as tasks,
    ):
        watch = Watch(providers, server)
        await watch.tell(await watch.look())
        keeping = tasks.create_task(watch.keep(3600), name="watch")  # it is told, and does not look
        call = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service=app.SERVICE)
        )
        assert (await call.read()).status == SERVING
        for _ in range(FAILURES):
            assert one.allows()
            one.failed(Unavailable("down"))
        assert (await call.read()).status == NOT_SERVING
        clock.now_s += REST_S
        providers.changed.set()  # as the time that is over would
        assert (await call.read()).status == SERVING
        assert one.allows()  # the trial
        await watch.tell(await watch.look())
        assert await health(channel) == SERVING  # while it runs, too
        one.failed(Unavailable("still down"))
        assert (await call.read()).status == NOT_SERVING
        clock.now_s += REST_S
        assert one.allows()
        one.succeeded()
        assert (await call.read()).status == SERVING
        assert one.allows()
        assert one.allows()
        call.cancel()
        keeping.cancel()


async def test_the_end_of_a_rest_is_seen_without_being_told():
    engine = FakeEngine(Model())
    providers = Providers({"one": engine})
    async with (
        app.running(CONFIG, providers) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        asyncio.timeout(30),
        asyncio.TaskGroup() as tasks,
    ):
        watch = Watch(providers, server)
        providers.all[0].failed(Overloaded("full", retry_after_s=0.2))
        await watch.tell(await watch.look())
        keeping = tasks.create_task(watch.keep(3600), name="watch")
        call = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service=app.SERVICE)
        )
        while (await call.read()).status != SERVING:
            pass
        call.cancel()
        keeping.cancel()


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
