"""How connections end that their session outlives."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gateway import delivery, endings, notices
from gateway.realtime import signals as sig
from gateway.shared import GATEWAY
from tests.unit.gateway.going_on import House, break_off, is_fact, mark_of, rest, until, words

ANSWER = ("One two ", "three ", "four ", "five.")
TEXT = {"output_modalities": ["text"]}
RESTART = (1012, "service restart")


@pytest.fixture
async def leaving(house) -> House:
    """A gateway that gives its sessions some time when it ends."""
    return await house("gw_1", drain_s=10.0)


def drain(tasks: asyncio.TaskGroup, house: House) -> asyncio.Task[None]:
    """It is asked to end."""
    return tasks.create_task(house.http.app.shutdown(), name="shutdown")


async def test_a_quiet_session_is_given_away_at_once(leaving, two, recorder):
    client, session_id = await leaving.new()
    await client.send("response.create", response=TEXT)
    await client.until("response.done")
    async with asyncio.TaskGroup() as tasks:
        drain(tasks, leaving)
        assert await rest(client) == RESTART
        client = await two.resumed(session_id)
    assert not leaving.gateway.live
    await client.send("response.create", response=TEXT)
    assert (await client.until("response.done"))["response"]["status"] == "completed"
    assert [line.text for line in two.backends.asked[0].context] == ["Hi there."]
    assert not [r for r in recorder.records if is_fact(r, "session_closed")]


async def test_a_reply_is_finished_first(leaving, two):
    leaving.backends.answer = ANSWER
    leaving.backends.gate = asyncio.Event()
    client, session_id = await leaving.new()
    quiet, quiet_id = await leaving.new()
    await client.send("response.create")
    await client.until("response.output_audio.delta")
    async with asyncio.TaskGroup() as tasks:
        drain(tasks, leaving)
        assert await rest(quiet) == RESTART
        await leaving.until_gone(quiet_id)
        assert list(leaving.gateway.live) == [session_id]
        leaving.backends.gate.set()
        assert await rest(client) == RESTART
    assert client.types()[-1] == "rate_limits.updated"
    assert words(client) == "One two three four five."
    client = await two.resumed(session_id)
    await client.send("input_audio_buffer.clear")
    assert (await client.next())["type"] == "input_audio_buffer.cleared"


async def test_a_reply_that_takes_too_long_is_finished_elsewhere(house, two):
    one = await house("gw_1", drain_s=0.0)
    one.backends.answer = two.backends.answer = ANSWER
    one.backends.gate = asyncio.Event()
    first, session_id = await one.new()
    await first.send("response.create")
    await first.until("response.output_audio.delta")
    async with asyncio.TaskGroup() as tasks:
        drain(tasks, one)
        assert await rest(first) == RESTART
        second = await two.resumed(session_id)
    await second.until("response.done")
    assert words(first, second) == "One two three four five."
    # Audio that was sent is not sent again: all of it was noted before the goodbye.
    assert len(first.audio()) + len(second.audio()) == 5 * 12_000


async def test_nobody_is_let_in_meanwhile(leaving):
    client, _ = await leaving.new()
    async with asyncio.TaskGroup() as tasks:
        drain(tasks, leaving)
        await until(lambda: leaving.gateway.is_closed)
        answer = await leaving.http.get("/v1/realtime")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert await rest(client) == RESTART


def stop_reading(client) -> None:
    transport = client._ws._response.connection.transport
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    transport.pause_reading()


async def test_who_reads_too_slowly_is_hung_up_on_and_may_come_back(one, two, monkeypatch):
    monkeypatch.setattr(delivery, "SEND_S", 0.1)
    answer = tuple(f"{n} {'x' * 60_000} " for n in range(40))
    one.backends.answer = two.backends.answer = answer
    first, session_id = await one.new()
    stop_reading(first)
    await first.send("response.create", response=TEXT)
    await one.until_gone(session_id)
    break_off(first)
    assert mark_of(one, session_id) is not None
    last = first.got[-1]["event_id"]
    second = await two.resumed(session_id, f"&last_event_id={last}")
    done = await second.until("response.done")
    assert done["response"]["status"] == "completed"
    assert words(second) == "".join(one.backends.answer)


async def test_what_was_not_sent_comes_to_who_says_nothing(one, two, monkeypatch):
    """The gateway knows how far it came with a client that did not read."""
    monkeypatch.setattr(delivery, "SEND_S", 0.1)
    answer = tuple(f"{n} {'x' * 60_000} " for n in range(40))
    one.backends.answer = two.backends.answer = answer
    first, session_id = await one.new()
    stop_reading(first)
    await first.send("response.create", response=TEXT)
    await one.until_gone(session_id)
    break_off(first)
    mark = mark_of(one, session_id)
    assert mark.sent < mark.made
    second = await two.resumed(session_id)
    await second.until("response.done")
    text = "".join(one.backends.answer)
    assert text.endswith(words(second))
    assert 60_000 < len(words(second)) < len(text)


async def test_a_session_that_moved_is_not_touched_any_more(one, two):
    """What its last gateway still wants to do with it."""
    first, session_id = await one.new()
    connection = one.connection(session_id)
    break_off(first)
    second = await two.resumed(session_id)
    before = one.store.world.sessions[session_id]
    entries = list(before.entries)
    connection.take(sig.ReplyText("resp_1", "late"))
    assert before.entries[: len(entries)] == entries
    await second.send("input_audio_buffer.clear")
    assert (await second.next())["type"] == "input_audio_buffer.cleared"


async def test_a_session_that_is_closed_elsewhere_is_over(one, two, recorder):
    client, session_id = await one.new()
    await two.store.tell("gw_1", notices.encode(notices.Close(session_id)))
    assert await rest(client) == (1000, "the session was closed")
    await until(lambda: session_id not in one.store.world.sessions)
    closed = [r for r in recorder.records if is_fact(r, "session_closed")]
    assert [r.session_closed.reason for r in closed] == ["closed"]


async def test_only_the_first_end_counts(one):
    client, session_id = await one.new()
    connection = one.connection(session_id)
    connection.end(endings.Drained())
    connection.end(endings.Closed())
    assert await rest(client) == RESTART


async def test_who_wants_a_session_waits_until_its_last_words_are_kept(one):
    client, session_id = await one.new()
    connection = one.connection(session_id)
    one.store.is_frozen = True
    async with asyncio.TaskGroup() as tasks:
        moving = tasks.create_task(connection.moved(), name="moved")
        assert (await rest(client))[0] == 1012
        await moving
    assert connection.has_left.is_set()
    assert session_id not in one.http.app[GATEWAY].live
