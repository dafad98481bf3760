"""Wire messages about MCP servers into our terms, and answers into wire messages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from llm_orchestrator.mcp_policy import Policy
from llm_orchestrator.mcp_results import McpTool
from llm_orchestrator.mcp_servers import Kind, McpFailure, McpServer
from mesh.errors import MeshError, Rejected, Unavailable
from ovos.llm.v1 import llm_pb2 as pb

MAX_HEADERS = 32
MAX_HEADER_CHARACTERS = 8192

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_VALUE = re.compile(r"[\x20-\x7e\t]*")
_OURS = re.compile(
    r"host|connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|expect"
    r"|content-.*|accept|accept-encoding|cache-control|last-event-id|mcp-.*"
)
"""Headers that hold for one connection, or that the protocol sets itself."""

_KINDS = {
    Kind.PROTOCOL: pb.MCP_ERROR_KIND_PROTOCOL,
    Kind.HTTP: pb.MCP_ERROR_KIND_HTTP,
    Kind.EXECUTION: pb.MCP_ERROR_KIND_EXECUTION,
}


def server_of(server: pb.McpServer, policy: Policy) -> McpServer:
    """
    Raises:
        Rejected: the URL or a header cannot be used.
        Forbidden: the operator does not allow the server.
    """
    address = policy.check(server.label, server.url)
    headers = {name.lower(): value for name, value in server.headers.items()}
    if server.authorization:
        headers["authorization"] = f"Bearer {server.authorization}"
    _check(server.label, headers)
    return McpServer(server.label, server.url, address, headers)


def arguments_of(arguments_json: str) -> dict[str, Any]:
    """
    Raises:
        Rejected: they are no JSON object.
    """
    try:
        found = json.loads(arguments_json or "{}")
    except (ValueError, RecursionError) as error:  # the last is of thousands of brackets
        raise Rejected("arguments are not JSON", param="arguments_json") from error
    if not isinstance(found, dict):
        raise Rejected("arguments are not a JSON object", param="arguments_json")
    return found


def tools(found: Iterable[McpTool]) -> pb.ListToolsResponse:
    response = pb.ListToolsResponse()
    for tool in found:
        response.tools.add(
            name=tool.name,
            description=tool.description,
            input_schema_json=tool.input_schema_json,
            annotations_json=tool.annotations_json,
        )
    return response


def failed_call(failure: McpFailure) -> pb.CallToolResponse:
    error = pb.McpError(kind=_KINDS[failure.kind], code=failure.code, message=failure.message)
    return pb.CallToolResponse(output=failure.output, error=error)


def failed_list(failure: McpFailure) -> MeshError:
    """A list has no place for an error of its own: the call fails with it."""
    return Unavailable(failure.message, tier="llm")


def _check(label: str, headers: Mapping[str, str]) -> None:
    if len(headers) > MAX_HEADERS:
        raise _bad(label, f"more than {MAX_HEADERS}")
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or _OURS.fullmatch(name):
            raise _bad(label, "a name that cannot be set")
        if len(value) > MAX_HEADER_CHARACTERS or not _VALUE.fullmatch(value):
            raise _bad(label, "a value that is too long or has characters that no header can have")


def _bad(label: str, what: str) -> Rejected:
    return Rejected(f"The headers of the server {label!r} have {what}", param="server.headers")
