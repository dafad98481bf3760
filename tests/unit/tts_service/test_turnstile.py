import asyncio

import pytest

from mesh.fair_queue import Turn
from tts_service.turnstile import HASTE_S, Outlet, Turnstile

RATE_HZ = 24_000


async def pass_all(turnstile: Turnstile, turns: list[tuple[str, Turn]]) -> list[list[str]]:
    """Who came through at each turn of the loop."""
    passed: list[list[str]] = []

    async def go(name: str, turn: Turn) -> None:
        await turnstile.through(turn)
        passed[-1].append(name)

    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(go(name, turn)) for name, turn in turns]
        while not all(task.done() for task in waiting):
            passed.append([])
            await asyncio.sleep(0)
    return [names for names in passed if names]


async def test_a_few_come_through_at_each_turn_of_the_loop():
    turns = [(str(n), Turn(deadline_s=n)) for n in range(5)]
    assert await pass_all(Turnstile(2), turns) == [["0", "1"], ["2", "3"], ["4"]]


async def test_the_listener_who_runs_dry_first_and_tenants_in_turn():
    turns = [(f"many {n}", Turn(tenant="many", deadline_s=9 - n)) for n in range(4)]
    passed = await pass_all(Turnstile(1), [*turns, ("one", Turn(tenant="one"))])
    order = [name for [name] in passed]
    assert order.index("one") <= 1
    assert [name for name in order if name != "one"] == ["many 3", "many 2", "many 1", "many 0"]


async def test_who_does_not_want_to_any_more_takes_nobodys_turn():
    turnstile = Turnstile(1)
    async with asyncio.TaskGroup() as tasks:
        first, second, third = (tasks.create_task(turnstile.through(Turn())) for _ in range(3))
        await asyncio.sleep(0)
        second.cancel()
        await first
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert third.done()
    assert second.cancelled()


class Shut(Turnstile):
    """Counts and lets through."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Turn] = []

    async def through(self, turn: Turn) -> None:
        self.asked.append(turn)


@pytest.fixture
def shut() -> Shut:
    return Shut()


async def test_what_a_listener_waits_for_goes_out_at_once_and_the_rest_in_turn(shut):
    outlet = Outlet(shut, "acme", RATE_HZ)
    await outlet.let_out(RATE_HZ // 4)
    assert shut.asked == []
    await outlet.let_out(RATE_HZ * 60)
    assert shut.asked == []
    await outlet.let_out(1)
    assert [turn.tenant for turn in shut.asked] == ["acme"]


async def test_after_an_interruption_a_listener_waits_again(shut):
    outlet = Outlet(shut, "acme", RATE_HZ)
    await outlet.let_out(int(RATE_HZ * HASTE_S * 100))
    outlet.interrupted()
    await outlet.let_out(1)
    assert shut.asked == []
