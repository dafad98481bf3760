from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from gateway import tools as module
from gateway.backends import ToolFault
from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.settings import McpTool
from gateway.tools import Tools
from mesh.errors import Forbidden, Unavailable
from tests.clock import Clock
from tests.fakes.backends import SEARCH, FakeBackends

SECRET = "s3cret-token"
DOCS = McpTool("docs", "https://mcp.example", authorization=SECRET, headers={"x-team": SECRET})
LIST = do.ListTools("mcpl_1", DOCS)
CALL = do.CallTool("mcp_1", DOCS, "search", '{"q":"vad"}')


class World:
    def __init__(self) -> None:
        self.backends = FakeBackends()
        self.heard: asyncio.Queue[sig.Signal] = asyncio.Queue()
        self.tools = Tools(self.backends)

    @asynccontextmanager
    async def doing(self, *work: module.Work):
        async with asyncio.TaskGroup() as tasks:
            for one in work:
                self.tools.start(one, tasks, self.heard.put_nowait)
            yield tasks

    async def answer(self, work: module.Work) -> sig.Signal:
        async with self.doing(work), asyncio.timeout(10):
            return await self.heard.get()


@pytest.fixture
async def world():
    return World()


async def test_tools_are_listed(world):
    assert await world.answer(LIST) == sig.ToolsListed("mcpl_1", (SEARCH,))
    assert world.backends.servers == [DOCS]


async def test_a_tool_is_called(world):
    assert await world.answer(CALL) == sig.ToolReturned("mcp_1", "3 hits")
    assert world.backends.called == [("search", '{"q":"vad"}')]


async def test_a_server_that_cannot_be_listed_is_told_in_words_for_clients(world, caplog):
    world.backends.unlisted = Unavailable("10.0.0.7:443 refused", tier="llm")
    assert await world.answer(LIST) == sig.ToolsNotListed("mcpl_1", "It cannot be reached.")
    assert [r.message for r in caplog.records] == ["tools not listed"]
    assert caplog.records[0].reason == "10.0.0.7:443 refused"


async def test_a_tool_that_failed_says_so(world):
    error = {"type": "http_error", "code": 502, "message": "bad gateway"}
    world.backends.result = ToolFault(error)
    assert await world.answer(CALL) == sig.ToolFailed("mcp_1", error)


async def test_a_tool_that_could_not_be_called_failed_too(world):
    world.backends.result = Forbidden("the operator does not allow it", tier="llm")
    error = {"type": "tool_execution_error", "message": "the operator does not allow it"}
    assert await world.answer(CALL) == sig.ToolFailed("mcp_1", error)


@pytest.mark.parametrize(
    ("work", "limit_s", "answer"),
    [(LIST, module.LIST_S, sig.ToolsNotListed), (CALL, module.CALL_S, sig.ToolFailed)],
)
async def test_nobody_waits_for_ever(world, work, limit_s, answer):
    clock = Clock(asyncio.get_running_loop())
    world.backends.tool_gate = asyncio.Event()
    async with world.doing(work):
        while not world.backends.open_streams:
            await asyncio.sleep(0)
        clock.advance(limit_s - 0.1)
        await asyncio.sleep(0)
        assert world.heard.empty()
        clock.advance(0.2)
        assert isinstance(await world.heard.get(), answer)


async def test_what_is_dropped_is_stopped_and_says_nothing(world):
    world.backends.tool_gate = asyncio.Event()
    async with world.doing(LIST, CALL) as tasks:
        while world.backends.open_streams < 2:
            await asyncio.sleep(0)
        for work in (do.DropTool("mcpl_1"), do.DropTool("mcp_1"), do.DropTool("nobody")):
            world.tools.start(work, tasks, world.heard.put_nowait)
    assert world.heard.empty()
    assert world.backends.open_streams == 0


async def test_only_so_many_at_a_time(world):
    world.backends.tool_gate = asyncio.Event()
    n = module.MOST_AT_A_TIME + 2
    async with world.doing(*(do.CallTool(f"mcp_{i}", DOCS, "search", "{}") for i in range(n))):
        while world.backends.open_streams < module.MOST_AT_A_TIME:
            await asyncio.sleep(0)
        assert world.backends.open_streams == module.MOST_AT_A_TIME
        world.backends.tool_gate.set()
    assert world.heard.qsize() == n


async def test_secrets_are_not_logged(world, caplog):
    caplog.set_level("DEBUG")
    world.backends.unlisted = world.backends.result = Unavailable("away", tier="llm")
    await world.answer(LIST)
    await world.answer(CALL)
    assert len(caplog.records) >= 2
    assert all(SECRET not in str(vars(record)) for record in caplog.records)
