from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter

import pytest

from gateway import garbage
from gateway.shared import GATEWAY
from tests.unit.gateway.going_on import break_off

SESSIONS = 20


class Held:
    """Something that an error's frames hold."""


def raised(held):
    try:
        try:
            raise KeyError(id(held))
        except KeyError as error:
            raise ExceptionGroup("", [ValueError(), error]) from error
    except ExceptionGroup as group:
        return group


@pytest.fixture
def uncollected():
    """The garbage collector does nothing by itself."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_an_error_lets_go_of_what_it_came_through(uncollected):
    held = Held()
    seen, group = weakref.ref(held), raised(held)
    del held
    assert seen() is not None
    garbage.forget_frames(group)
    assert seen() is None


def ours() -> Counter[str]:
    """Objects of this program, and of aiohttp's server."""
    kinds = (f"{type(o).__module__}.{type(o).__name__}" for o in gc.get_objects())
    return Counter(kind for kind in kinds if kind.startswith(("gateway.", "aiohttp.web_")))


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("beta", [False, True])
async def test_a_session_that_has_ended_is_freed_at_once(http, connect, backends, how, beta):
    gateway = http.app[GATEWAY]
    http.server.runner.server.handler_cancellation = False  # as it is outside of tests

    async def visit() -> None:
        client = await connect(headers={"OpenAI-Beta": "realtime=v1"} if beta else {})
        await client.append(bytes(960))
        await client.send("response.create")
        while (await client._ws.receive_json())["type"] != "response.done":  # in either dialect
            pass
        if how == "close":
            await client.close()
        else:
            break_off(client)
        backends.asked.clear()
        backends.spoken.clear()
        async with asyncio.timeout(10):
            while gateway.live or gateway.open:
                await asyncio.sleep(0.001)

    for _ in range(3):
        await visit()
    gc.collect()
    gc.disable()
    try:
        before = ours()
        for _ in range(SESSIONS):
            await visit()
        await asyncio.sleep(0)
        more = {kind: n for kind, n in (ours() - before).items() if n >= SESSIONS // 2}
        assert not more, "only the garbage collector would free these"
    finally:
        gc.enable()


async def test_garbage_is_collected_when_there_is_little_to_look_at(uncollected):
    n_open = garbage._FEW + 1
    loop = Held()
    loop.itself = loop
    seen = weakref.ref(loop)
    del loop
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(garbage.collect_when_quiet(lambda: n_open, every_s=0.001))
        for _ in range(5):
            await asyncio.sleep(0.001)
        assert seen() is not None
        n_open -= 1
        async with asyncio.timeout(10):
            while seen() is not None:
                await asyncio.sleep(0.001)
        task.cancel()


def test_what_is_there_from_the_beginning_is_not_looked_at_again():
    thresholds = gc.get_threshold()
    try:
        garbage.begin()
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold()[2] > thresholds[2]
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
