"""A client comes back for its session, to another gateway or to the same one."""

from __future__ import annotations

import asyncio

import pytest

from gateway.realtime.items import FunctionCall, FunctionCallOutput, Message
from tests.unit.gateway.going_on import (
    WORD_BYTES,
    break_off,
    is_fact,
    mark_of,
    rest,
    until,
    words,
)
from tests.unit.gateway.keys import OTHER_KEY

SPEECH = b"\x01\x00" * 12_000  # half a second
SILENCE = bytes(24_000)
ANSWER = ("One two ", "three ", "four ", "five.")
FIRST_BYTES, ALL_BYTES = 2 * WORD_BYTES, 5 * WORD_BYTES
TEXT = {"output_modalities": ["text"]}


async def ask(client, text, **response):
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    await client.send("conversation.item.create", item=item)
    await client.send("response.create", response=response)


def asked_of(house):
    """What the backend was asked last, as texts."""
    return [line.text for line in house.backends.asked[-1].context]


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("session_id={}", {}),
        ("conversation_id={}", {}),
        ("session_id={}&model=gpt-realtime", {}),
        ("model=gpt-realtime", {"X_Session_Id": "{}"}),
    ],
)
async def test_between_two_turns_the_conversation_goes_on(one, two, query, headers):
    client, session_id = await one.new()
    await ask(client, "What is the capital of France?", **TEXT)
    await client.until("response.done")
    break_off(client)
    await one.until_gone(session_id)

    headers = {name: value.format(session_id) for name, value in headers.items()}
    client = await two.client(query.format(session_id), **headers)
    created = await client.next()
    assert created["type"] == "session.created"
    assert created["session"]["id"] == session_id
    await ask(client, "And of Spain?", **TEXT)
    done = await client.until("response.done")
    assert done["response"]["status"] == "completed"
    assert asked_of(two) == ["What is the capital of France?", "Hi there.", "And of Spain?"]
    assert client.types()[1] == "conversation.item.added", "nothing is told twice"


async def test_settings_and_their_origin_go_on(one, two):
    client, session_id = await one.new("model=gpt-realtime-mini")
    change = {"type": "realtime", "instructions": "Hum.", **TEXT}
    await client.send("session.update", session=change)
    updated = await client.until("session.updated")
    break_off(client)
    await one.until_gone(session_id)
    client = await two.client(f"session_id={session_id}&model=gpt-realtime")
    assert (await client.next())["session"] == updated["session"]


async def test_a_session_can_move_again_and_again(one, two):
    client, session_id = await one.new()
    for n, house in enumerate((two, one, two, one)):
        break_off(client)
        client = await house.resumed(session_id)
        await ask(client, f"Question {n}", **TEXT)
        await client.until("response.done")
    asked = asked_of(one)
    assert asked == [t for n in range(4) for t in (f"Question {n}", "Hi there.")][:-1]


async def begin(house, house_2):
    """A spoken reply that stops after two words; the store knows all that was sent."""
    for each in (house, house_2):
        each.backends.answer = ANSWER
    house.backends.gate = asyncio.Event()
    client, session_id = await house.new()
    await ask(client, "Count.")
    while len(client.audio()) < FIRST_BYTES:
        await client.next()
    rid = client.got[-1]["response_id"]
    await until(lambda: (m := mark_of(house, session_id)) and m.played == {rid: FIRST_BYTES})
    return client, session_id


async def test_a_reply_goes_on_where_its_gateway_died(one, two, recorder):
    first, session_id = await begin(one, two)
    await one.kill(session_id, first)

    second = await two.resumed(session_id)
    done = await second.until("response.done")
    assert done["response"]["status"] == "completed"
    begun = two.backends.asked[0].begun
    assert (begun.text, begun.from_char, begun.from_ms, begun.sent_bytes) == ("One two ", 8, 500, 0)
    assert words(first, second) == "One two three four five."
    assert len(first.audio()) + len(second.audio()) == ALL_BYTES
    [item] = done["response"]["output"]
    assert item["content"][0]["transcript"] == "One two three four five."
    assert "response.created" not in second.types()
    assert not [r for r in recorder.records if is_fact(r, "session_closed")]


async def test_in_a_word_that_was_half_heard_the_rest_of_it_comes(one, two):
    """The third word is being spoken when the gateway dies."""
    first, session_id = await begin(one, two)
    one.backends.gate.set()
    while len(first.audio()) < FIRST_BYTES + 4800:
        await first.next()
    await until(lambda: sum(mark_of(one, session_id).played.values()) >= FIRST_BYTES + 4800)
    await one.kill(session_id, first)
    had = len(first.audio())
    last = first.got[-1]["event_id"]

    second = await two.resumed(session_id, f"&last_event_id={last}")
    await second.until("response.done")
    assert words(first, second) == "One two three four five."
    assert had + len(second.audio()) == ALL_BYTES


async def test_a_written_reply_goes_on_where_its_gateway_died(one, two):
    for each in (one, two):
        each.backends.answer = ANSWER
    one.backends.gate = asyncio.Event()
    first, session_id = await one.new()
    await ask(first, "Count.", **TEXT)
    await first.until("response.output_text.delta")
    await one.kill(session_id, first)
    second = await two.resumed(session_id)
    done = await second.until("response.done")
    assert words(first, second) == "One two three four five."
    assert done["response"]["output"][0]["content"][0]["text"] == "One two three four five."


