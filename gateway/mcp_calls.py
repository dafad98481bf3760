"""MCP servers, asked through the language tier.

These calls pass the tier's breaker by: what they fail with is mostly a server of the client's,
and must not cut everybody off from the tier.
"""

from __future__ import annotations

import json
from typing import Any

from gateway.backends import ToolFault
from gateway.generation import session_ref
from gateway.realtime.settings import McpTool
from mesh.dial import metadata
from mesh.errors import calling
from ovos.llm.v1 import llm_pb2 as llm
from ovos.llm.v1 import llm_pb2_grpc

LIST_S = 10.0
CALL_S = 35.0  # the tier gives a tool 30
_TIER = "llm"

_ERRORS = {
    llm.MCP_ERROR_KIND_PROTOCOL: "protocol_error",
    llm.MCP_ERROR_KIND_HTTP: "http_error",
}
_TOOL_ERROR = "tool_execution_error"


async def list_tools(
    stub: llm_pb2_grpc.LlmOrchestratorServiceAsyncStub, server: McpTool
) -> tuple[dict[str, Any], ...]:
    """The tools as they stand on the wire.

    Raises:
        MeshError: the server did not answer, or may not be asked.
    """
    request = llm.ListToolsRequest(session=session_ref(), server=_server(server))
    with calling(_TIER):
        answer = await stub.ListTools(request, timeout=LIST_S, metadata=metadata())
    return tuple(_tool(tool) for tool in answer.tools)


async def call_tool(
    stub: llm_pb2_grpc.LlmOrchestratorServiceAsyncStub, server: McpTool, name: str, arguments: str
) -> str | ToolFault:
    """What the tool returns.

    Raises:
        MeshError: it could not be called.
    """
    request = llm.CallToolRequest(
        session=session_ref(), server=_server(server), name=name, arguments_json=arguments
    )
    with calling(_TIER):
        answer = await stub.CallTool(request, timeout=CALL_S, metadata=metadata())
    return _fault(answer.error) if answer.HasField("error") else answer.output


def _server(server: McpTool) -> llm.McpServer:
    return llm.McpServer(
        label=server.server_label,
        url=server.server_url,
        authorization=server.authorization or "",
        headers=server.headers or {},
    )


def _tool(tool: llm.McpTool) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "input_schema": _object(tool.input_schema_json) or {"type": "object"},
        "annotations": _object(tool.annotations_json),
    }


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None  # empty, or cut
    return found if isinstance(found, dict) else None


def _fault(error: llm.McpError) -> ToolFault:
    kind = _ERRORS.get(error.kind)
    if kind is None:
        return ToolFault({"type": _TOOL_ERROR, "message": error.message})
    return ToolFault({"type": kind, "code": error.code, "message": error.message})
