from __future__ import annotations

import asyncio
import json
import time

import aiohttp
import pytest

from gateway import audience, notices, sideband
from gateway.auth import Who
from gateway.config import Config
from gateway.notices import Batch
from gateway.realtime.dialects import Ga
from gateway.sideband import MOST_WAITING, Sideband
from tests.unit.gateway.keys import KEY, keys_json
from tests.unit.gateway.two_gateways import BETA, Gateways, until

OTHER_KEY = "sk-other-0123456789abcdef"
SPEECH = b"\x01\x00" * 12_000  # half a second
SILENCE = bytes(24_000)
NOT_FOUND = "invalid_request_error.session_not_found"


@pytest.fixture
def start(aiohttp_client, tmp_path, secrets):
    async def start(**settings):
        keys_file = tmp_path / "keys.json"
        keys_file.write_text(keys_json({KEY: "acme", OTHER_KEY: "zen"}))
        both = Gateways(Config(keys_file=keys_file, **settings))
        for _ in range(2):
            await both.start(aiohttp_client, secrets)
        return both

    return start


@pytest.fixture
async def gateways(start):
    return await start()


def update(**fields):
    return {"session": {"type": "realtime", **fields}}


@pytest.mark.parametrize("number", [1, 2], ids=["the same gateway", "another gateway"])
async def test_a_sideband_hears_everything_but_audio_in_order(gateways, number):
    client, session_id = await gateways.opened()
    await client.send("session.update", **update(instructions="Hum."))
    await client.until("session.updated")
    side = await gateways.connect(number, f"call_id={session_id}")
    created = await side.next()
    assert created["type"] == "session.created"
    assert (created["session"]["id"], created["session"]["instructions"]) == (session_id, "Hum.")
    first = len(client.got)
    await client.speak(SPEECH + SILENCE)
    await client.until("response.done")
    await client.until("rate_limits.updated")
    await side.until("rate_limits.updated")
    no_audio = [e for e in client.got[first:] if e["type"] != "response.output_audio.delta"]
    assert side.got[1:] == no_audio
    assert len(no_audio) > 10


async def test_what_a_sideband_changes_reaches_the_client_within_100_ms(gateways):
    client, session_id = await gateways.opened()
    side = await gateways.connect(2, f"call_id={session_id}")
    await side.next()
    took_s = []
    for n in range(5):
        began_s = time.monotonic()
        await side.send("session.update", **update(instructions=f"Say {n}."))
        told = await client.next()
        took_s.append(time.monotonic() - began_s)
        assert told["type"] == "session.updated"
        assert told["session"]["instructions"] == f"Say {n}."
        assert await side.next() == told
    assert min(took_s) < 0.1


async def test_what_a_sideband_says_is_the_sessions(gateways):
    client, session_id = await gateways.opened()
    side = await gateways.connect(2, f"call_id={session_id}")
    await side.next()
    item = {"id": "item_1", "type": "message", "role": "user"}
    item["content"] = [{"type": "input_text", "text": "Hello?"}]
    await side.send("conversation.item.create", item=item)
    await side.send("conversation.item.retrieve", item_id="item_1")
    await side.until("conversation.item.retrieved")
    await side.send("response.create", response={"output_modalities": ["text"]})
    assert (await client.until("response.done"))["response"]["status"] == "completed"
    assert [message.text for message in gateways.backends.asked[0].context] == ["Hello?"]
    await side.until("response.done")
    await side.send("conversation.item.delete", item_id="item_1")
    assert (await client.until("conversation.item.deleted"))["item_id"] == "item_1"
    await side.send("input_audio_buffer.clear")
    await client.until("input_audio_buffer.cleared")


async def test_a_sideband_stops_an_answer(gateways):
    client, session_id = await gateways.opened()
    side = await gateways.connect(2, f"call_id={session_id}")
    await side.next()
    gateways.backends.gate = asyncio.Event()
    await client.send("response.create")
    await side.until("response.created")
    await side.send("response.cancel")
    done = await client.until("response.done")
    assert done["response"]["status_details"]["reason"] == "client_cancelled"


