"""A worker that says nothing any more, while its connection stands."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest

from mesh.errors import Unavailable
from tests.unit.mesh.workers import ask, opened, pool_of


@pytest.fixture
def house(serve):
    return partial(opened, serve, active=1)


def silence(house):
    """It says nothing of its load until the event is set."""
    speaks = asyncio.Event()

    async def pause(_):
        await speaks.wait()
        await asyncio.sleep(0.05)

    house.server._worker._pause = pause
    return speaks


def known(pool, house):
    return next(worker for worker in pool.workers if worker.target == house.address)


async def test_its_calls_are_given_up_and_it_gets_no_more_until_it_speaks(house, until):
    one, two = await house("one"), await house("two")
    async with pool_of(one.address, two.address) as pool:
        await until(lambda: pool.n_usable == 2)
        silent, lost = known(pool, one), []
        silent.begin("stream", lost.append)
        speaks = silence(one)
        await until(lambda: lost)
        assert isinstance(lost[0], Unavailable)
        assert pool.n_usable == 1
        assert {await pool.ask(ask) for _ in range(20)} == {b"two"}
        speaks.set()
        await until(lambda: pool.n_usable == 2)
        silent.end("stream")


async def test_the_only_one_is_waited_for(house, until):
    one = await house("one")
    async with pool_of(one.address) as pool:
        await until(lambda: pool.n_usable == 1)
        silent, lost = known(pool, one), []
        silent.begin("stream", lost.append)
        speaks = silence(one)
        await until(lambda: silent.hangs)
        assert await pool.ask(ask) == b"one"
        assert not lost
        speaks.set()
        await until(lambda: pool.n_usable == 1)
        silent.end("stream")


async def test_when_we_stood_still_ourselves_nobody_hangs(house, until, caplog):
    one, two = await house("one"), await house("two")
    async with pool_of(one.address, two.address) as pool:
        await until(lambda: pool.n_usable == 2)
        for _ in range(2):
            time.sleep(1.2)  # noqa: ASYNC251 - that is the point
            for _ in range(20):
                await asyncio.sleep(0.02)
    assert "worker hangs" not in caplog.messages
