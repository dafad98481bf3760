"""Asks MCP servers for their tools, and calls these, through the official `mcp` package.

Each request has a connection and, with older servers, a session of its own: nothing is kept
of a server between two, so nothing can be mixed up between two clients of the mesh.
Streamable HTTP is tried first. A server that refuses its first message as those from before
2025 do (400, 404, 405) is asked over SSE.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from importlib import import_module
from typing import Any, TypeVar

from llm_orchestrator import mcp_results
from llm_orchestrator.mcp_policy import Address
from mesh.errors import Unavailable

LIST_S = 10.0
CALL_S = 30.0

MAX_TOOLS = 128
"""What OpenAI's models take at most; the others of a server are left out."""

MAX_PAGES = 32

_OLD = {400, 404, 405}
_NOT_MCP = "answered with something that is not MCP"
_INPUT_REQUIRED = "input_required"

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class McpServer:
    """A server as a client named it. What it holds is never shown or logged."""

    label: str
    url: str = field(repr=False)
    address: Address = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """All to send, Authorization among them."""


class Kind(Enum):
    PROTOCOL = "protocol"
    HTTP = "http"
    EXECUTION = "execution"


class McpFailure(Exception):
    """The server or its tool failed. The message is for the client's developer."""

    def __init__(self, kind: Kind, message: str, *, code: int = 0, output: str = "") -> None:
        """
        Args:
            code: JSON-RPC error code or HTTP status; 0 if there is none.
            output: What a tool that failed returned.
        """
        self.kind, self.message, self.code, self.output = kind, message, code, output
        super().__init__(message)


class McpServers:
    """The way to all servers. Imports the package when the first one is asked."""

    async def tools(self, server: McpServer, limit_s: float = LIST_S) -> list[mcp_results.McpTool]:
        """The tools of a server, in its order.

        Raises:
            McpFailure: it has none to give.
            Unavailable: the `mcp` package is missing here.
        """
        sdk = await _imported()
        return await _Exchange(sdk, server).run(_listed, min(limit_s, LIST_S))

    async def call(
        self, server: McpServer, name: str, arguments: Mapping[str, Any], limit_s: float = CALL_S
    ) -> str:
        """What a tool returns, as text.

        Raises:
            McpFailure: it failed, or could not be called.
            Unavailable: the `mcp` package is missing here.
        """
        sdk = await _imported()

        async def called(client: Any) -> Any:
            return await _called(sdk, client, name, dict(arguments))

        result = await _Exchange(sdk, server).run(called, min(limit_s, CALL_S))
        output = mcp_results.without_secrets(mcp_results.text_of(result), server.headers)
        if result.result_type == _INPUT_REQUIRED:
            raise McpFailure(Kind.EXECUTION, "The tool asks for input, which is not supported.")
        if result.is_error:
            shown = mcp_results.shortened(output) or "The tool failed and does not say why."
            raise McpFailure(Kind.EXECUTION, shown, output=output)
        return output


@dataclass(frozen=True, slots=True)
class _Sdk:
    """The modules of the package that are used here."""

    mcp: Any
    types: Any
    streamable: Any
    sse: Any
    http: Any


async def _imported() -> _Sdk:
    """The package. Its import takes a second, so it is done on a thread.

    Raises:
        Unavailable: it is missing, or of version 1.
    """
    names = ("mcp", "mcp_types", "mcp.client.streamable_http", "mcp.client.sse")
    # It logs what servers send, and what is wrong with it in the words of the server.
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    try:
        ours = "llm_orchestrator.mcp_http"
        return _Sdk(*await asyncio.to_thread(lambda: [import_module(n) for n in (*names, ours)]))
    except ImportError as error:
        raise Unavailable(
            "MCP tools need the mcp package, version 2: install ovos-voice-mesh[mcp] here",
            tier="llm",
        ) from error