async def test_a_session_is_taken_from_a_gateway_that_serves_it(one, two):
    first, session_id = await begin(one, two)
    second = await two.resumed(session_id)
    assert (await rest(first))[0] == 1012
    await second.until("response.done")
    assert words(first, second) == "One two three four five."
    await one.until_gone(session_id)


async def test_a_client_may_take_its_session_from_its_own_connection(one, two):
    """As a client does that has noticed the loss before we have."""
    first, session_id = await begin(one, two)
    one.backends.gate.set()
    second = await one.resumed(session_id)
    assert await rest(first) == (1012, "the session is served elsewhere")
    await second.until("response.done")
    assert words(first, second) == "One two three four five."
    assert list(one.gateway.live) == [session_id]


async def test_exactly_what_was_missed_comes_again(one, two):
    """A client had less than we sent: it says what it had last."""
    first, session_id = await one.new()
    await ask(first, "Count.", **TEXT)
    await first.until("response.done")
    await first.until("rate_limits.updated")
    one.backends.gate = asyncio.Event()
    lost = first.got[-9:-1]
    had = first.got[-10]
    assert "response.done" in [event["type"] for event in lost]
    break_off(first)
    await one.until_gone(session_id)
    second = await two.resumed(session_id, f"&last_event_id={had['event_id']}")
    missed = [await second.next() for _ in lost]
    assert [without_id(event) for event in missed] == [without_id(event) for event in lost]
    await second.send("input_audio_buffer.clear")
    assert (await second.next())["type"] == "input_audio_buffer.cleared"


def without_id(event):
    return {**event, "event_id": ""}


async def test_who_had_everything_is_told_nothing(one, two):
    first, session_id = await one.new()
    await ask(first, "Count.", **TEXT)
    done = await first.until("response.done")
    break_off(first)
    second = await two.resumed(session_id, f"&last_event_id={done['event_id']}")
    await second.send("input_audio_buffer.clear")
    assert (await second.next())["type"] == "input_audio_buffer.cleared"


async def test_a_function_call_waits_for_its_result_elsewhere(one, two):
    one.backends.call = two.backends.call = ("get_weather", '{"city":"Paris"}')
    client, session_id = await one.new()
    await ask(client, "Weather?", **TEXT)
    call = (await client.until("response.done"))["response"]["output"][0]
    await one.kill(session_id, client)

    client = await two.resumed(session_id)
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "21"}
    await client.send("conversation.item.create", item=output)
    await client.send("response.create", response=TEXT)
    done = await client.until("response.done")
    assert done["response"]["output"][0]["content"][0]["text"] == "Hi there."
    [asked] = two.backends.asked
    kinds = [type(line.item) for line in asked.context]
    assert kinds == [Message, FunctionCall, FunctionCallOutput]


async def test_speech_goes_on_and_is_one_turn(one, two):
    client, session_id = await one.new()
    await client.speak(SPEECH)
    started = await client.until("input_audio_buffer.speech_started")
    await until(lambda: mark_of(one, session_id).samples == len(SPEECH) // 2)
    await one.kill(session_id, client)

    client = await two.resumed(session_id)
    await client.speak(SPEECH + SILENCE)
    stopped = await client.until("input_audio_buffer.speech_stopped")
    assert stopped["item_id"] == started["item_id"]
    assert 900 <= stopped["audio_end_ms"] - started["audio_start_ms"] <= 1600
    done = await client.until("response.done")
    assert done["response"]["status"] == "completed"
    assert asked_of(two) == ["hello"]
    assert client.types().count("input_audio_buffer.speech_started") == 0


async def refused(house, query, key=None):
    client = await house.client(query, **({"key": key} if key else {}))
    error = await client.next()
    code, reason = await client.closed()
    return error["error"]["code"], code, reason


GONE = ("session_not_found", 4004, "invalid_request_error.session_not_found")


async def test_another_tenant_finds_no_session_and_disturbs_none(one, two, recorder):
    client, session_id = await one.new()
    for house in (one, two):
        for query in ("session_id={}", "conversation_id={}"):
            assert await refused(house, query.format(session_id), OTHER_KEY) == GONE
    await ask(client, "Still there?", **TEXT)
    assert (await client.until("response.done"))["response"]["status"] == "completed"
    assert {record.session.tenant_id for record in recorder.records} == {"acme"}
    assert list(one.gateway.live) == [session_id]


@pytest.mark.parametrize("asked", ["session_id=sess_unknown", "session_id=", "conversation_id=x"])
async def test_a_session_that_nobody_knows_is_not_found(one, recorder, asked):
    assert await refused(one, asked) == GONE
    assert recorder.records == []


async def test_a_session_whose_time_is_over_is_not_found(house, one):
    short = await house("gw_3", session_s=1.0)
    client, session_id = await short.new()
    assert (await rest(client))[0] == 1001
    assert await refused(one, f"session_id={session_id}") == GONE


async def test_a_session_outlives_no_goodbye(one, two, recorder):
    client, session_id = await one.new()
    await client.close()
    await until(lambda: session_id not in one.store.world.sessions)
    assert await refused(two, f"session_id={session_id}") == GONE
    closed = [r for r in recorder.records if is_fact(r, "session_closed")]
    assert [r.session_closed.reason for r in closed] == ["client_left"]


async def test_a_connection_that_breaks_closes_no_session(one, two, recorder):
    client, session_id = await one.new()
    break_off(client)
    await one.until_gone(session_id)
    assert session_id in one.store.world.sessions
    client = await two.resumed(session_id)
    assert not [r for r in recorder.records if is_fact(r, "session_closed")]
    await client.close()
    await until(lambda: [r for r in recorder.records if is_fact(r, "session_closed")])
