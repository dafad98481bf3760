"""Sessions that a keeper keeps, and a store that can be held up."""

from __future__ import annotations

import asyncio

from gateway.realtime import effects as do
from gateway.sessions.keeper import Keeper
from gateway.sessions.kept import Kept
from gateway.sessions.store import Outcome
from tests.fakes.store import MemoryStore, World
from tests.unit.gateway.sessions.telling import META, Told

WAIT_S = 30.0  # far above what anything takes


class Gated(MemoryStore):
    """A store whose writes can be held up; `batches` is how many sessions each wrote."""

    def __init__(self, world: World, gateway_id: str = "gw_1") -> None:
        super().__init__(world, gateway_id)
        self.gate = asyncio.Event()
        self.gate.set()
        self.batches: list[int] = []
        self.n_asked = 0

    async def write(self, writes):
        self.n_asked += 1
        await self.gate.wait()
        outcomes = await super().write(writes)
        self.batches.append(len(writes))
        return outcomes


class Session(Told):
    """A session that a keeper keeps."""

    def __init__(self, keeper: Keeper, session_id: str) -> None:
        super().__init__(session_id)
        self.kept = Kept(self.session, self.ids_of, self.journal, META, epoch=1, writer=keeper)
        self.facts: list[do.Fact] = []
        self.lost: list[Outcome] = []
        self.kept.keep_fact, self.kept.lost = self.facts.append, self.lost.append
        keeper.add(self.kept)

    def note(self, event, effects, raw):
        return self.kept.note(event, effects, raw)

    async def until_kept(self) -> None:
        async with asyncio.timeout(WAIT_S):
            await self.kept.until(self.after)
