from __future__ import annotations

import asyncio
import base64
import json
from types import SimpleNamespace

import pytest
from aiohttp import web

from bench import turns
from bench.talkers import FRAME_BYTES
from bench.turns import STAGES, Caller, Turn, stages_ms

AFTER_FRAMES = 10
PATIENCE_S = 30.0


@pytest.fixture
async def gateway(aiohttp_server):
    """Finds the end of speech in every tenth frame or so, and answers at once; or says what it
    is told to."""
    app = web.Application()
    told = SimpleNamespace(status="completed", answers=True)

    async def realtime(request):
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        n = 0
        async for message in ws:
            event = json.loads(message.data)
            if event["type"] != "input_audio_buffer.append":
                continue
            assert len(base64.b64decode(event["audio"])) == FRAME_BYTES
            n += 1
            if n % AFTER_FRAMES == 0 and told.answers:
                await tell(ws, n)
        return ws

    async def tell(ws, n):
        await ws.send_json({"type": STAGES[0], "audio_end_ms": n * 20 - 5})
        for stage in (*STAGES[1:], STAGES[-1]):
            await ws.send_json({"type": stage, "delta": "x"})
        await ws.send_json({"type": "response.done", "response": {"status": told.status}})

    app.router.add_get("/v1/realtime", realtime)
    server = await aiohttp_server(app)
    server.told = told
    return server


async def call(gateway, n_turns=1):
    caller = Caller(0, n_turns, think_s=0.1)
    async with asyncio.timeout(PATIENCE_S):
        await caller.call(f"http://127.0.0.1:{gateway.port}", "key")
    return caller


async def test_a_turn_is_timed_from_the_audio_that_ended_it(gateway):
    caller = await call(gateway)
    assert caller.strange == []
    turn = caller.turns[0]
    times = [turn.sent_s, *turn.came_s]
    assert len(times) == 1 + len(STAGES)
    assert times == sorted(times)
    assert caller._sent_s.index(turn.sent_s) == AFTER_FRAMES - 1


async def test_what_goes_wrong_is_told(gateway):
    gateway.told.status = "failed"
    assert "failed" in (await call(gateway)).strange


async def test_an_answer_that_does_not_come_is_told(gateway, monkeypatch):
    monkeypatch.setattr(turns, "PATIENCE_S", 0.2)
    gateway.told.answers = False
    caller = await call(gateway)
    assert (caller.strange, caller.turns) == (["no answer"], [])


def test_each_stage_counts_from_the_one_before():
    assert stages_ms([Turn(1.0, [1.01, 1.03, 1.06, 1.1])]) == [
        [pytest.approx(ms)] for ms in (10, 20, 30, 40)
    ]
