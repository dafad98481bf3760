"""Sidebands and hangups from another gateway, with a real Redis between the two."""

from __future__ import annotations

import time

import pytest

from gateway.config import Config
from gateway.sessions.redis_store import RedisStore
from tests.fakes.secrets import FakeSecrets
from tests.unit.gateway.keys import KEY, keys_json
from tests.unit.gateway.two_gateways import Gateways, bearer

SPEECH = b"\x01\x00" * 12_000  # half a second
SILENCE = bytes(24_000)
N = 40


@pytest.fixture
async def gateways(aiohttp_client, tmp_path, streams_url):
    keys_file = tmp_path / "keys.json"
    keys_file.write_text(keys_json({KEY: "acme"}))
    both = Gateways(Config(keys_file=keys_file, redis_url=streams_url))
    for name in ("gw_1", "gw_2"):
        store = RedisStore.at(streams_url, name, ttl_s=30)
        await both.start(aiohttp_client, FakeSecrets(), store)
    return both


async def test_a_change_made_elsewhere_reaches_the_client_within_100_ms(gateways):
    client, session_id = await gateways.opened()
    side = await gateways.connect(2, f"call_id={session_id}")
    assert (await side.next())["session"]["id"] == session_id
    took_ms = []
    for n in range(N):
        began_s = time.perf_counter()
        await side.send("session.update", session={"type": "realtime", "instructions": f"Say {n}."})
        told = await client.next()
        took_ms.append((time.perf_counter() - began_s) * 1000)
        assert told["session"]["instructions"] == f"Say {n}."
        assert await side.next() == told
    took_ms.sort()
    assert took_ms[N * 9 // 10] < 100, took_ms


async def test_a_sideband_hears_a_turn_and_ends_with_the_session(gateways):
    client, session_id = await gateways.opened()
    side = await gateways.connect(2, f"call_id={session_id}")
    await side.next()
    await client.speak(SPEECH + SILENCE)
    await client.until("rate_limits.updated")
    await side.until("rate_limits.updated")
    first = client.types().index("input_audio_buffer.speech_started")
    heard = [e for e in client.got[first:] if e["type"] != "response.output_audio.delta"]
    assert side.got[1:] == heard
    answer = await gateways.http[1].post(
        f"/v1/realtime/calls/{session_id}/hangup", headers=bearer()
    )
    assert (answer.status, await answer.read()) == (200, b"")
    assert (await client.closed())[0] == 1000
    assert (await side.closed())[0] == 1000


async def test_a_session_moves_and_its_sideband_finds_it_again(gateways):
    client, session_id = await gateways.opened()
    side = await gateways.connect(1, f"call_id={session_id}")
    await side.next()
    resumed = await gateways.connect(2, f"session_id={session_id}")
    await resumed.next()
    assert (await client.closed())[0] == 1012
    assert (await side.closed())[0] == 1012
    side = await gateways.connect(1, f"call_id={session_id}")
    await side.next()
    await side.send("input_audio_buffer.clear")
    await resumed.until("input_audio_buffer.cleared")
