from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from gateway import messages
from gateway.endings import Closed
from gateway.messages import Close, Moved
from gateway.sessions.store import Meta, Outcome
from tests.fakes.store import MemoryStore, World

META = Meta("acme", "hash", "gpt-realtime", 4_000_000_000, "conv_1")


class Session:
    """A connection and what is kept of it: only what messages touch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.kept = SimpleNamespace(epoch=epoch, lose=self.lose)
        self.heard = asyncio.Event()
        self.lost: Outcome | None = None
        self.ended: object = None

    def lose(self, outcome: Outcome) -> None:
        self.lost = outcome
        self.heard.set()

    def end(self, why: object) -> None:
        self.ended = why
        self.heard.set()

    async def until_told(self) -> None:
        async with asyncio.timeout(5):
            await self.heard.wait()


@pytest.fixture
async def world():
    return World()


@asynccontextmanager
async def attending(world, **live):
    """A store of another gateway, while `gw_1` attends to what it is told."""
    store = MemoryStore(world, "gw_1")
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(messages.attend(store, live), name="attend")
        await asyncio.sleep(0)
        yield MemoryStore(world, "gw_2")
        task.cancel()


async def test_a_session_that_another_gateway_has_claimed_is_lost(world):
    session = Session(1)
    await MemoryStore(world, "gw_1").create("sess_1", META, b"state")
    async with attending(world, sess_1=session) as other:
        await other.claim("sess_1", "acme")
        await session.until_told()
    assert session.lost is Outcome.MOVED


async def test_a_claim_that_came_late_is_no_news(world):
    """The session moved away and came back."""
    back, next_one = Session(3), Session(1)
    async with attending(world, sess_1=back, sess_2=next_one) as other:
        for name in ("sess_1", "sess_2"):
            await other.tell("gw_1", messages.encode(Moved(name, 3)))
        await next_one.until_told()
    assert back.lost is None
    assert next_one.lost is Outcome.MOVED


async def test_a_session_can_be_closed_from_elsewhere(world):
    session = Session(1)
    async with attending(world, sess_1=session) as other:
        await other.tell("gw_1", messages.encode(Close("sess_1")))
        await session.until_told()
    assert isinstance(session.ended, Closed)
    assert session.lost is None


async def test_what_is_not_understood_stops_nothing(world, caplog):
    session = Session(1)
    async with attending(world, sess_1=session) as other:
        await other.tell("gw_1", b"\xc1 nonsense")
        await other.tell("gw_1", messages.encode({"kind": "dance", "session_id": "sess_1"}))
        await other.tell("gw_1", messages.encode(Close("sess_other")))
        await other.tell("gw_1", messages.encode(Close("sess_1")))
        await session.until_told()
    assert [r.message for r in caplog.records] == ["message not understood"] * 2
