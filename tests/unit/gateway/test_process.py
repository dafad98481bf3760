"""A gateway as a process: what it does from SIGTERM to its end. test_tls.py has its start."""

from __future__ import annotations

import asyncio
import resource
import signal

import aiohttp

from tests import processes
from tests.unit.gateway.probing import until_it_keeps_sessions
from voicemesh import keys


async def start(tmp_path, redis_url, **env):
    key = keys.add(tmp_path / "keys.json", "tenant")
    settings = {
        "PORT": "0", "GATEWAY_METRICS_PORT": "0", "GATEWAY_PROCESSES": "1",
        "GATEWAY_KEYS_FILE": str(tmp_path / "keys.json"), "REDIS_URL": redis_url,
    }  # fmt: skip
    process = await processes.start("gateway", **settings, **env)
    port = (await processes.until(process, "listening"))["port"]
    return process, f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {key}"}


async def test_it_answers_while_it_drains_and_says_that_it_does(tmp_path, redis_url):
    process, url, headers = await start(tmp_path, redis_url, GATEWAY_DRAIN_S="20")
    async with aiohttp.ClientSession(headers=headers) as http:
        await until_it_keeps_sessions(http, url)
        ws = await http.ws_connect(f"{url}/v1/realtime?model=gpt-realtime")
        assert (await ws.receive_json())["type"] == "session.created"
        # It reads no more, so it does not answer the goodbye: the process waits for it.
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            while (answer := await http.get(f"{url}/readyz")).status != 404:
                await asyncio.sleep(0.01)
        assert (await answer.json())["draining"] is True
        # Whom a balancer sends that does not know yet is let in; then nobody is.
        realtime, upgrade = f"{url}/v1/realtime", {"Upgrade": "websocket"}
        async with asyncio.timeout(20):
            while (refused := await http.get(realtime, headers=upgrade)).status != 503:
                await asyncio.sleep(0.01)
        assert refused.headers["Retry-After"]
        while (await ws.receive()).type != aiohttp.WSMsgType.CLOSE:
            pass
        await ws.close()
    assert await process.wait() == 0


async def test_it_takes_all_the_file_descriptors_it_may_have(tmp_path, redis_url):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 512), hard))
    try:
        process, _, _ = await start(tmp_path, redis_url)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        if hasattr(resource, "prlimit"):  # Linux
            assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        process.terminate()
        await process.wait()
