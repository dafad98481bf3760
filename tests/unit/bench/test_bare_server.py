from __future__ import annotations

import asyncio

from bench.connections import start
from bench.crowd import Crowd


async def test_greets_and_answers_until_its_input_ends():
    async with asyncio.timeout(30):
        process = await start("bench.bare_server")
        port = int(await process.stdout.readline())
        held = Crowd(("127.0.0.1", port), "/v1/realtime", {})
        await held.open(3, "127.0.0.1")
        assert held.tally.opened == 3
        held.clients[0].ask()
        while not held.tally.answers_ms:
            await asyncio.sleep(0.001)
        held.close()
        process.stdin.close()
        assert await process.wait() == 0
