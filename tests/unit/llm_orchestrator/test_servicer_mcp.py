"""MCP tools through the tier's own gRPC server."""

import asyncio

import grpc
import pytest

from llm_orchestrator import app
from llm_orchestrator.config import Config
from llm_orchestrator.mcp_policy import AllowedServer
from mesh.errors import (
    Forbidden,
    Overloaded,
    Rejected,
    TooSlow,
    Unauthenticated,
    Unavailable,
    calling,
)
from ovos.common.v1 import common_pb2
from ovos.llm.v1 import llm_pb2 as pb
from ovos.llm.v1 import llm_pb2_grpc
from tests.fakes.mcp_server import mcp_server

METADATA = (("x-tenant-id", "acme"),)
LIMIT_S = 30.0


@pytest.fixture
async def server():
    async with mcp_server() as server:
        yield server


@pytest.fixture
async def stub(server):
    config = Config(
        port=0,
        providers=("offline",),
        mcp_allowed=(AllowedServer(server.url), AllowedServer("http://127.0.0.1:1")),
        mcp_max_calls=1,
    )
    async with (
        app.running(config, app.load(config)) as tier,
        grpc.aio.insecure_channel(f"127.0.0.1:{tier.port}") as channel,
    ):
        yield llm_pb2_grpc.LlmOrchestratorServiceStub(channel)


def named(url, **fields):
    return pb.McpServer(label="docs", url=url, **fields)


def calling_of(url, name, arguments_json="{}", **fields):
    return pb.CallToolRequest(server=named(url), name=name, arguments_json=arguments_json, **fields)


async def ask(method, request, *, metadata=METADATA, limit_s=LIMIT_S):
    with calling("llm"):
        return await method(request, metadata=metadata, timeout=limit_s)


async def test_lists_and_calls(stub, server):
    listed = await ask(stub.ListTools, pb.ListToolsRequest(server=named(server.url)))
    assert [tool.name for tool in listed.tools][:2] == ["add", "search"]
    called = await ask(stub.CallTool, calling_of(server.url, "search", '{"q": "vad"}'))
    assert called.output == "3 hits for vad"
    assert not called.HasField("error")


async def test_the_token_arrives(stub, server):
    await ask(stub.ListTools, pb.ListToolsRequest(server=named(server.url, authorization="sk-1")))
    assert {r["authorization"] for r in server.requests} == {"Bearer sk-1"}


async def test_a_failure_of_a_call_is_an_answer(stub, server):
    failed = await ask(stub.CallTool, calling_of(server.url, "fail"))
    assert failed.error.kind == pb.MCP_ERROR_KIND_EXECUTION
    assert failed.output
    gone = await ask(stub.CallTool, calling_of("http://127.0.0.1:1/", "add"))
    assert gone.error.kind == pb.MCP_ERROR_KIND_HTTP
    assert gone.error.message.startswith("The server 'docs' cannot be reached")


async def test_a_failure_of_a_list_is_a_status(stub):
    with pytest.raises(Unavailable, match="The server 'docs' cannot be reached"):
        await ask(stub.ListTools, pb.ListToolsRequest(server=named("http://127.0.0.1:1/")))


async def test_who_is_not_allowed_is_told_so(stub, server):
    for request, method in (
        (pb.ListToolsRequest(server=named("https://evil.com")), stub.ListTools),
        (calling_of("https://evil.com", "add"), stub.CallTool),
    ):
        with pytest.raises(Forbidden, match="The server 'docs' is not allowed here") as caught:
            await ask(method, request)
        assert caught.value.param == "server.url"
    assert server.requests == []


@pytest.mark.parametrize(
    ("fields", "options", "kind"),
    [
        ({"arguments_json": "["}, {}, Rejected),
        ({"session": common_pb2.SessionRef(tenant_id="other")}, {}, Rejected),
        ({}, {"metadata": ()}, Unauthenticated),
        ({}, {"limit_s": None}, Rejected),
    ],
)
async def test_mistakes_of_the_caller(stub, server, fields, options, kind):
    with pytest.raises(kind):
        await ask(stub.CallTool, calling_of(server.url, "add", **fields), **options)
    assert server.requests == []


async def test_the_deadline_of_the_call_holds(stub, server):
    try:
        slow = await ask(stub.CallTool, calling_of(server.url, "slow"), limit_s=2.0)
        assert slow.error.kind == pb.MCP_ERROR_KIND_HTTP
        assert "did not answer within" in slow.error.message
    except TooSlow:  # on a machine so busy that the answer did not get through
        pass


async def test_a_cancelled_call_frees_its_place(stub, server):
    call = stub.CallTool(calling_of(server.url, "slow"), metadata=METADATA, timeout=LIMIT_S)
    async with asyncio.timeout(LIMIT_S):
        await server.slow_began.wait()
        with pytest.raises(Overloaded):
            await ask(stub.CallTool, calling_of(server.url, "search", '{"q": "vad"}'))
        call.cancel()
        await server.slow_cancelled.wait()
        while True:
            try:
                await ask(stub.CallTool, calling_of(server.url, "search", '{"q": "vad"}'))
                return
            except Overloaded:
                await asyncio.sleep(0.01)
