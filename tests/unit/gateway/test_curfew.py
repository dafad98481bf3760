import asyncio
import gc

import pytest

from gateway import curfew


@pytest.fixture
def rounded(monkeypatch):
    """Everything is long."""
    monkeypatch.setattr(curfew, "EXACT_S", 0.0)


def seconds() -> curfew.Seconds:
    return curfew._of_loop.get(asyncio.get_running_loop(), {})


async def stays(left_s: float) -> None:
    async with asyncio.timeout(None) as scope:
        curfew.within(scope, left_s)
        await asyncio.Event().wait()


async def ends(left_s: float) -> None:
    with pytest.raises(TimeoutError):
        await stays(left_s)


async def test_what_is_short_ends_by_itself():
    await ends(0.01)
    assert not seconds()


async def test_what_is_long_ends_with_all_others_of_its_second(rounded):
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        for n in range(5):
            tasks.create_task(ends(0.1), name=str(n))
    assert not seconds()


async def test_they_have_one_timer(rounded, monkeypatch):
    timers = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "time", lambda: 1000.5)
    monkeypatch.setattr(loop, "call_at", lambda at_s, *_: timers.append(at_s))
    async with asyncio.timeout(None) as one, asyncio.timeout(None) as other:
        for scope, left_s in ((one, 3600.0), (other, 3600.4)):
            curfew.within(scope, left_s)
        await asyncio.sleep(0)
    assert timers == [4601]


async def test_who_has_left_is_forgotten(rounded):
    async with asyncio.timeout(None) as scope:
        curfew.within(scope, 3600)
        await asyncio.sleep(0)
    [waiting] = seconds().values()
    assert list(waiting) == [scope]
    del scope
    gc.collect()
    assert not list(waiting)


async def test_who_has_left_but_is_still_known_is_left_alone(rounded):
    async with asyncio.timeout(None) as scope:
        curfew.within(scope, 3600)
        await asyncio.sleep(0)
    [second] = seconds()
    curfew._over(seconds(), second)
    assert not scope.expired()
