from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from gateway import notices, relay
from gateway.notices import Batch, Told
from gateway.relay import Relay
from mesh.errors import Unavailable
from tests.fakes.store import MemoryStore, World


class Held(MemoryStore):
    """`gate` holds up what is told; `is_broken` makes it fail."""

    def __init__(self) -> None:
        super().__init__(World(), "gw_1")
        self.gate, self.asked = asyncio.Event(), asyncio.Semaphore(0)
        self.is_broken = False

    async def tell(self, gateway_id: str, message: bytes) -> None:
        self.asked.release()
        await self.gate.wait()
        if self.is_broken:
            raise Unavailable("ConnectionError", tier="redis")
        await super().tell(gateway_id, message)

    def batches(self, gateway_id: str) -> list[Batch]:
        return [notices.decode(told) for told in self.world.inboxes.get(gateway_id, [])]


@pytest.fixture
async def store():
    return Held()


@asynccontextmanager
async def running(store):
    told = Relay(store)
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(10):
        task = tasks.create_task(told.run())
        yield told
        task.cancel()


def event(n: int, size: int = 0) -> Told:
    return Told("sess_1", ["side_1"], b"%d" % n + bytes(size))


async def test_what_comes_at_once_goes_in_one_batch_in_order(store):
    store.gate.set()
    async with running(store) as told:
        for n in range(5):
            told.put("gw_2", event(n))
        told.put("gw_3", event(9))
        await told.flush(5)
        assert store.batches("gw_2") == [Batch("gw_1", 1, [event(n) for n in range(5)])]
        assert store.batches("gw_3") == [Batch("gw_1", 1, [event(9)])]


async def test_what_comes_while_one_is_on_its_way_goes_in_the_next(store):
    async with running(store) as told:
        told.put("gw_2", event(0))
        await store.asked.acquire()
        for n in (1, 2, 3):
            told.put("gw_2", event(n))
            await asyncio.sleep(0)
        store.gate.set()
        await told.flush(5)
        sent = store.batches("gw_2")
        assert [batch.number for batch in sent] == [1, 2]
        assert [batch.notices for batch in sent] == [[event(0)], [event(1), event(2), event(3)]]


async def test_one_that_cannot_be_told_holds_up_no_other(store):
    class OneIsDead(Held):
        async def tell(self, gateway_id: str, message: bytes) -> None:
            if gateway_id == "gw_dead":
                await asyncio.Event().wait()
            await super().tell(gateway_id, message)

    store = OneIsDead()
    store.gate.set()
    async with running(store) as told:
        told.put("gw_dead", event(0))
        told.put("gw_2", event(1))
        await store.asked.acquire()
        await asyncio.sleep(0)
        assert [b.notices for b in store.batches("gw_2")] == [[event(1)]]


async def test_a_large_amount_goes_in_several_batches(store):
    store.gate.set()
    async with running(store) as told:
        events = [event(n, notices.MOST_BATCH // 2) for n in range(5)]
        for each in events:
            told.put("gw_2", each)
        await told.flush(5)
        sent = store.batches("gw_2")
        assert [batch.number for batch in sent] == [1, 2, 3]
        assert [notice for batch in sent for notice in batch.notices] == events


async def test_it_is_told_again_when_the_store_is_back(store, monkeypatch):
    monkeypatch.setattr(relay, "_AGAIN_S", 0.01)
    store.gate.set()
    store.is_broken = True
    async with running(store) as told:
        told.put("gw_2", event(0))
        for _ in range(3):
            await store.asked.acquire()
        store.is_broken = False
        await told.flush(5)
        assert store.batches("gw_2") == [Batch("gw_1", 1, [event(0)])]


async def test_who_was_not_told_for_too_long_can_see_so(store, monkeypatch):
    monkeypatch.setattr(relay, "_AGAIN_S", 0.01)
    monkeypatch.setattr(relay, "PATIENCE_S", 0.05)
    store.gate.set()
    store.is_broken = True
    async with running(store) as told:
        told.put("gw_2", event(0))
        for _ in range(20):
            await store.asked.acquire()
        store.is_broken = False
        await told.flush(5)
        [batch] = store.batches("gw_2")
        assert batch.notices == []
        assert batch.number > 1


async def test_too_much_is_dropped_and_shows_as_a_gap(store):
    async with running(store) as told:
        told.put("gw_2", event(0))
        await store.asked.acquire()
        n_large = relay.MOST_WAITING // 1_000_000 + 2
        for n in range(n_large):
            told.put("gw_2", event(n, 1_000_000))
        told.put("gw_2", event(77))
        store.gate.set()
        await told.flush(5)
        first, *rest = store.batches("gw_2")
        assert (first.number, rest[0].number) == (1, 3)
        assert rest[-1].notices[-1] == event(77)
        assert sum(len(batch.notices) for batch in rest) < n_large


async def test_who_can_wait_waits_while_much_waits(store):
    async with running(store) as told:
        await told.room("gw_2")
        told.put("gw_2", event(0))
        await store.asked.acquire()
        told.put("gw_2", event(1, relay.HIGH_WATER))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await told.room("gw_2")
        store.gate.set()
        await told.room("gw_2")