async def test_an_error_is_told_to_who_caused_it_alone(gateways):
    client, session_id = await gateways.opened()
    one, two = [await gateways.connect(n, f"call_id={session_id}") for n in (1, 2)]
    for side in (one, two):
        await side.next()
    await one.send("conversation.item.delete", item_id="nope", event_id="mine")
    assert (await one.next())["error"]["event_id"] == "mine"
    await one.send_raw("not json")
    assert (await one.next())["error"]["code"] == "invalid_json"
    await one.send_bytes(b"audio")
    assert "binary" in (await one.next())["error"]["message"]
    await one.send("input_audio_buffer.append", audio="AAAA", event_id="sound")
    refused = (await one.next())["error"]
    assert (refused["event_id"], refused["message"]) == ("sound", audience.NO_AUDIO.message)
    await one.send("session.update", **update(instructions="Hum."))
    for other in (client, two):
        assert (await other.next())["type"] == "session.updated"


async def test_responses_that_a_sideband_asks_for_count(start):
    gateways = await start(requests_per_minute=3)
    client, session_id = await gateways.opened()
    side = await gateways.connect(2, f"call_id={session_id}")
    for _ in range(2):
        await side.send("response.create", response={"output_modalities": ["text"]})
        await side.until("response.done")
    await side.send("response.create", event_id="mine")
    error = (await side.until("error"))["error"]
    assert (error["code"], error["event_id"]) == ("rate_limit_exceeded", "mine")
    await client.send("input_audio_buffer.clear")
    await client.until("input_audio_buffer.cleared")
    assert "error" not in client.types()


@pytest.mark.parametrize(("key", "name"), [(KEY, "sess_nobody"), (KEY, ""), (OTHER_KEY, None)])
async def test_who_may_not_join_is_told_that_there_is_no_such_session(gateways, key, name):
    client, session_id = await gateways.opened()
    side = await gateways.connect(2, f"call_id={session_id if name is None else name}", key)
    assert (await side.next())["error"]["code"] == "session_not_found"
    assert await side.closed() == (4004, NOT_FOUND)
    await client.send("input_audio_buffer.clear")
    await client.until("input_audio_buffer.cleared")


async def test_a_client_secret_joins_sessions_of_its_tenant(gateways):
    _, session_id = await gateways.opened()
    made = await gateways.http[0].post(
        "/v1/realtime/client_secrets", headers={"Authorization": f"Bearer {KEY}"}
    )
    side = await gateways.connect(2, f"call_id={session_id}", (await made.json())["value"])
    assert (await side.next())["session"]["id"] == session_id


async def test_a_session_has_no_more_than_so_many(gateways):
    _, session_id = await gateways.opened()
    sides = [await gateways.connect(2, f"call_id={session_id}") for _ in range(audience.MOST)]
    for side in sides:
        assert (await side.next())["type"] == "session.created"
    late = await gateways.connect(1, f"call_id={session_id}")
    assert (await late.next())["error"]["code"] == "too_many_sidebands"
    assert (await late.closed())[0] == 1013
    await sides[0].close()
    await until(lambda: len(list(gateways.gateway(2).sidebands)) < audience.MOST)
    again = await gateways.connect(2, f"call_id={session_id}")
    assert (await again.next())["type"] == "session.created"


async def test_the_session_ends_and_its_sidebands_with_it(gateways):
    client, session_id = await gateways.opened()
    side = await gateways.connect(2, f"call_id={session_id}")
    await side.next()
    await client.close()
    assert (await side.closed())[0] == 1000


async def test_the_session_moves_and_its_sidebands_join_again(gateways):
    client, session_id = await gateways.opened()
    side = await gateways.connect(1, f"call_id={session_id}")
    await side.next()
    resumed = await gateways.connect(2, f"session_id={session_id}")
    assert (await resumed.next())["session"]["id"] == session_id
    assert (await client.closed())[0] == 1012
    assert (await side.closed())[0] == 1012
    side = await gateways.connect(1, f"call_id={session_id}")
    assert (await side.next())["session"]["id"] == session_id
    await side.send("session.update", **update(instructions="Hum."))
    assert (await resumed.until("session.updated"))["session"]["instructions"] == "Hum."


async def test_the_owner_stops_and_its_sidebands_join_again(gateways):
    _, session_id = await gateways.opened()
    side = await gateways.connect(2, f"call_id={session_id}")
    await side.next()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(gateways.http[0].server.close())
        assert (await side.closed())[0] == 1012


