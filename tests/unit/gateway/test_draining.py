from __future__ import annotations

import asyncio

import pytest

from gateway import draining
from gateway.flag import Flag


class Talk:
    """A session that somebody drains; it leaves `live` once it has moved."""

    def __init__(self, house: House, name: str, *, is_quiet: bool = True) -> None:
        self._house, self.name, self.is_quiet = house, name, is_quiet
        self.has_left = Flag(is_set=True)

    async def drain(self) -> None:
        self._house.moved.append((self.name, self.is_quiet))
        await asyncio.sleep(0)
        del self._house.live[self.name]


class House:
    def __init__(self) -> None:
        self.live: dict[str, Talk] = {}
        self.moved: list[tuple[str, bool]] = []
        """Who was moved, and whether it was between two turns."""

    def add(self, name: str, *, is_quiet: bool = True) -> Talk:
        self.live[name] = Talk(self, name, is_quiet=is_quiet)
        return self.live[name]


@pytest.fixture
def house():
    return House()


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(draining, "SETTLE_S", 0.02)
    monkeypatch.setattr(draining, "_LOOK_S", 0.001)


async def drain(house, *, within_s=5.0, per_s=0.0):
    async with asyncio.timeout(10):
        await draining.drain(house.live, within_s=within_s, per_s=per_s)


async def test_without_sessions_it_is_over_at_once(house, monkeypatch):
    monkeypatch.setattr(draining, "SETTLE_S", 1000.0)
    await drain(house)


async def test_quiet_sessions_are_moved(house):
    for n in range(5):
        house.add(f"sess_{n}")
    await drain(house)
    assert sorted(house.moved) == [(f"sess_{n}", True) for n in range(5)]


async def test_a_turn_may_end_first(house):
    quiet, talks = house.add("quiet"), house.add("talks", is_quiet=False)
    assert quiet.is_quiet
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(drain(house), name="drain")
        while not house.moved:
            await asyncio.sleep(0)
        assert house.moved == [("quiet", True)]
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert not task.done()
        assert len(house.moved) == 1
        talks.is_quiet = True
    assert house.moved == [("quiet", True), ("talks", True)]


async def test_who_does_not_end_in_time_is_moved_in_the_middle(house):
    house.add("talks", is_quiet=False)
    began_s = asyncio.get_running_loop().time()
    await drain(house, within_s=0.2)
    assert house.moved == [("talks", False)]
    assert asyncio.get_running_loop().time() - began_s > 0.15


async def test_no_time_at_all_moves_everyone_at_once(house):
    house.add("talks", is_quiet=False)
    await drain(house, within_s=0.0)
    assert house.moved == [("talks", False)]


async def test_who_comes_meanwhile_is_moved_as_well(house):
    talks = house.add("talks", is_quiet=False)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(drain(house), name="drain")
        for _ in range(30):
            await asyncio.sleep(0.001)
        house.add("late")
        while ("late", True) not in house.moved:
            await asyncio.sleep(0)
        talks.is_quiet = True
        await task
    assert not house.live


async def test_moves_are_spread_so_that_others_can_take_them_all(house, monkeypatch):
    at_the_end = []
    monkeypatch.setattr(draining.random, "uniform", lambda a, b: at_the_end.append((a, b)) or b)
    for n in range(20):
        house.add(f"sess_{n}")
    began_s = asyncio.get_running_loop().time()
    await drain(house, within_s=10.0, per_s=100.0)
    assert at_the_end == [(0, 0.2)] * 20
    assert asyncio.get_running_loop().time() - began_s >= 0.2


async def test_they_are_spread_over_no_more_than_a_third_of_the_time(house, monkeypatch):
    spread = []
    monkeypatch.setattr(draining.random, "uniform", lambda a, b: spread.append(b) or a)
    for n in range(100):
        house.add(f"sess_{n}")
    await drain(house, within_s=3.0, per_s=1.0)
    assert set(spread) == {1.0}
