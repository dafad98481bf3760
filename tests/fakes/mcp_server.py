"""A real MCP server on loopback, made with the official package.

async with mcp_server() as server:
    server.url   # of its endpoint, for streamable HTTP; with sse=True for SSE
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations

START_S = 10.0


@dataclass
class Mcp:
    """A server that runs, and what it noticed."""

    url: str = ""
    requests: list[dict[str, str]] = field(default_factory=list)
    """Headers of every HTTP request, names in lower case."""

    slow_began: asyncio.Event = field(default_factory=asyncio.Event)
    slow_cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    slow_may_end: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def mcp_server(*, sse: bool = False, json_response: bool = False) -> AsyncIterator[Mcp]:
    """
    Args:
        sse: Speak only the transport of before 2025, with a GET that stays open.
        json_response: Answer with JSON instead of event streams.
    """
    seen = Mcp()
    made = _tools(seen)
    app: Any = made.sse_app() if sse else made.streamable_http_app(json_response=json_response)

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            seen.requests.append({k.decode(): v.decode() for k, v in scope["headers"]})
        await app(scope, receive, send)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        host, port = listening.getsockname()[:2]
        seen.url = f"http://{host}:{port}/{'sse' if sse else 'mcp'}"
        config = uvicorn.Config(
            watched,
            lifespan="on",
            log_config=None,
            ws="none",
            log_level="critical",
            timeout_graceful_shutdown=0,
        )
        server = _Server(config)
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(server.serve(sockets=[listening]), name="mcp")
            async with asyncio.timeout(START_S):
                while not server.started:
                    await asyncio.sleep(0.005)
            try:
                yield seen
            finally:
                seen.slow_may_end.set()
                server.should_exit = True
                await asyncio.wait({serving})


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The signals of the process are not this server's."""
        yield


def _tools(seen: Mcp) -> MCPServer[Any]:
    made: MCPServer[Any] = MCPServer("docs", log_level="CRITICAL")

    @made.tool(annotations=ToolAnnotations(read_only_hint=True))
    def add(a: int, b: int) -> int:
        """Adds two numbers."""
        return a + b

    @made.tool(structured_output=False)
    def search(q: str) -> str:
        """Searches the documents."""
        return f"3 hits for {q}"

    @made.tool(structured_output=False)
    def fail() -> str:
        """Fails."""
        raise ValueError("the shelf is empty")

    @made.tool(structured_output=False)
    async def slow() -> str:
        """Takes its time."""
        seen.slow_began.set()
        try:
            await seen.slow_may_end.wait()
        except asyncio.CancelledError:
            seen.slow_cancelled.set()
            raise
        return "at last"

    @made.tool(structured_output=False)
    def shout(bytes: int) -> str:
        """Returns so many bytes."""
        return "x" * bytes

    @made.tool(structured_output=False)
    def credentials() -> str:
        """Repeats the Authorization header of this request."""
        return seen.requests[-1].get("authorization", "none")

    return made
