"""What the mesh with embedded engines is started with; `bench.turn --embedded` starts it."""

from __future__ import annotations

import aiohttp

from bench import embedded
from mesh.config import load
from stt_service.config import Config as Stt
from tts_service.config import Config as Tts


async def test_the_provider_is_a_process_that_answers():
    async with (
        embedded._provider() as url,
        aiohttp.ClientSession() as http,
        http.get(f"{url}/models") as answer,
    ):
        assert answer.status == 200


def test_its_engines_are_the_ones_that_need_no_downloads():
    assert load(Stt, embedded.SETTINGS, prefix="stt").engines == ("pocketsphinx",)
    assert load(Tts, embedded.SETTINGS, prefix="tts").engines == ("espeak",)
