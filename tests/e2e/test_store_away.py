"""Redis goes away under talking sessions: wholly for a while, or one node of it for good."""

from __future__ import annotations

import asyncio
import inspect
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import psycopg
import pytest

from mesh import redis as mesh_redis
from tests.caller import Caller
from tests.stack import Stack, running

AWAY_S = 20.0
RESUMES_S = 5.0
QUESTION = "What time is it in London?"


@contextmanager
def mesh_on(redis_url: str) -> Iterator[Stack]:
    settings = {
        "REDIS_URL": redis_url,
        "GATEWAY_CONNECTS_PER_S": "0",
        "GATEWAY_REQUESTS_PER_MINUTE": "0",
        "GATEWAY_TOKENS_PER_MINUTE": "0",
    }
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # root's PostgreSQL runs as nobody and must get in
        with running(Path(folder), **settings) as stack:
            yield stack


class Crowd:
    """Callers who talk and talk."""

    def __init__(self, callers: list[Caller]) -> None:
        self.callers = callers
        self.turns = [0] * len(callers)
        self._is_over = False

    async def talk(self, n: int) -> None:
        caller = self.callers[n]
        while not self._is_over:
            await caller.ask(QUESTION)
            assert await caller.hear() == "completed"
            assert caller.text == caller.whole
            assert "London" in caller.whole
            self.turns[n] += 1

    def stop(self) -> None:
        """After the turn that runs."""
        self._is_over = True


@asynccontextmanager
async def talking(stack: Stack, n: int) -> AsyncIterator[Crowd]:
    """They talk as long as the block runs, and then finish what they say."""
    async with AsyncExitStack() as entered:
        callers = [await entered.enter_async_context(Caller(stack)) for _ in range(n)]
        crowd = Crowd(callers)
        async with asyncio.TaskGroup() as tasks:
            for k in range(n):
                tasks.create_task(crowd.talk(k))
            try:
                yield crowd
            finally:
                crowd.stop()


async def metric(stack: Stack, name: str) -> float:
    async with aiohttp.ClientSession() as http, http.get(f"{stack.url}/metrics") as answer:
        for line in (await answer.text()).splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
    raise AssertionError(f"no {name}")


async def until_metric(stack: Stack, name: str, value: float, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while await metric(stack, name) != value:
            await asyncio.sleep(0.05)


def missing(stack: Stack, items: set[str]) -> set[str]:
    """Those that are not in PostgreSQL."""
    with psycopg.connect(stack.database_url) as database:
        database.execute("SELECT set_config('app.tenant', 'dev', false)")
        rows = database.execute("SELECT item_id FROM items WHERE tenant_id = 'dev'").fetchall()
    return items - {row[0] for row in rows}


async def all_stored(stack: Stack, crowd: Crowd) -> None:
    items = {item for caller in crowd.callers for item in caller.items}
    async with asyncio.timeout(60):
        while missing(stack, items):
            await asyncio.sleep(0.2)


async def test_redis_is_away_for_a_while(own_redis):
    with mesh_on(own_redis.url) as stack:
        async with talking(stack, 4) as crowd:
            await until(lambda: min(crowd.turns) > 0)
            own_redis.stop()
            began_s = time.monotonic()
            await until_metric(stack, "gateway_degraded", 1, 5)
            before = list(crowd.turns)
            async with aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {stack.key}"}
            ) as http:
                url = f"{stack.url}/v1/realtime?model=gpt-realtime"
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await http.ws_connect(url)
                assert refused.value.status == 503
                assert refused.value.headers["Retry-After"]
                async with http.get(f"{stack.url}/readyz") as answer:
                    assert answer.status == 503
            await asyncio.sleep(AWAY_S - (time.monotonic() - began_s))  # the test is this long
            assert all(now > then for now, then in zip(crowd.turns, before, strict=True))
            own_redis.start()
            await until_metric(stack, "gateway_degraded", 0, 10)
            async with Caller(stack) as late:
                await late.ask(QUESTION)
                assert await late.hear() == "completed"
        await all_stored(stack, crowd)
        assert {caller.connections for caller in crowd.callers} == {1}
        log = (stack.data_dir / "logs" / "gateway.log").read_text()
        assert '"store away"' in log
        assert '"store back"' in log


@pytest.mark.parametrize("kind", ["sentinel_fleet", "cluster_fleet"])
async def test_a_primary_dies_under_twenty_sessions(kind, request):
    fleet = request.getfixturevalue(kind)
    with mesh_on(fleet.url) as stack:
        async with talking(stack, 20) as crowd:
            await until(lambda: min(crowd.turns) > 0)
            key = f"ovos:{{{crowd.callers[0].session_id}}}:meta"
            client = mesh_redis.connect(fleet.url)
            before = await kept(client, key)
            fleet.primary_of(key).kill()
            began_s = time.monotonic()
            await until(lambda: took(client, "set", f"{key}:test", "x"), 30)
            bare_s = time.monotonic() - began_s
            while await kept(client, key) <= before:
                await asyncio.sleep(0.02)
            ours_s = time.monotonic() - began_s
            await client.aclose()
            turns = list(crowd.turns)
            await until(lambda: all(n > m for n, m in zip(crowd.turns, turns, strict=True)))
        await all_stored(stack, crowd)
        assert {caller.connections for caller in crowd.callers} == {1}
        # On a machine so busy that Redis itself takes longer, ours come soon after its own.
        assert ours_s <= max(RESUMES_S, bare_s + 1), (ours_s, bare_s)


async def kept(client: object, key: str) -> int:
    """How many entries the store has of a session; -1 while it does not say."""
    try:
        found = await client.hget(key, "next")  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001 - whatever a fleet in trouble answers
        return -1
    return int(found or -1)


async def took(client: object, command: str, *arguments: str) -> bool:
    """Whether Redis takes a write."""
    try:
        await getattr(client, command)(*arguments)
    except Exception:  # noqa: BLE001 - whatever a fleet in trouble answers
        return False
    return True


async def until(happened, within_s: float = 60) -> None:
    async with asyncio.timeout(within_s):
        while not await _now(happened()):
            await asyncio.sleep(0.02)


async def _now(answer) -> bool:
    return await answer if inspect.isawaitable(answer) else answer
