from __future__ import annotations

import asyncio

import pytest

from bench.speech_crowd import GREEDY, PACED, QUIET, Client, flood, tier
from tts_service.config import Config


@pytest.mark.parametrize("mood", [PACED, GREEDY])
async def test_a_tenant_floods_a_tier_beside_another_until_it_is_told_to_be_quiet(mood):
    with tier(Config(port=0, engines=("espeak",))) as port, flood(port, 2) as crowd:
        client = Client(port, "polite")
        assert await client.first_audio_ms("Hello there.") > 0
        assert await crowd.becomes(mood) == 0
        await client.reply("And this is another one.", paced=mood == PACED)
        if mood == GREEDY:
            async with asyncio.timeout(30):
                while not await crowd.becomes(mood):
                    await asyncio.sleep(0.5)
        await crowd.becomes(QUIET)
        await client.close()
