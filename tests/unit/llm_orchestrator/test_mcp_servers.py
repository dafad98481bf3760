"""Against real MCP servers of the official package, and against one that misbehaves."""

import asyncio
import json
import logging

import pytest
from aiohttp import web

from llm_orchestrator import mcp_servers
from llm_orchestrator.mcp_policy import AllowedServer, Policy
from llm_orchestrator.mcp_servers import Kind, McpFailure, McpServer, McpServers
from mesh.errors import Unavailable
from tests.fakes.mcp_server import mcp_server

LIMIT_S = 30.0
TOKEN = "sk-not-to-be-seen"

servers = McpServers()


def named(url, **headers):
    return McpServer("docs", url, Policy([AllowedServer(url)]).check("docs", url), headers)


@pytest.fixture(params=[{}, {"json_response": True}, {"sse": True}], ids=["stream", "json", "sse"])
async def real(request):
    async with mcp_server(**request.param) as server:
        yield server


async def test_lists_the_tools(real):
    tools = await servers.tools(named(real.url))
    assert [t.name for t in tools] == ["add", "search", "fail", "slow", "shout", "credentials"]
    assert tools[1].description == "Searches the documents."
    assert list(json.loads(tools[1].input_schema_json)["properties"]) == ["q"]
    assert json.loads(tools[0].annotations_json) == {"readOnlyHint": True}


async def test_calls_a_tool(real):
    assert await servers.call(named(real.url), "search", {"q": "vad"}) == "3 hits for vad"
    assert await servers.call(named(real.url), "add", {"a": 1, "b": 2}) == "3"


async def test_calls_of_one_server_run_side_by_side(real):
    server = named(real.url)
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
        slow = tasks.create_task(servers.call(server, "slow", {}), name="slow")
        await real.slow_began.wait()
        assert await servers.call(server, "search", {"q": "vad"}) == "3 hits for vad"
        assert await servers.call(server, "add", {"a": 1, "b": 2}) == "3"
        assert not slow.done()
        real.slow_may_end.set()
    assert slow.result()


async def test_a_tool_that_fails_is_told_from_a_server_that_does(real):
    with pytest.raises(McpFailure, match="fail") as caught:
        await servers.call(named(real.url), "fail", {})
    assert (caught.value.kind, caught.value.code) == (Kind.EXECUTION, 0)
    assert caught.value.output


async def test_the_headers_arrive_and_a_secret_does_not_come_back(real):
    server = named(real.url, authorization=f"Bearer {TOKEN}", **{"x-team": "blue"})
    assert await servers.call(server, "credentials", {}) == "Bearer [secret]"
    assert {(r["authorization"], r["x-team"]) for r in real.requests} == {
        (f"Bearer {TOKEN}", "blue")
    }


async def test_a_huge_output_is_cut(real):
    output = await servers.call(named(real.url), "shout", {"bytes": 200_000})
    assert output.startswith("x" * 65536 + "\n")
    assert output.endswith("(The rest of 200000 bytes was cut off.)")


async def test_a_slow_tool_is_given_up_in_time(real):
    with pytest.raises(McpFailure, match="did not answer within") as caught:
        await servers.call(named(real.url), "slow", {}, limit_s=0.5)
    assert caught.value.kind is Kind.HTTP


async def test_a_cancelled_call_ends_at_once(real):
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
        call = tasks.create_task(servers.call(named(real.url), "slow", {}), name="call")
        await real.slow_began.wait()
        call.cancel()
        await asyncio.wait({call})
    assert call.cancelled()
    assert not real.slow_may_end.is_set()


async def test_streamable_http_tells_the_server_that_a_call_is_cancelled():
    async with mcp_server() as real, asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
        call = tasks.create_task(servers.call(named(real.url), "slow", {}), name="call")
        await real.slow_began.wait()
        call.cancel()
        await real.slow_cancelled.wait()


class Old:
    """A server of the protocol of 2025, by hand: it pages its tools, and what `answers` has for
    a method comes instead."""

    def __init__(self):
        self.url, self.methods, self.ended = "", [], []
        self.answers = {}
        self.pages = 2

    async def post(self, request):
        message = await request.json()
        method = message["method"]
        self.methods.append(method)
        if method in self.answers or "*" in self.answers:
            return self.answers.get(method, self.answers.get("*"))()
        if "id" not in message:
            return web.Response(status=202)
        result = self.result(method, message.get("params") or {})
        if result is None:
            body = {"error": {"code": -32601, "message": f"no {method} for {TOKEN}"}}
        else:
            body = {"result": result}
        reply = web.json_response({"jsonrpc": "2.0", "id": message["id"], **body})
        reply.headers["mcp-session-id"] = "s_1"
        return reply

    def result(self, method, params):
        if method == "initialize":
            return {
                "protocolVersion": "2025-03-26",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "old", "version": "1"},
            }
        if method == "tools/list":
            page = int(params.get("cursor") or 0)
            tool = {"name": f"tool_{page}", "inputSchema": {"type": "object"}}
            return {"tools": [tool], "nextCursor": str(page + 1)} if page + 1 < self.pages else {
                "tools": [tool]
            }  # fmt: skip
        return None

    async def delete(self, request):
        self.ended.append(request.headers["mcp-session-id"])
        return web.Response()


