from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.sessions.store import Abandoned, Meta
from gateway.sessions.sweeper import sweep_forever
from mesh.errors import Unavailable
from tests.clock import simulated

META = Meta("acme", "hash", "gpt-realtime", 1_800_000_000, "conv_1")
EVERY_S, PATIENCE_S = 5.0, 45.0


class Sessions:
    """The part of a store that sweeping needs; `away` fails all of it."""

    def __init__(self, *abandoned: str) -> None:
        self.abandoned = list(abandoned)
        self.away = False
        self.swept_at_s: list[float] = []

    async def ping(self) -> None:
        if self.away:
            raise Unavailable("redis is away")

    async def sweep(self, most: int) -> list[Abandoned]:
        await self.ping()
        self.swept_at_s.append(asyncio.get_running_loop().time())
        return [Abandoned(session_id, META) for session_id in self.abandoned[:most]]

    async def forgotten(self, session_ids: list[str]) -> None:
        await self.ping()
        for session_id in session_ids:
            if session_id in self.abandoned:
                self.abandoned.remove(session_id)


class Gateway:
    """One that sweeps; `flushes` says whether what it tells is kept."""

    def __init__(self, store: Sessions) -> None:
        self.store = store
        self.buried: list[str] = []
        self.flushes = True

    async def flush(self) -> bool:
        await asyncio.sleep(0)
        return self.flushes

    @asynccontextmanager
    async def sweeping(self) -> AsyncIterator[None]:
        sweeping = sweep_forever(
            self.store,
            lambda abandoned: self.buried.append(abandoned.session_id),
            self.flush,
            every_s=EVERY_S,
            patience_s=PATIENCE_S,
            clock=asyncio.get_running_loop().time,
        )
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(sweeping, name="sweep")
            yield
            task.cancel()


@pytest.fixture
def play():
    """Runs a script in simulated time."""
    with simulated() as loop:
        yield loop.run_until_complete


def test_an_abandoned_session_is_buried_and_forgotten(play):
    gateway = Gateway(Sessions("sess_1", "sess_2"))

    async def script():
        async with gateway.sweeping():
            await asyncio.sleep(PATIENCE_S + 2 * EVERY_S)

    play(script())
    assert gateway.buried == ["sess_1", "sess_2"]
    assert gateway.store.abandoned == []


def test_nothing_is_swept_until_others_could_say_that_their_sessions_live(play):
    gateway = Gateway(Sessions("sess_1"))

    async def script():
        async with gateway.sweeping():
            await asyncio.sleep(PATIENCE_S - 1)

    play(script())
    assert gateway.store.swept_at_s == []


def test_nor_for_as_long_after_the_store_was_away(play):
    gateway = Gateway(Sessions())

    async def script():
        async with gateway.sweeping():
            await asyncio.sleep(100)
            gateway.store.away = True
            await asyncio.sleep(EVERY_S + 1)
            gateway.store.away = False
            gateway.store.swept_at_s.clear()
            await asyncio.sleep(200)

    play(script())
    back_at_s = 100 + EVERY_S
    assert gateway.store.swept_at_s[0] >= back_at_s + PATIENCE_S
    assert gateway.store.swept_at_s[0] <= back_at_s + PATIENCE_S + EVERY_S


def test_what_is_not_kept_for_good_is_not_forgotten(play):
    gateway = Gateway(Sessions("sess_1"))
    gateway.flushes = False

    async def script():
        async with gateway.sweeping():
            await asyncio.sleep(PATIENCE_S + 2 * EVERY_S)
            assert gateway.store.abandoned == ["sess_1"]
            gateway.flushes = True
            await asyncio.sleep(2 * EVERY_S)

    play(script())
    assert gateway.store.abandoned == []
    assert set(gateway.buried) == {"sess_1"}


def test_who_dies_before_forgetting_leaves_it_to_another(play):
    store = Sessions("sess_1")
    first, second = Gateway(store), Gateway(store)

    async def hang() -> bool:
        await asyncio.Event().wait()
        return True

    first.flush = hang

    async def script():
        async with first.sweeping():
            await asyncio.sleep(PATIENCE_S + 2 * EVERY_S)
        assert store.abandoned == ["sess_1"]
        async with second.sweeping():
            await asyncio.sleep(PATIENCE_S + 2 * EVERY_S)

    play(script())
    assert first.buried == second.buried == ["sess_1"]
    assert store.abandoned == []


def test_the_sessions_of_a_full_gateway_are_ended_in_one_round(play):
    gateway = Gateway(Sessions(*(f"sess_{n}" for n in range(250))))

    async def script():
        async with gateway.sweeping():
            await asyncio.sleep(PATIENCE_S + EVERY_S / 2)

    play(script())
    assert len(gateway.buried) == 250
    assert len(gateway.store.swept_at_s) == 3
    assert gateway.store.abandoned == []
