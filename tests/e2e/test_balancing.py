"""Three real gateways behind a real HAProxy, as `voicemesh up --gateways 3 --haproxy` runs them."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import secrets
import signal
import ssl
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, Process
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.stack import ROOT, Stack, environment, running
from voicemesh.ports import several

JOINS_S = 10.0  # requirement 1.1
REALTIME = "/v1/realtime?model=gpt-realtime"


@pytest.fixture(scope="module")
def balanced() -> Iterator[Stack]:
    # Three that start at once on a small machine, and more connections than a caller makes.
    settings = {"GATEWAY_CONNECTS_PER_S": "0", "GATEWAY_REQUESTS_PER_MINUTE": "0"}
    settings["HAPROXY_SLOWSTART"] = "1s"  # while shares grow, the hash changes
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # root's PostgreSQL runs as nobody and must get in
        arguments = ("--gateways", "3", "--haproxy")
        with running(Path(folder), arguments=arguments, **settings) as stack:
            yield stack


@pytest.fixture
async def http(balanced: Stack) -> AsyncIterator[aiohttp.ClientSession]:
    """Lets itself in, and waits until all three are there."""
    headers = {"Authorization": f"Bearer {balanced.key}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as http:
        await until_up(http, balanced, 3)
        async with asyncio.timeout(20):
            while not await have_equal_shares(http, balanced):
                await asyncio.sleep(0.1)
        yield http


async def samples(http: aiohttp.ClientSession, url: str) -> dict[tuple[str, ...], float]:
    """A page of metrics: name and label values → value."""
    async with http.get(url) as answer:
        page = await answer.text()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


async def per_place(http: aiohttp.ClientSession, stack: Stack, metric: str) -> Counter[str]:
    """What HAProxy counts of each gateway."""
    page = await samples(http, f"{stack.stats_url}/metrics")
    name = f"haproxy_server_{metric}"
    return Counter({key[2]: int(value) for key, value in page.items() if key[0] == name and value})


async def ups(http: aiohttp.ClientSession, stack: Stack) -> set[str]:
    """The places with a gateway that gets clients."""
    page = await samples(http, f"{stack.stats_url}/metrics")
    return {
        key[2] for key, on in page.items()
        if key[0] == "haproxy_server_status" and key[3] == "UP" and on
    }  # fmt: skip


async def until_up(http: aiohttp.ClientSession, stack: Stack, n: int, limit_s: float = 30) -> None:
    async with asyncio.timeout(limit_s):
        while len(await ups(http, stack)) != n:
            await asyncio.sleep(0.05)


async def have_equal_shares(http: aiohttp.ClientSession, stack: Stack) -> bool:
    """Whether nobody's share still grows. Those that came up together have the same all the
    while, and few points on the ring: so it must be that of the places that nobody has."""
    weights = await per_place(http, stack, "weight")
    return {weights[place] for place in await ups(http, stack)} == {max(weights.values())}


async def until_idle(http: aiohttp.ClientSession, stack: Stack) -> None:
    """Wait for the last ones to have gone: of very few, no gateway may have more than one."""
    async with asyncio.timeout(20):
        while (await per_place(http, stack, "current_sessions")).total():
            await asyncio.sleep(0.01)


async def served_by(http: aiohttp.ClientSession, stack: Stack, path: str) -> str:
    """The place of the gateway that a request goes to while nobody else is there."""
    await until_idle(http, stack)
    before = await per_place(http, stack, "sessions_total")
    async with http.get(f"{stack.url}{path}"):
        pass
    [place] = await per_place(http, stack, "sessions_total") - before
    return place


async def is_served_by(http: aiohttp.ClientSession, stack: Stack, path: str, place: str) -> bool:
    """Whether a request goes there. While one that has just ended still counts, HAProxy may
    think that the place has more than its share: then it is asked again, until most went there.
    Of requests that went anywhere, half would pass; of the sixty of a test, none."""
    lead = 0
    for _ in range(9):
        lead += 1 if await served_by(http, stack, path) == place else -1
        if lead > 0:
            return True
    return False


async def open_sessions(http: aiohttp.ClientSession, stack: Stack) -> list[int]:
    """Of each gateway, as it says itself."""
    found = []
    for url in stack.gateways:
        page = await samples(http, f"{url}/metrics")
        found.append(int(page[("gateway_sessions",)]))
    return found


async def test_new_sessions_spread_over_all_gateways(http, balanced):
    async with contextlib.AsyncExitStack() as held:
        for _ in range(150):
            ws = await held.enter_async_context(http.ws_connect(f"{balanced.url}{REALTIME}"))
            assert (await ws.receive_json(timeout=30))["type"] == "session.created"
        # None is off its share of 50 by a half: four times what chance makes of it.
        assert sum(found := await open_sessions(http, balanced)) == 150
        assert all(25 <= n <= 75 for n in found), found


async def test_what_names_a_session_goes_to_the_same_gateway_however_it_names_it(http, balanced):
    places = set()
    for _ in range(12):
        sid = f"sess_{secrets.token_hex(16)}"
        place = await served_by(http, balanced, f"/v1/models?session_id={sid}")
        for again in (f"session_id={sid}", f"conversation_id={sid}", f"a=1&call_id={sid}"):
            assert await is_served_by(http, balanced, f"/v1/models?{again}", place)
        http.headers["X-Session-Id"] = sid
        assert await is_served_by(http, balanced, "/v1/models", place)
        del http.headers["X-Session-Id"]
        places.add(place)
    assert len(places) > 1  # 12 of one: once in 200,000


async def test_a_new_session_comes_back_to_the_gateway_that_made_it(http, balanced):
    """Its id was minted by the balancer: a hash of it leads to where it is."""
    for _ in range(10):
        await until_idle(http, balanced)
        before = await per_place(http, balanced, "sessions_total")
        async with http.ws_connect(f"{balanced.url}{REALTIME}") as ws:
            created = await ws.receive_json(timeout=30)
            [first] = await per_place(http, balanced, "sessions_total") - before
        sid = created["session"]["id"]
        path = f"/v1/models?session_id={sid}"
        assert await is_served_by(http, balanced, path, first)


async def test_what_gateways_tell_operators_is_not_for_clients(http, balanced):
    for path in ("/metrics", "/readyz", "/healthz", "/Metrics", "/metrics/"):
        async with http.get(f"{balanced.url}{path}") as answer:
            assert answer.status == 404, path
    async with http.get(f"{balanced.gateways[0]}/readyz") as answer:
        assert answer.status == 200


async def test_haproxy_speaks_tls_1_3_and_nothing_older(http, balanced):
    trusting = ssl.create_default_context(cafile=balanced.ca_file)
    async with http.ws_connect(f"{balanced.https_url}{REALTIME}", ssl=trusting) as ws:
        assert (await ws.receive_json(timeout=30))["type"] == "session.created"
    trusting.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(aiohttp.ClientError):
        await http.get(f"{balanced.https_url}/v1/models", ssl=trusting)


async def test_a_large_upload_passes(http, balanced):
    form = aiohttp.FormData({"model": "whisper-1", "file": io.BytesIO(bytes(8 << 20))})
    async with http.post(f"{balanced.url}/v1/audio/transcriptions", data=form) as answer:
        assert answer.status == 400  # it is no WAV; the gateway has read and judged it
        assert "error" in await answer.json()


async def connects(http: aiohttp.ClientSession, stack: Stack, until: asyncio.Event) -> list[str]:
    """Open one session after another; returns how those that failed did."""
    failures = []
    while not until.is_set():
        try:
            async with http.ws_connect(f"{stack.url}{REALTIME}") as ws:
                said = await ws.receive_json(timeout=30)
        except (aiohttp.ClientError, TypeError, TimeoutError) as error:
            failures.append(repr(error))
            continue
        if said["type"] != "session.created":
            failures.append(str(said))
    return failures


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
async def test_a_gateway_that_goes_costs_nobody_a_connection(http, balanced, number):
    enough = asyncio.Event()
    before = await per_place(http, balanced, "sessions_total")
    async with asyncio.TaskGroup() as tasks:
        clients = [tasks.create_task(connects(http, balanced, enough)) for _ in range(3)]
        await asyncio.sleep(0.5)
        pid = balanced.signal_gateway(1, number)
        await until_up(http, balanced, 2)
        if number == signal.SIGSTOP:
            balanced.signal_gateway(1, signal.SIGCONT)
        await until_up(http, balanced, 3)
        enough.set()
    assert [client.result() for client in clients] == [[], [], []]
    assert (await per_place(http, balanced, "sessions_total") - before).total() > 20
    assert (balanced.gateway_pid(1) == pid) == (number == signal.SIGSTOP)


@contextlib.asynccontextmanager
async def another_gateway(stack: Stack) -> AsyncIterator[Process]:
    port, metrics_port = several(2)
    tiers = {tier: f"127.0.0.1:{stack.ports[f'{tier}_PORT']}" for tier in ("STT", "TTS", "LLM")}
    env = environment({"PORT": port, "GATEWAY_METRICS_PORT": metrics_port}) | {
        "GATEWAY_PROCESSES": "1",
        "GATEWAY_KEYS_FILE": str(stack.data_dir / "keys.json"),
        "REDIS_URL": stack.redis_url,
        **{f"GATEWAY_{tier}_TARGET": target for tier, target in tiers.items()},
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", cwd=ROOT, env=env, stderr=DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_gateway_that_starts_anywhere_joins_within_ten_seconds(http, balanced):
    began = time.monotonic()
    async with another_gateway(balanced) as process:
        await until_up(http, balanced, 4, JOINS_S)
        joined_s = time.monotonic() - began
        process.terminate()
        await until_up(http, balanced, 3)
        await process.wait()
    assert joined_s < JOINS_S


async def settled(http: aiohttp.ClientSession, stack: Stack) -> set[str]:
    """The places with a gateway, once nobody comes or goes for a second: one that leaves and one
    that has just been away may make up the number that there should be."""
    async with asyncio.timeout(60):
        while True:
            seen = [await ups(http, stack)]
            while len(seen) <= 10 and seen[-1] == seen[0] and len(seen[0]) == len(stack.gateways):
                await asyncio.sleep(0.1)
                seen.append(await ups(http, stack))
            if len(seen) > 10:
                return seen[0]
            await asyncio.sleep(0.1)


async def test_a_haproxy_that_was_started_again_is_filled_again(http, balanced):
    before = await settled(http, balanced)
    pid = balanced.haproxy_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                if await ups(http, balanced) == before:
                    break
            await asyncio.sleep(0.05)
