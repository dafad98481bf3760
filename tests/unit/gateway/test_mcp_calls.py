"""What the contract suite (tests/contract/test_backends.py) cannot see: the wire itself."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import mcp_calls
from gateway.backends import ToolFault
from gateway.realtime.settings import McpTool
from mesh import log as logs
from mesh.errors import Unavailable
from ovos.llm.v1 import llm_pb2 as llm
from tests.fakes.backends import FakeBackends
from tests.fakes.mesh import serving

DOCS = McpTool("docs", "https://mcp.example", authorization="s3cret", headers={"x-team": "a"})


class Stub:
    """Keeps what it is asked and answers what it is told."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, float, dict[str, str]]] = []

    async def _answer(self, request: Any, timeout: float, metadata: Any) -> Any:  # noqa: ASYNC109
        self.asked.append((request, timeout, dict(metadata)))
        return self.answer

    ListTools = CallTool = _answer


async def test_all_of_a_server_is_passed_on_with_whose_call_it_is():
    stub = Stub(llm.ListToolsResponse())
    with logs.bound(tenant_id="acme", session_id="sess_1", correlation_id="corr_1"):
        assert await mcp_calls.list_tools(stub, DOCS) == ()
    [(request, timeout_s, metadata)] = stub.asked
    assert (request.server.label, request.server.url) == ("docs", "https://mcp.example")
    assert request.server.authorization == "s3cret"
    assert dict(request.server.headers) == {"x-team": "a"}
    assert (request.session.tenant_id, request.session.session_id) == ("acme", "sess_1")
    assert (metadata["x-tenant-id"], timeout_s) == ("acme", mcp_calls.LIST_S)


async def test_what_a_server_leaves_out_is_filled_in():
    odd = [{"name": "a"}, {"name": "b", "input_schema_json": "[1]", "annotations_json": '{"x'}]
    found = await mcp_calls.list_tools(Stub(llm.ListToolsResponse(tools=odd)), DOCS)
    nothing = {"description": "", "input_schema": {"type": "object"}, "annotations": None}
    assert found == ({"name": "a", **nothing}, {"name": "b", **nothing})


async def test_a_call_names_its_tool():
    stub = Stub(llm.CallToolResponse(output="3 hits"))
    assert await mcp_calls.call_tool(stub, McpTool("docs", "u"), "search", '{"q":1}') == "3 hits"
    [(request, timeout_s, _)] = stub.asked
    assert (request.name, request.arguments_json) == ("search", '{"q":1}')
    assert (request.server.authorization, dict(request.server.headers)) == ("", {})
    assert timeout_s == mcp_calls.CALL_S


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (llm.MCP_ERROR_KIND_PROTOCOL, {"type": "protocol_error", "code": 7, "message": "m"}),
        (llm.MCP_ERROR_KIND_HTTP, {"type": "http_error", "code": 7, "message": "m"}),
        (llm.MCP_ERROR_KIND_EXECUTION, {"type": "tool_execution_error", "message": "m"}),
        (llm.MCP_ERROR_KIND_UNSPECIFIED, {"type": "tool_execution_error", "message": "m"}),
    ],
)
async def test_what_a_tool_failed_with_stands_as_on_the_wire(kind, error):
    answer = llm.CallToolResponse(output="x", error={"kind": kind, "code": 7, "message": "m"})
    assert await mcp_calls.call_tool(Stub(answer), DOCS, "search", "{}") == ToolFault(error)


async def test_servers_that_are_away_do_not_cut_anybody_off_from_the_tier():
    world = FakeBackends()
    world.unlisted = Unavailable("the server cannot be reached", tier="llm")
    async with serving(world) as (backends, _):
        for _ in range(20):
            with pytest.raises(Unavailable, match="the server cannot be reached"):
                await backends.list_tools(DOCS)
        backends.llm.pick().check()
