"""What happens to a gateway under its callers' feet, for tests and benches."""

from __future__ import annotations

import asyncio
import signal

import aiohttp
import redis

from tests.caller import owner_of
from tests.client import RealtimeClient
from tests.stack import Stack


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


def kept(mesh: Stack, session_id: str) -> dict[str, object]:
    """All that Redis has of a session."""
    with redis.Redis.from_url(mesh.redis_url) as client:
        keys = [f"ovos:{{{session_id}}}:{name}" for name in ("meta", "state", "journal")]
        return {key: client.dump(key) for key in keys}


async def moved(mesh: Stack, session_id: str, owner: int) -> None:
    """Wait until another gateway has it: the log tells later than the client hears."""
    async with asyncio.timeout(30):
        while owner_of(mesh, session_id) == owner:
            await asyncio.sleep(0.01)


async def the_owner_sleeps(mesh: Stack) -> None:
    """The owner of a session sleeps in mid-answer, the session moves, the owner wakes up: it must
    write nothing, say nothing, and hang up."""
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
            await moved(mesh, session_id, owner)
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
