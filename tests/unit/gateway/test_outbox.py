from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY

from gateway.outbox import HIGH_WATER, LIMIT, Coming, Outbox, Parcel, SlowClient
from gateway.realtime.server_events import AudioCleared, AudioDelta, TextDelta


def parcel(event: Coming, name: str = "event_1") -> Parcel:
    return Parcel(event, name)


CLEARED = parcel(AudioCleared())


def audio(response_id: str, pcm: bytes = b"\0\0") -> Parcel:
    return parcel(AudioDelta(response_id, "item_1", 0, 0, pcm))


async def test_events_leave_in_the_order_they_came():
    outbox = Outbox()
    events = [parcel(TextDelta("r", "i", 0, 0, str(n))) for n in range(5)]
    for event in events:
        outbox.put(event)
    assert [await outbox.get() for _ in events] == events


async def test_who_gets_waits_for_who_puts():
    outbox = Outbox()
    async with asyncio.TaskGroup() as tasks:
        got = tasks.create_task(outbox.get(), name="get")
        await asyncio.sleep(0)
        assert not got.done()
        outbox.put(CLEARED)
    assert got.result() == CLEARED


async def test_producers_wait_above_the_high_water_mark():
    outbox = Outbox()
    for _ in range(HIGH_WATER - 1):
        outbox.put(CLEARED)
    await outbox.room()
    outbox.put(CLEARED)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(outbox.room(), name="room")
        await asyncio.sleep(0)
        assert not waiting.done()
        await outbox.get()


async def test_a_client_that_reads_nothing_is_given_up():
    outbox = Outbox()
    for _ in range(LIMIT):
        outbox.put(CLEARED)
    outbox.put(CLEARED)
    with pytest.raises(SlowClient):
        await outbox.get()


async def test_only_audio_of_the_stopped_reply_is_dropped():
    outbox = Outbox()
    kept = [parcel(TextDelta("r1", "i", 0, 0, "x")), audio("r2"), CLEARED]
    for event in (audio("r1"), kept[0], audio("r1"), *kept[1:]):
        outbox.put(event)
    outbox.drop_audio("r1")
    assert [await outbox.get() for _ in kept] == kept


def silenced() -> tuple[float, float]:
    """How many cancels were timed, and for how long audio came after them, all in all."""
    name, labels = "gateway_cancel_seconds", {"until": "silence"}
    n = REGISTRY.get_sample_value(f"{name}_count", labels) or 0
    return n, REGISTRY.get_sample_value(f"{name}_sum", labels) or 0


async def test_a_cancel_is_timed_to_the_end_of_the_frame_that_is_on_its_way():
    outbox = Outbox()
    n, sum_s = silenced()
    outbox.put(audio("r1"))
    await outbox.get()
    outbox.drop_audio("r1")
    assert silenced() == (n, sum_s)
    outbox.delivered()
    assert silenced()[0] == n + 1
    assert silenced()[1] > sum_s
    outbox.delivered()
    assert silenced()[0] == n + 1


async def test_a_cancel_takes_no_time_where_no_frame_of_the_reply_is_on_its_way():
    outbox = Outbox()
    n, sum_s = silenced()
    outbox.put(audio("r1"))
    outbox.put(audio("r2"))
    outbox.drop_audio("r1")
    await outbox.get()
    outbox.drop_audio("r1")
    outbox.delivered()
    assert silenced() == (n + 2, sum_s)


async def test_dropping_audio_makes_room():
    outbox = Outbox()
    for _ in range(HIGH_WATER):
        outbox.put(audio("r1"))
    outbox.drop_audio("r1")
    await outbox.room()
    outbox.put(CLEARED)
    assert await outbox.get() == CLEARED


async def test_emptied_waits_until_nothing_is_left():
    outbox = Outbox()
    await outbox.emptied()
    outbox.put(CLEARED)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(outbox.emptied(), name="emptied")
        await asyncio.sleep(0)
        assert not waiting.done()
        assert outbox
        await outbox.get()
        await asyncio.sleep(0)
        assert not waiting.done(), "it is on its way"
        outbox.delivered()
    assert not outbox


async def test_what_comes_at_once_is_no_sign_of_a_slow_client():
    outbox = Outbox()
    outbox.expect(1000)
    for _ in range(1000):
        outbox.put(CLEARED)
    await outbox.get()


def test_an_event_that_is_said_in_several_messages_names_each():
    name = parcel(AudioCleared(), "event_ab_7").ids()
    assert [name(), name(), name()] == ["event_ab_7", "event_ab_7x1", "event_ab_7x2"]


async def test_what_need_not_wait_does_not_unless_something_waits_before_it():
    sent: list[Parcel] = []

    def at_once(parcel: Parcel) -> bool:
        if isinstance(parcel.event, AudioDelta):
            sent.append(parcel)
        return isinstance(parcel.event, AudioDelta)

    outbox = Outbox(at_once)
    first, second, third = (audio("resp_1", bytes(2 * n)) for n in (1, 2, 3))
    outbox.put(first)
    outbox.put(CLEARED)
    outbox.put(second)
    assert sent == [first]
    assert [await outbox.get(), await outbox.get()] == [CLEARED, second]
    outbox.put(third)
    assert sent == [first], "the one before it is still on its way"
    outbox.delivered()
    assert await outbox.get() == third
    outbox.delivered()
    outbox.put(first)
    assert sent == [first, first]
