import grpc
import pytest
from aiohttp import web
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from voicemesh import probes

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
async def tier():
    server = grpc.aio.server()
    tier_health = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(tier_health, server)
    tier_health.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield tier_health
    await server.stop(None)


async def test_a_tier_is_ready_once_its_health_says_so(tier):
    ask = probes.grpc_serves(tier.target)
    await tier.set("", NOT_SERVING)
    assert not await ask()
    await tier.set("", SERVING)
    assert await ask()


async def test_a_server_without_health_is_not_ready():
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    assert not await probes.grpc_serves(f"127.0.0.1:{port}")()
    await server.stop(None)


async def test_nobody_there_is_not_ready(unused_tcp_port):
    assert not await probes.grpc_serves(f"127.0.0.1:{unused_tcp_port}")()
    assert not await probes.http_serves(f"http://127.0.0.1:{unused_tcp_port}/readyz")()


@pytest.mark.parametrize(("status", "ready"), [(200, True), (503, False)])
async def test_http_is_ready_with_status_200(aiohttp_server, status, ready):
    async def readyz(request):
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/readyz", readyz)
    url = (await aiohttp_server(app)).make_url("/readyz")
    assert await probes.http_serves(str(url))() is ready
