from __future__ import annotations

import asyncio

import pytest

from gateway.outbox import HIGH_WATER, LIMIT, Outbox, SlowClient
from gateway.realtime.server_events import AudioCleared, AudioDelta, TextDelta


def audio(response_id: str, pcm: bytes = b"\0\0") -> AudioDelta:
    return AudioDelta(response_id, "item_1", 0, 0, pcm)


async def test_events_leave_in_the_order_they_came():
    outbox = Outbox()
    events = [TextDelta("r", "i", 0, 0, str(n)) for n in range(5)]
    for event in events:
        outbox.put(event)
    assert [await outbox.get() for _ in events] == events


async def test_who_gets_waits_for_who_puts():
    outbox = Outbox()
    async with asyncio.TaskGroup() as tasks:
        got = tasks.create_task(outbox.get(), name="get")
        await asyncio.sleep(0)
        assert not got.done()
        outbox.put(AudioCleared())
    assert got.result() == AudioCleared()


async def test_producers_wait_above_the_high_water_mark():
    outbox = Outbox()
    for _ in range(HIGH_WATER - 1):
        outbox.put(AudioCleared())
    await outbox.room()
    outbox.put(AudioCleared())
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(outbox.room(), name="room")
        await asyncio.sleep(0)
        assert not waiting.done()
        await outbox.get()


async def test_a_client_that_reads_nothing_is_given_up():
    outbox = Outbox()
    for _ in range(LIMIT):
        outbox.put(AudioCleared())
    outbox.put(AudioCleared())
    with pytest.raises(SlowClient):
        await outbox.get()


async def test_only_audio_of_the_stopped_reply_is_dropped():
    outbox = Outbox()
    kept = [TextDelta("r1", "i", 0, 0, "x"), audio("r2"), AudioCleared()]
    for event in (audio("r1"), kept[0], audio("r1"), *kept[1:]):
        outbox.put(event)
    outbox.drop_audio("r1")
    assert [await outbox.get() for _ in kept] == kept


async def test_dropping_audio_makes_room():
    outbox = Outbox()
    for _ in range(HIGH_WATER):
        outbox.put(audio("r1"))
    outbox.drop_audio("r1")
    await outbox.room()
    outbox.put(AudioCleared())
    assert await outbox.get() == AudioCleared()
