from __future__ import annotations

import asyncio
import json

import pytest

from gateway import delivery
from gateway.delivery import ClientGone, Delivery
from gateway.outbox import Parcel, SlowClient
from gateway.realtime.dialects import Beta, Ga
from gateway.realtime.refusals import Refusal
from gateway.realtime.server_events import AudioDelta, Error, RateLimitsUpdated
from gateway.sessions.kept import Lost
from gateway.sessions.store import Outcome

EVENT = RateLimitsUpdated([])
AUDIO = AudioDelta("resp_1", "item_1", 0, 0, bytes(960))


class Client:
    """A WebSocket, what is kept, and the sidebands: one list of what happened."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.happened: list[object] = []
        self.fault = fault
        self.is_stuck = False
        self.unsent = 0
        self.kept_until = 0

    def has(self, after: int) -> bool:
        return after <= self.kept_until

    async def send_str(self, text: str) -> None:
        if self.is_stuck:
            await asyncio.Event().wait()
        if self.fault is not None:
            raise self.fault
        self.say(text)

    def say(self, text: str) -> None:
        self.happened.append(("sent", json.loads(text)["event_id"]))

    async def until(self, after: int) -> None:
        self.happened.append(("kept", after))

    def was_sent(self, seq: int, event: object = None, played: int = 0) -> None:
        self.happened.append(("was sent", seq))

    def tell(self, event, ids, to) -> None:
        self.happened.append(("told", ids(), to))


def made(client, dialect=None):
    return Delivery(client, client, dialect or Ga(), client, None, lambda: client.unsent)


async def test_first_it_is_kept_then_sent_then_told_to_the_sidebands():
    client = Client()
    await made(client).send(Parcel(EVENT, "event_1", after=7, seq=3))
    assert client.happened == [
        ("kept", 7),
        ("sent", "event_1"),
        ("was sent", 3),
        ("told", "event_1", ""),
    ]


async def test_what_is_for_one_sideband_goes_past_the_client():
    client = Client()
    error = Error.of(Refusal(None, "No."))
    await made(client).send(Parcel(error, "event_1", seq=3, to="side_1"))
    assert client.happened == [("kept", 0), ("was sent", 3), ("told", "event_1", "side_1")]


async def test_what_is_being_made_is_waited_for():
    async def make():
        await asyncio.sleep(0)
        return EVENT

    client = Client()
    async with asyncio.TaskGroup() as tasks:
        await made(client).send(Parcel(tasks.create_task(make()), "event_1"))
    assert ("sent", "event_1") in client.happened


async def test_sidebands_are_told_what_a_dialect_has_no_words_for():
    class Silent(Beta):
        def encode(self, event, new_event_id):
            return ()

    client = Client()
    await made(client, Silent("conv_1")).send(Parcel(EVENT, "event_1"))
    assert client.happened == [("kept", 0), ("was sent", 0), ("told", "event_1", "")]


async def test_a_client_that_is_gone_or_does_not_read(monkeypatch):
    gone = Client(ConnectionResetError())
    with pytest.raises(ClientGone):
        await made(gone).send(Parcel(EVENT, "event_1"))
    monkeypatch.setattr(delivery, "SEND_S", 0.01)
    stuck = Client()
    stuck.is_stuck = True
    with pytest.raises(SlowClient):
        await made(stuck).send(Parcel(EVENT, "event_1"))
    assert gone.happened == stuck.happened == [("kept", 0)], "nobody else is told"


async def test_nobody_hears_of_what_was_lost():
    class Elsewhere(Client):
        async def until(self, after: int) -> None:
            raise Lost(Outcome.MOVED)

    client = Elsewhere()
    with pytest.raises(Lost):
        await made(client).send(Parcel(EVENT, "event_1"))
    assert client.happened == []


# Without waiting.


async def test_audio_goes_at_once():
    client = Client()
    assert made(client).sent(Parcel(AUDIO, "event_1", seq=3))
    assert client.happened == [("sent", "event_1"), ("was sent", 3)]


async def test_what_must_be_kept_before_or_is_no_audio_has_to_wait():
    client = Client()
    assert not made(client).sent(Parcel(AUDIO, "event_1", after=1))
    assert not made(client).sent(Parcel(EVENT, "event_2"))
    assert client.happened == []


async def test_whom_one_may_have_to_wait_for_gets_nothing_at_once():
    client = Client()
    client.unsent = delivery.MOST_UNSENT + 1
    sending = made(client)
    assert not sending.sent(Parcel(AUDIO, "event_1", seq=1))
    await sending.send(Parcel(AUDIO, "event_1", seq=1))
    client.unsent = delivery.MOST_UNSENT
    assert sending.sent(Parcel(AUDIO, "event_2", seq=2))
    assert [what for what in client.happened if what[0] == "sent"] == [
        ("sent", "event_1"),
        ("sent", "event_2"),
    ]


async def test_that_the_client_is_gone_is_found_by_who_waits():
    client = Client(ConnectionResetError())
    assert not made(client).sent(Parcel(AUDIO, "event_1"))
    assert client.happened == []
