from __future__ import annotations

import pytest
from openai import AsyncOpenAI

from gateway.config import Config
from gateway.rest import calls
from mesh.errors import Unavailable
from tests.unit.gateway.keys import KEY, keys_json
from tests.unit.gateway.two_gateways import Gateways, bearer

OTHER = "sk-other-0123456789abcdef"


@pytest.fixture
async def gateways(aiohttp_client, tmp_path, secrets):
    keys_file = tmp_path / "keys.json"
    keys_file.write_text(keys_json({KEY: "acme", OTHER: "zen"}))
    both = Gateways(Config(keys_file=keys_file))
    for _ in range(2):
        await both.start(aiohttp_client, secrets)
    return both


async def hang_up(gateways, session_id, number=1, key=KEY):
    url = f"/v1/realtime/calls/{session_id}/hangup"
    answer = await gateways.http[number - 1].post(url, headers=bearer(key))
    return answer.status, await answer.text()


def closings(gateways):
    closed = [r for r in gateways.recorder.records if r.HasField("session_closed")]
    stored = {r.record_id: r for r in closed}  # as persistence does
    return [(r.session.session_id, r.session_closed.reason) for r in stored.values()]


@pytest.mark.parametrize("number", [1, 2], ids=["the owner", "another gateway"])
async def test_a_session_ends_whichever_gateway_is_asked(gateways, number):
    client, session_id = await gateways.opened()
    assert await hang_up(gateways, session_id, number) == (200, "")
    assert await client.closed() == (1000, "the session was closed")
    assert closings(gateways) == [(session_id, "closed")]
    assert gateways.world.sessions == {}
    assert (await hang_up(gateways, session_id))[0] == 404


async def test_the_published_client_hangs_up(gateways):
    client, session_id = await gateways.opened()
    url = str(gateways.http[1].make_url("/v1"))
    async with AsyncOpenAI(api_key=KEY, base_url=url) as openai:
        await openai.realtime.calls.hangup(session_id)
    assert (await client.closed())[0] == 1000


@pytest.mark.parametrize("name", [None, "sess_nobody"])
async def test_there_is_no_such_session_for_others(gateways, name):
    client, session_id = await gateways.opened()
    status, text = await hang_up(gateways, name or session_id, key=OTHER)
    assert (status, "session_not_found" in text) == (404, True)
    await client.send("input_audio_buffer.clear")
    await client.until("input_audio_buffer.cleared")


async def test_a_client_secret_hangs_up_nothing(gateways):
    client, session_id = await gateways.opened()
    made = await gateways.http[0].post("/v1/realtime/client_secrets", headers=bearer())
    status, text = await hang_up(gateways, session_id, key=(await made.json())["value"])
    assert (status, "insufficient_permissions" in text) == (401, True)
    assert (await hang_up(gateways, session_id, key="sk-nobody"))[0] == 401
    await client.send("input_audio_buffer.clear")
    await client.until("input_audio_buffer.cleared")


async def test_a_session_that_nobody_serves_ends_too(gateways, monkeypatch):
    monkeypatch.setattr(calls, "PATIENCE_S", 0.05)
    client, session_id = await gateways.opened()
    gateways.world.sessions[session_id].owner = "gw_dead"
    assert await hang_up(gateways, session_id, 2) == (200, "")
    assert gateways.world.sessions == {}
    assert closings(gateways) == [(session_id, "closed")]
    await client.close()


async def test_a_session_that_comes_back_meanwhile_ends_as_well(gateways, monkeypatch):
    monkeypatch.setattr(calls, "PATIENCE_S", 0.05)
    client, session_id = await gateways.opened()
    gateways.world.sessions[session_id].owner = "gw_dead"
    store = gateways.gateway(1).keeper.store
    close, resumed = store.close, []

    async def late(name, epoch):
        if not resumed:
            resumed.append(await gateways.connect(2, f"session_id={session_id}"))
            await resumed[0].next()
        return await close(name, epoch)

    monkeypatch.setattr(store, "close", late)
    assert await hang_up(gateways, session_id, 1) == (200, "")
    assert (await resumed[0].closed())[0] == 1000
    assert gateways.world.sessions == {}
    assert closings(gateways) == [(session_id, "closed")]
    await client.close()


async def test_without_the_store_it_has_to_be_asked_again(gateways):
    _, session_id = await gateways.opened()
    store = gateways.gateway(2).keeper.store

    async def away(*_):
        raise Unavailable("ConnectionError", tier="redis")

    store.owner = away
    status, text = await hang_up(gateways, session_id, 2)
    assert (status, "service_unavailable" in text) == (503, True)
    assert session_id in gateways.world.sessions
