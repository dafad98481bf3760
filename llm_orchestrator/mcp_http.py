"""HTTP to one MCP server, within bounds: its own origin, answers of a limited size.

Import it only once a server is asked: it imports httpx2, which takes a while.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping

import httpx2

CONNECT_S = 5.0
CLOSE_S = 0.5
"""How long a server may take to hear that a session is over."""

MAX_ANSWER_BYTES = 4 << 20
"""Of one HTTP answer, an event stream among them."""

_SESSION = "mcp-session-id"
_TLS = httpx2.create_ssl_context()  # 30 ms of work, so not for every client


class Misbehaved(Exception):
    """The server did what a server of MCP does not do. The message is for the developer."""


class Line:
    """The connection to one server, and what the MCP library does not tell about it."""

    def __init__(self, url: str, headers: Mapping[str, str], origin: tuple[str, str, int]) -> None:
        """
        Args:
            origin: Scheme, host and port that every request must go to.
        """
        self.status = 0
        """HTTP status of the last message, if it failed and the answer is no JSON-RPC error."""

        self._url, self._origin = url, origin
        self._headers = {"Accept-Encoding": "identity"} | dict(headers)
        self._session_id = ""

    def client(self, *_: object, **__: object) -> httpx2.AsyncClient:
        """A client of its own for each use. Takes and ignores what the library wishes for."""
        return httpx2.AsyncClient(
            headers=self._headers,
            verify=_TLS,
            # How long an answer may take is for the caller to say, over the whole exchange.
            timeout=httpx2.Timeout(None, connect=CONNECT_S),
            event_hooks={"request": [self._before], "response": [self._after]},
        )

    async def end_session(self) -> None:
        """Tell the server that its session is over. It may not care: then it times out there."""
        if not self._session_id:
            return
        try:
            async with self.client() as client:
                await client.delete(
                    self._url, headers={_SESSION: self._session_id}, timeout=CLOSE_S
                )
        except (httpx2.HTTPError, Misbehaved):
            return

    async def _before(self, request: httpx2.Request) -> None:
        url = request.url
        port = url.port or (443 if url.scheme == "https" else 80)
        host = f"[{url.host}]" if ":" in url.host else url.host
        if (url.scheme, host, port) != self._origin:
            raise Misbehaved("it leads to another origin")
        if request.method == "POST":
            self.status = 0

    async def _after(self, response: httpx2.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise Misbehaved("it compresses its answers, which were asked for as they are")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(response.stream)
        self._session_id = response.headers.get(_SESSION, self._session_id)
        if response.request.method != "POST" or response.status_code < 300:
            return
        if not await _is_json_rpc_error(response):
            self.status = response.status_code


class _Bounded(httpx2.AsyncByteStream):
    """A body that ends with an error where it becomes too long."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MAX_ANSWER_BYTES
        async for part in self._stream:
            left -= len(part)
            if left < 0:
                raise Misbehaved(f"its answer is longer than {MAX_ANSWER_BYTES >> 20} MiB")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _is_json_rpc_error(response: httpx2.Response) -> bool:
    if not response.headers.get("content-type", "").startswith("application/json"):
        return False
    try:
        body = json.loads(await response.aread())
    except ValueError:
        return False
    return isinstance(body, dict) and "jsonrpc" in body and "error" in body