async def test_a_gateway_that_stops_sends_its_sidebands_elsewhere(gateways):
    client, session_id = await gateways.opened()
    side = await gateways.connect(2, f"call_id={session_id}")
    await side.next()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(gateways.http[1].server.close())
        assert (await side.closed())[0] == 1012
    await client.send("input_audio_buffer.clear")
    await client.until("input_audio_buffer.cleared")
    [session] = gateways.gateway(1).live.values()
    await until(lambda: not session.audience)


async def test_a_sideband_of_a_session_that_speaks_beta_speaks_ga(gateways):
    """So does what is kept of it: another gateway reads it so."""
    ws = await gateways.http[0].ws_connect(
        "/v1/realtime?model=gpt-realtime", headers={"Authorization": f"Bearer {KEY}", **BETA}
    )
    session_id = (await ws.receive_json())["session"]["id"]
    assert (await ws.receive_json())["type"] == "conversation.created"
    side = await gateways.connect(2, f"call_id={session_id}")
    assert (await side.next())["session"]["output_modalities"] == ["audio"]
    await side.send("session.update", **update(output_modalities=["text"]))
    assert (await side.next())["session"]["output_modalities"] == ["text"]
    assert (await ws.receive_json())["session"]["modalities"] == ["text"]
    entries = gateways.world.sessions[session_id].entries
    assert any(entry.startswith(b"b{") for entry in entries), "it is in the journal"
    resumed = await gateways.http[1].ws_connect(
        f"/v1/realtime?session_id={session_id}",
        headers={"Authorization": f"Bearer {KEY}", **BETA},
    )
    assert (await resumed.receive_json())["session"]["modalities"] == ["text"]


async def test_who_lost_its_owner_without_a_word_is_told_to_join_again(start, monkeypatch):
    monkeypatch.setattr(sideband, "LOOK_S", 0.05)
    gateways = await start()
    _, session_id = await gateways.opened()
    side = await gateways.connect(2, f"call_id={session_id}")
    await side.next()
    gateways.world.sessions[session_id].owner = "gw_3"  # the old one died and said nothing
    assert (await side.closed())[0] == 1012


async def test_a_session_that_is_gone_ends_its_sidebands(start, monkeypatch):
    monkeypatch.setattr(sideband, "LOOK_S", 0.05)
    gateways = await start()
    _, session_id = await gateways.opened()
    side = await gateways.connect(2, f"call_id={session_id}")
    await side.next()
    del gateways.world.sessions[session_id]
    assert (await side.closed())[0] == 1000


async def test_a_lost_batch_ends_the_sidebands_that_missed_it(gateways):
    _, session_id = await gateways.opened()
    side = await gateways.connect(2, f"call_id={session_id}")
    await side.next()
    lost = notices.encode(Batch("gw_1", 100, []))
    await gateways.gateway(2).keeper.store.tell("gw_2", lost)
    assert (await side.closed())[0] == 1012


async def test_nobody_serves_the_session(gateways, monkeypatch):
    monkeypatch.setattr(sideband, "JOIN_S", 0.3)
    _, session_id = await gateways.opened()
    gateways.world.sessions[session_id].owner = "gw_2"
    side = await gateways.connect(1, f"call_id={session_id}")
    assert (await side.next())["error"]["code"] == "service_unavailable"
    assert (await side.closed())[0] == 1011


async def test_what_is_too_long_ends_the_sideband_and_not_the_session(gateways):
    client, session_id = await gateways.opened()
    side = await gateways.connect(2, f"call_id={session_id}")
    await side.next()
    await side.send_raw(json.dumps({"type": "x" * sideband.MAX_MESSAGE}))
    assert (await side.closed())[0] == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
    await client.send("input_audio_buffer.clear")
    await client.until("input_audio_buffer.cleared")


async def test_who_does_not_read_is_dropped():
    class Wedged:
        async def send_str(self, text):
            await asyncio.Event().wait()

        def __aiter__(self):
            return self

        async def __anext__(self):
            await asyncio.Event().wait()

    slow = Sideband("sess_1", Who("acme", "hash"), Ga())
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(30):
        serving = tasks.create_task(slow.serve(Wedged(), None))
        await asyncio.sleep(0)
        for _ in range(MOST_WAITING + 2):
            slow.put(b"{}")
        await serving
    assert serving.result().code == 1013
