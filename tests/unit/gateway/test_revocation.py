from __future__ import annotations

import pytest

from gateway import revocation
from gateway.config import Config
from tests.unit.gateway.keys import KEY, keys_json
from tests.unit.gateway.two_gateways import Gateways, bearer

SECOND = "sk-second-0123456789abcdef"
CLOSE = (3000, "authentication_error.api_key_revoked")
BOTH = {KEY: "acme", SECOND: "acme"}


@pytest.fixture
async def gateways(aiohttp_client, tmp_path, secrets, monkeypatch):
    monkeypatch.setattr(revocation, "LOOK_S", 0.02)
    keys_file = tmp_path / "keys.json"
    keys_file.write_text(keys_json(BOTH))
    both = Gateways(Config(keys_file=keys_file))
    for _ in range(2):
        await both.start(aiohttp_client, secrets)
    return both


async def told_so(client):
    error = (await client.until("error"))["error"]
    assert (error["type"], error["code"]) == ("authentication_error", "api_key_revoked")
    assert await client.closed() == CLOSE


async def goes_on(client):
    await client.send("input_audio_buffer.clear")
    await client.until("input_audio_buffer.cleared")


async def test_what_a_revoked_key_opened_ends_and_nothing_else(gateways):
    client, session_id = await gateways.opened()
    other = await gateways.connect(1, key=SECOND)
    made = await gateways.http[0].post("/v1/realtime/client_secrets", headers=bearer())
    by_secret = await gateways.connect(2, key=(await made.json())["value"])
    await goes_on(by_secret)
    gateways.config.keys_file.write_text(keys_json({SECOND: "acme"}))
    await told_so(client)
    await told_so(by_secret)
    await goes_on(other)
    again = await gateways.connect(2, f"session_id={session_id}", key=SECOND)
    assert (await again.next())["error"]["code"] == "session_not_found"
    reasons = {
        r.session.session_id: r.session_closed.reason
        for r in gateways.recorder.records
        if r.HasField("session_closed")
    }
    assert reasons[session_id] == "revoked"


async def test_a_sideband_of_a_revoked_key_ends_and_the_session_goes_on(gateways):
    client, session_id = await gateways.opened()
    side = await gateways.connect(2, f"call_id={session_id}", key=SECOND)
    await side.next()
    gateways.config.keys_file.write_text(keys_json({KEY: "acme"}))
    await told_so(side)
    await goes_on(client)


async def test_a_keys_file_that_is_gone_revokes_nothing(gateways):
    client, _ = await gateways.opened()
    gateways.config.keys_file.unlink()
    gateways.config.keys_file.write_text("{")
    [session] = gateways.gateway(1).live.values()
    assert gateways.gateway(1).doorman.knows(session.kept.meta.key_hash)
    await goes_on(client)
    gateways.config.keys_file.write_text(keys_json({SECOND: "acme"}))
    await told_so(client)
