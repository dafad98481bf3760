"""What one connection has under way at MCP servers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from gateway.backends import Backends, ToolFault
from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.told import told
from mesh.errors import MeshError

LIST_S = 10.0  # responses wait for lists
CALL_S = 40.0
MOST_AT_A_TIME = 8  # of one session: the language tier is everyone's

_LIST_LATE = "The server did not answer in time."
_CALL_LATE = "The tool did not return in time."

Work = do.ListTools | do.CallTool | do.DropTool
Take = Callable[[sig.Signal], None]

log = logging.getLogger(__name__)


class Tools:
    """Lists and calls by their item. Each gets an answer, unless it is dropped."""

    __slots__ = ("_backends", "_room", "_running")

    def __init__(self, backends: Backends) -> None:
        self._backends = backends
        self._running: dict[str, asyncio.Task[None]] = {}
        self._room: asyncio.Semaphore | None = None  # most sessions have no tools

    def start(self, work: Work, tasks: asyncio.TaskGroup, take: Take) -> None:
        """
        Args:
            take: Is told the answer.
        """
        match work:
            case do.ListTools():
                listing = tasks.create_task(self._list(work, take), name="list tools")
                self._keep(work.item_id, listing)
            case do.CallTool():
                calling = tasks.create_task(self._call(work, take), name="call tool")
                self._keep(work.item_id, calling)
            case do.DropTool(item_id):
                if item_id in self._running:
                    self._running.pop(item_id).cancel()

    def _keep(self, item_id: str, task: asyncio.Task[None]) -> None:
        self._running[item_id] = task
        task.add_done_callback(lambda _: self._running.pop(item_id, None))

    def _free(self) -> asyncio.Semaphore:
        if self._room is None:
            self._room = asyncio.Semaphore(MOST_AT_A_TIME)
        return self._room

    async def _list(self, work: do.ListTools, take: Take) -> None:
        news: sig.Mcp
        try:
            async with asyncio.timeout(LIST_S), self._free():
                news = sig.ToolsListed(work.item_id, await self._backends.list_tools(work.server))
        except TimeoutError:
            news = sig.ToolsNotListed(work.item_id, _LIST_LATE)
        except MeshError as error:
            news = sig.ToolsNotListed(work.item_id, told(error))
            about = {"item_id": work.item_id, "reason": error.detail}
            log.warning("tools not listed", extra=about)
        take(news)

    async def _call(self, work: do.CallTool, take: Take) -> None:
        item_id = work.item_id
        news: sig.Mcp
        try:
            async with asyncio.timeout(CALL_S), self._free():
                said = await self._backends.call_tool(work.server, work.name, work.arguments)
        except TimeoutError:
            news = _failed(item_id, _CALL_LATE)
        except MeshError as error:
            news = _failed(item_id, told(error))
            log.warning("tool not called", extra={"item_id": item_id, "reason": error.detail})
        else:
            news = (
                sig.ToolFailed(item_id, said.error)
                if isinstance(said, ToolFault)
                else sig.ToolReturned(item_id, said)
            )
        take(news)


def _failed(item_id: str, message: str) -> sig.ToolFailed:
    return sig.ToolFailed(item_id, {"type": "tool_execution_error", "message": message})
