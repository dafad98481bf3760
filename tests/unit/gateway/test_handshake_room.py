"""Who is let in when there is little room, and what a new session is called."""

from __future__ import annotations

import aiohttp
import pytest

from tests.unit.gateway.going_on import rest, until
from tests.unit.gateway.keys import KEY

BEARER = {"Authorization": f"Bearer {KEY}"}
URL = "/v1/realtime?model=gpt-realtime"
NAME = "sess_0123456789abcdefABCDE"
TEXT = {"output_modalities": ["text"]}


async def refused(house):
    """What a client is told before the upgrade."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        await house.http.ws_connect(URL, headers=BEARER)
    return error.value.status, error.value.headers.get("Retry-After")


async def test_so_many_may_come_in_a_second(house):
    one = await house(connects_per_s=2.0)
    for _ in range(2):
        await one.new()
    assert await refused(one) == (503, "1")


async def test_who_is_told_to_wait_long_is_told_how_long(house):
    one = await house(connects_per_s=0.25)
    await one.new()
    assert await refused(one) == (503, "4")


async def test_a_connection_counts_as_a_request(house):
    one = await house(requests_per_minute=2)
    first, _ = await one.new()
    await one.new()
    third = await one.client()
    error = (await third.next())["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert await third.closed() == (1013, "rate_limit_error.rate_limit_exceeded")
    await first.send("response.create")
    assert (await first.until("error"))["error"]["code"] == "rate_limit_exceeded"


async def test_who_comes_back_is_not_counted_again(house):
    one, two = await house("gw_1", requests_per_minute=1), await house("gw_2")
    _, session_id = await one.new()
    two.gateway.allowance = one.gateway.allowance
    await two.resumed(session_id)
    for house_ in (one, two, one):
        await house_.resumed(session_id)


async def test_when_all_workers_are_full_who_is_new_waits_and_who_is_in_keeps_its_place(one, two):
    client, session_id = await one.new()
    for house_ in (one, two):
        house_.gateway.is_full = lambda: True
    assert await refused(one) == (503, "1")
    answer = await one.http.get(URL, headers=BEARER)
    assert (await answer.json())["error"]["code"] == "server_overloaded"
    await client.send("response.create", response=TEXT)
    assert (await client.until("response.done"))["response"]["status"] == "completed"
    sideband = await one.client(f"call_id={session_id}")
    assert (await sideband.next())["type"] == "session.created"
    await sideband.close()
    await two.resumed(session_id)
    one.gateway.is_full = lambda: False
    await one.new()


async def test_without_a_store_nobody_is_let_in_and_who_is_in_goes_on(one):
    client, session_id = await one.new()
    one.store.is_away = True
    await until(lambda: not one.gateway.keeper.is_well)
    assert await refused(one) == (503, "1")
    await client.send("response.create", response=TEXT)
    assert (await client.until("response.done"))["response"]["status"] == "completed"
    one.store.is_away = False
    await until(lambda: one.gateway.keeper.is_well)
    other, _ = await one.new()
    assert set(one.gateway.live) >= {session_id}
    await other.close()


async def test_a_store_that_goes_while_somebody_comes(one):
    """The store is away and nobody has noticed yet."""
    one.store.is_away = True
    client = await one.client()
    assert (await client.next())["error"]["code"] == "service_unavailable"
    assert (await client.closed())[0] == 1011
    assert not one.gateway.live


async def test_a_store_that_goes_while_somebody_comes_back(one, two):
    client, session_id = await one.new()
    two.store.is_away = True
    other = await two.client(f"session_id={session_id}")
    assert (await other.next())["error"]["code"] == "service_unavailable"
    assert (await other.closed())[0] == 1011
    await client.send("input_audio_buffer.clear")
    assert (await client.next())["type"] == "input_audio_buffer.cleared"


async def test_a_balancer_names_new_sessions(one):
    client = await one.client(X_New_Session_Id=NAME)
    assert (await client.next())["session"]["id"] == NAME
    assert list(one.gateway.live) == [NAME]


async def test_a_name_that_is_taken_is_not_given_again(one):
    first = await one.client(X_New_Session_Id=NAME)
    await first.until("session.created")
    second = await one.client(X_New_Session_Id=NAME)
    assert (await second.next())["session"]["id"] != NAME
    await first.send("input_audio_buffer.clear")
    assert (await first.next())["type"] == "input_audio_buffer.cleared"


@pytest.mark.parametrize("name", ["sess_x", "sess_0123456789abcdef{}", "call_0123456789abcdef"])
async def test_a_name_of_another_form_is_not_used(one, name):
    client = await one.client(X_New_Session_Id=name)
    given = (await client.next())["session"]["id"]
    assert given != name
    assert given.startswith("sess_")


async def test_a_client_cannot_name_its_session(house):
    one = await house(trusted_proxies=("10.0.0.0/8",))
    client = await one.client(X_New_Session_Id=NAME)
    assert (await client.next())["session"]["id"] != NAME


async def test_a_session_of_a_newer_version_is_not_touched(one, two, monkeypatch):
    """A rolling update: this process cannot read it, another one can."""
    client, session_id = await one.new()
    await client.send("input_audio_buffer.clear")
    await client.until("input_audio_buffer.cleared")
    monkeypatch.setattr("gateway.realtime.snapshot.FORMAT", 0)
    other = await two.client(f"session_id={session_id}")
    assert (await other.next())["error"]["code"] == "service_unavailable"
    assert (await rest(other))[0] == 1011
    monkeypatch.undo()
    await one.resumed(session_id)
