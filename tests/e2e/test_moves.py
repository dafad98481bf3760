"""Sessions move between real gateways behind a real HAProxy, and their callers notice little."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
import redis

from tests.caller import ANSWER_S, Caller, owner_of
from tests.client import RealtimeClient
from tests.stack import Stack, running


@pytest.fixture(scope="module")
def mesh() -> Iterator[Stack]:
    settings = {
        "GATEWAY_CONNECTS_PER_S": "0",
        "GATEWAY_REQUESTS_PER_MINUTE": "0",
        "GATEWAY_TOKENS_PER_MINUTE": "0",
        "HAPROXY_SLOWSTART": "1s",
    }
    with tempfile.TemporaryDirectory(prefix="moves") as folder:
        Path(folder).chmod(0o711)  # root's PostgreSQL runs as nobody and must get in
        arguments = ("--gateways", "3", "--haproxy")
        with running(Path(folder), arguments=arguments, **settings) as stack:
            yield stack


async def alive(mesh: Stack) -> None:
    """Wait until every gateway is ready."""
    async with aiohttp.ClientSession() as http, asyncio.timeout(30):
        for url in mesh.gateways:
            while True:
                try:
                    async with http.get(f"{url}/readyz") as answer:
                        if answer.status == 200:
                            break
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("heard_s", [0.5, 5.0, 9.5])
async def test_a_gateway_dies_in_the_middle_of_an_answer(mesh, heard_s):
    await alive(mesh)
    async with Caller(mesh) as caller:
        await caller.ask()
        async with asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(caller.hear())
            await caller.until(lambda: caller.audio_s >= heard_s)
            mesh.signal_gateway(owner_of(mesh, caller.session_id), signal.SIGKILL)
        assert hearing.result() == "completed"
        assert caller.connections == 2
        caller.check()
        assert ANSWER_S < caller.audio_s < ANSWER_S + 2
        await caller.ask("What time is it in London?")
        assert await caller.hear() == "completed"
        assert "London" in caller.whole


def kept(mesh: Stack, session_id: str) -> dict[str, object]:
    """All that Redis has of a session."""
    with redis.Redis.from_url(mesh.redis_url) as client:
        keys = [f"ovos:{{{session_id}}}:{name}" for name in ("meta", "state", "journal")]
        return {key: client.dump(key) for key in keys}


async def test_an_owner_that_slept_writes_nothing_and_hangs_up(mesh):
    await alive(mesh)
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {mesh.key}"}) as http:
        first = RealtimeClient(await http.ws_connect(f"{mesh.url}/v1/realtime?model=gpt-realtime"))
        session_id = (await first.until("session.created"))["session"]["id"]
        await first.send("response.create", response={"instructions": "x"})
        await first.until("response.output_audio.delta")
        owner = owner_of(mesh, session_id)
        mesh.signal_gateway(owner, signal.SIGSTOP)
        try:
            url = f"{mesh.url}/v1/realtime?session_id={session_id}"
            async with asyncio.timeout(10):
                second = RealtimeClient(await http.ws_connect(url))
            assert (await second.until("session.created"))["session"]["id"] == session_id
            assert owner_of(mesh, session_id) != owner
            await second.until("response.done")
            await second.send("session.update", session={"type": "realtime"})
            await second.until("session.updated")
            before = kept(mesh, session_id)
            while await first.arrived():
                await first.next()  # what was on its way when it fell asleep
        finally:
            mesh.signal_gateway(owner, signal.SIGCONT)
        code, _ = await first.closed()
        assert code == 1012
        assert kept(mesh, session_id) == before
        await second.send("response.create", response={"output_modalities": ["text"]})
        await second.until("response.done")


async def test_all_gateways_are_restarted_one_by_one(mesh):
    await alive(mesh)
    stop = asyncio.Event()

    async def talk(caller: Caller) -> int:
        turns = 0
        while not stop.is_set():
            await caller.ask("What time is it in London?")
            assert await caller.hear() == "completed"
            assert caller.text == caller.whole
            assert "London" in caller.whole
            turns += 1
        return turns

    async with AsyncExitStack() as callers, asyncio.TaskGroup() as tasks:
        talking = [await callers.enter_async_context(Caller(mesh)) for _ in range(8)]
        turns = [tasks.create_task(talk(caller)) for caller in talking]
        for n in range(3):
            pid = mesh.signal_gateway(n, signal.SIGTERM)
            async with asyncio.timeout(60):
                while mesh.gateway_pid(n) in (pid, None):
                    await asyncio.sleep(0.2)
            await alive(mesh)
        stop.set()
    assert all(task.result() > 1 for task in turns)
    assert sum(caller.connections for caller in talking) >= 16  # everybody has moved
    assert {code for caller in talking for code in caller.codes} == {1012}