@pytest.fixture
async def old():
    server = Old()
    app = web.Application()
    app.router.add_post("/mcp", server.post)
    app.router.add_delete("/mcp", server.delete)
    app.router.add_post("/elsewhere", server.post)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"
    yield server
    await runner.cleanup()


async def failure_of(url, **headers):
    with pytest.raises(McpFailure) as caught:
        await servers.tools(named(url, **headers), limit_s=LIMIT_S)
    assert "'docs'" in caught.value.message
    assert TOKEN not in caught.value.message
    return caught.value


async def test_all_pages_are_listed_and_the_session_is_ended(old):
    assert [tool.name for tool in await servers.tools(named(old.url))] == ["tool_0", "tool_1"]
    assert old.ended == ["s_1"]


async def test_there_is_a_limit_to_pages_and_tools(old, monkeypatch, caplog):
    old.pages = 1_000_000
    assert len(await servers.tools(named(old.url))) == mcp_servers.MAX_PAGES
    monkeypatch.setattr(mcp_servers, "MAX_TOOLS", 3)
    assert len(await servers.tools(named(old.url))) == 3
    assert "mcp server has too many tools" in caplog.messages


async def test_a_json_rpc_error_keeps_its_code_and_tells_no_secret(old):
    with pytest.raises(McpFailure, match=r"no tools/call for \[secret\]") as caught:
        await servers.call(named(old.url, authorization=f"Bearer {TOKEN}"), "tool_0", {})
    assert (caught.value.kind, caught.value.code) == (Kind.PROTOCOL, -32601)
    assert old.methods.count("tools/call") == 1


@pytest.mark.parametrize("status", [401, 403, 404, 405, 429, 500, 503])
async def test_an_http_error_keeps_its_status(old, status):
    old.answers["*"] = lambda: web.Response(status=status, text=f"go away {TOKEN}")
    failure = await failure_of(old.url)
    # What looks old is asked over SSE; this one has no GET at all.
    assert (failure.kind, failure.code) == (Kind.HTTP, 405 if status in (404, 405) else status)


async def test_a_call_that_fails_by_http_is_not_tried_again(old):
    old.answers["tools/call"] = lambda: web.Response(status=404)
    with pytest.raises(McpFailure) as caught:
        await servers.call(named(old.url), "tool_0", {})
    assert (caught.value.kind, caught.value.code) == (Kind.HTTP, 404)
    assert old.methods.count("tools/call") == 1


async def test_what_is_not_mcp_is_a_protocol_error(old):
    for answer in (
        lambda: web.Response(text="<html>", content_type="text/html"),
        lambda: web.json_response({"hello": 1}),
        lambda: web.Response(body=b"{]", content_type="application/json"),
        lambda: web.Response(status=202),
    ):
        old.answers["*"] = answer
        failure = await failure_of(old.url)
        assert failure.kind is Kind.PROTOCOL
        assert "validation error" not in failure.message  # the package's words


async def test_a_redirect_to_another_origin_is_not_followed(old):
    async with mcp_server() as elsewhere:
        old.answers["*"] = lambda: web.Response(status=307, headers={"Location": elsewhere.url})
        failure = await failure_of(old.url, authorization=f"Bearer {TOKEN}")
        assert (failure.kind, failure.code) == (Kind.HTTP, 307)
        assert elsewhere.requests == []


async def test_an_answer_without_end_is_not_read_to_its_end(old):
    old.answers["*"] = lambda: web.Response(body=b"x" * (5 << 20), content_type="application/json")
    failure = await failure_of(old.url)
    assert (failure.kind, "longer than 4 MiB" in failure.message) == (Kind.PROTOCOL, True)


async def test_nobody_there_is_an_http_failure(unused_tcp_port):
    failure = await failure_of(f"http://127.0.0.1:{unused_tcp_port}/mcp")
    assert (failure.kind, failure.code) == (Kind.HTTP, 0)
    assert "cannot be reached" in failure.message


async def test_nothing_that_was_sent_or_said_is_logged(old, caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("httpx2", "httpcore2"):  # as mesh.log has them
        caplog.set_level(logging.WARNING, logger=name)
    old.answers["tools/call"] = lambda: web.json_response({"private": 1})
    with pytest.raises(McpFailure):
        await servers.call(
            named(old.url, authorization=f"Bearer {TOKEN}"), "tool_0", {"q": "private"}
        )
    assert TOKEN not in caplog.text
    assert "private" not in caplog.text
    assert old.url not in caplog.text


async def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(mcp_servers, "import_module", missing)
    with pytest.raises(Unavailable, match=r"install ovos-voice-mesh\[mcp\]"):
        await servers.tools(named("http://127.0.0.1:1/mcp"))
