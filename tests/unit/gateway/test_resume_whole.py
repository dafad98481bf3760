"""What a client misses comes again, however much it is and whatever lay unread."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import test_utils, web

from gateway import delivery
from gateway.realtime.server_events import AudioDelta
from tests.unit.gateway.going_on import break_off

ITEM = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi."}]}
WORDS = ("One two ", "three ", "four ", "five ", "six ", "seven ", "eight ")
WORD_BYTES = 12_000  # of the fake voice


@pytest.fixture(autouse=True)
def _as_in_production(monkeypatch):
    """aiohttp's test server cancels the handler of a client that has gone; `process.py` does
    not, and what a session leaves behind is written."""

    async def make(self, **options):
        return web.AppRunner(self.app, **{**options, "handler_cancellation": False})

    monkeypatch.setattr(test_utils.TestServer, "_make_runner", make)


async def test_more_than_an_outbox_holds(one, two):
    client, sid = await one.new()
    first = client.got[0]["event_id"]
    for _ in range(260):
        await client.send("conversation.item.create", item=ITEM)
        await client.until("conversation.item.done")
    break_off(client)
    await one.until_gone(sid)
    again = await two.client(f"session_id={sid}&last_event_id={first}")
    for _ in range(260):
        await again.until("conversation.item.done")
    await again.send("input_audio_buffer.clear")
    await again.until("input_audio_buffer.cleared")


async def test_audio_that_lay_unread(one, two, monkeypatch):
    one.backends.answer = two.backends.answer = WORDS
    monkeypatch.setattr(delivery.Delivery, "sent", lambda self, parcel: False)  # no room for more
    client, sid = await one.new()
    send, n_frames = delivery.Delivery.send, 0
    stuck = asyncio.Event()

    async def reads_three_frames(self, parcel):
        nonlocal n_frames
        n_frames += isinstance(parcel.event, AudioDelta)
        if n_frames == 4 and not stuck.is_set():
            stuck.set()
            await asyncio.Event().wait()
        await send(self, parcel)

    monkeypatch.setattr(delivery.Delivery, "send", reads_three_frames)
    await client.send("response.create")
    for _ in range(3):
        await client.until("response.output_audio.delta")
    await stuck.wait()
    got = len(client.audio())
    break_off(client)
    await one.until_gone(sid)
    again = await two.resumed(sid)
    await again.until("response.done")
    n_words = len("".join(WORDS).split())
    assert got + len(again.audio()) == n_words * WORD_BYTES