class _Exchange:
    """One piece of work with one server."""

    def __init__(self, sdk: _Sdk, server: McpServer) -> None:
        self._sdk, self._server = sdk, server
        self._line = sdk.http.Line(server.url, server.headers, server.address.origin)
        self._connected = False

    async def run(self, work: Callable[[Any], Awaitable[T]], limit_s: float) -> T:
        """
        Args:
            work: Is given the package's client, connected.

        Raises:
            McpFailure: it could not be done in time, or at all.
        """
        try:
            async with asyncio.timeout(limit_s):
                return await self._either_way(work)
        except TimeoutError as error:
            raise self._failed(Kind.HTTP, f"did not answer within {limit_s:.3g} s") from error

    async def _either_way(self, work: Callable[[Any], Awaitable[T]]) -> T:
        line, url = self._line, self._server.url
        try:
            async with line.client() as http:
                done = await self._over(
                    self._sdk.streamable.streamable_http_client(
                        url, http_client=http, terminate_on_close=False
                    ),
                    work,
                )
            await line.end_session()
            return done
        except Exception as error:  # the package raises what it likes, in groups
            if self._connected or line.status not in _OLD:
                raise self._told(error) from error
        try:
            over = self._sdk.sse.sse_client(url, httpx_client_factory=line.client)
            return await self._over(over, work)
        except Exception as error:  # as above
            raise self._told(error) from error

    async def _over(self, transport: Any, work: Callable[[Any], Awaitable[T]]) -> T:
        async with self._sdk.mcp.Client(transport, cache=None) as client:
            self._connected = True
            return await work(client)

    def _told(self, error: Exception) -> McpFailure:
        """What the package raised, as ours."""
        http, mcp = self._sdk.http, self._sdk.mcp
        if misbehaved := _one_of(error, http.Misbehaved):
            return self._failed(Kind.PROTOCOL, f"did not answer as MCP wants: {misbehaved}")
        refused = _one_of(error, http.httpx2.HTTPStatusError)
        status = refused.response.status_code if refused else self._line.status
        if status:
            return self._failed(Kind.HTTP, f"answered with HTTP status {status}", status)
        if said := _one_of(error, mcp.MCPError):
            return self._refused(said)
        if gone := _one_of(error, OSError, http.httpx2.HTTPError):
            return self._failed(Kind.HTTP, f"cannot be reached ({type(gone).__name__})")
        return self._failed(Kind.PROTOCOL, _NOT_MCP)

    def _refused(self, error: Any) -> McpFailure:
        if error.code == self._sdk.types.CONNECTION_CLOSED:
            return self._failed(Kind.HTTP, "broke off its answer")
        if error.code == self._sdk.types.PARSE_ERROR:  # the package's, and it quotes the answer
            return self._failed(Kind.PROTOCOL, _NOT_MCP)
        said = mcp_results.without_secrets(str(error.message), self._server.headers)
        said = mcp_results.shortened(said)
        return self._failed(Kind.PROTOCOL, f"answered with an error: {said}", error.code)

    def _failed(self, kind: Kind, what: str, code: int = 0) -> McpFailure:
        log.info("mcp server failed", extra={"kind": kind.value, "code": code})
        return McpFailure(kind, f"The server {self._server.label!r} {what}.", code=code)


def _one_of(error: BaseException, *kinds: type[BaseException]) -> Any:
    """The first error of these kinds in a group of groups; None if there is none."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, (_one_of(inner, *kinds) for inner in error.exceptions)), None)
    return error if isinstance(error, kinds) else None


async def _listed(client: Any) -> list[mcp_results.McpTool]:
    tools: list[mcp_results.McpTool] = []
    cursor, pages = None, 0
    while pages < MAX_PAGES:
        page = await client.list_tools(cursor=cursor)
        tools += [tool for given in page.tools if (tool := mcp_results.tool_of(given))]
        cursor, pages = page.next_cursor, pages + 1
        if cursor is None or len(tools) > MAX_TOOLS:
            break
    if cursor is not None or len(tools) > MAX_TOOLS:
        log.warning("mcp server has too many tools", extra={"kept": MAX_TOOLS})
    return tools[:MAX_TOOLS]


async def _called(sdk: _Sdk, client: Any, name: str, arguments: dict[str, Any]) -> Any:
    """A tool's result.

    Not `client.call_tool`: that lists the tools after a call, to check the result against
    its schema, and fails when the tool has acted and only the list is missing.
    """
    types = sdk.types
    request = types.CallToolRequest(
        params=types.CallToolRequestParams(name=name, arguments=arguments)
    )
    try:
        return await client.session.send_request(request, types.CallToolResult)
    except sdk.mcp.MCPError as error:
        if error.code != types.HEADER_MISMATCH:
            raise
    await _listed(client)  # it tells which arguments are to be headers; nothing was called yet
    return await client.session.send_request(request, types.CallToolResult)
