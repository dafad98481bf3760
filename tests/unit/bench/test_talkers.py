"""Talkers speak in real time, and time the answers to what they ask."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace

import pytest
from aiohttp import web

from bench.talkers import FRAME_S, percentile, row, talk

SECONDS = 1.0


@pytest.fixture
async def gateway(aiohttp_server):
    app = web.Application()
    seen = SimpleNamespace(frames=[], delay_s=0.0, closes=False)

    async def realtime(request):
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await ws.send_json({"type": "session.created"})
        await ws.send_json({"type": "response.done", "response": {"status": "completed"}})
        async for message in ws:
            event = json.loads(message.data)
            if event["type"] == "input_audio_buffer.append":
                seen.frames.append(time.monotonic())
                if seen.closes:
                    break
            elif seen.delay_s is not None:
                await asyncio.sleep(seen.delay_s)
                await ws.send_json({"type": "session.updated"})
        await ws.close()
        return ws

    app.router.add_get("/v1/realtime", realtime)
    started = await aiohttp_server(app)
    started.seen = seen
    return started


def url_of(server):
    return str(server.make_url("")).rstrip("/")


async def test_speaks_in_real_time_and_asks_ten_times_a_second(gateway):
    heard = await talk(url_of(gateway), "key", 2, SECONDS)
    frames = gateway.seen.frames
    assert 0.5 * SECONDS / FRAME_S < len(frames) / 2 <= SECONDS / FRAME_S + 1
    assert 10 <= len(heard.answers_ms) <= 22
    assert heard.unanswered == 0
    assert heard.statuses["completed"] == 2


async def test_an_answer_is_timed_from_its_own_question(gateway):
    gateway.seen.delay_s = 0.05
    heard = await talk(url_of(gateway), "key", 1, SECONDS)
    assert all(ms >= 50 for ms in heard.answers_ms)
    assert min(heard.answers_ms) < 500


async def test_counts_what_was_not_answered(gateway, monkeypatch):
    monkeypatch.setattr("bench.talkers.LAST_S", 0.0)
    gateway.seen.delay_s = None
    heard = await talk(url_of(gateway), "key", 1, SECONDS)
    assert heard.unanswered >= 5
    assert heard.answers_ms == []


async def test_counts_who_was_closed(gateway):
    gateway.seen.closes = True
    heard = await talk(url_of(gateway), "key", 1, SECONDS)
    assert heard.events["closed"] == 1


def test_percentiles():
    values = [float(n) for n in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99)) == (51.0, 100.0)
    assert percentile([7.0], 0.99) == 7.0
    assert row([]) == "none"
    assert row(values) == "100, p50 51.0 ms, p99 100.0 ms, most 100.0 ms"
