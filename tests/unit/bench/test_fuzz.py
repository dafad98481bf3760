"""The fuzzer notices what it is there to notice."""

from __future__ import annotations

import os

import pytest
from aiohttp import web

from bench import fuzz
from bench.fuzz import Defect, Tally, leaves, loud, rss_bytes

TOTAL = 60


@pytest.fixture
async def server(aiohttp_server):
    """A gateway of three lines, made to misbehave."""

    async def start(serve):
        async def realtime(request):
            ws = web.WebSocketResponse()
            await ws.prepare(request)
            await serve(ws)
            return ws

        app = web.Application()
        app.router.add_get("/v1/realtime", realtime)
        return str((await aiohttp_server(app)).make_url("")).rstrip("/")

    return start


async def answer(ws, *, status="completed"):
    """What a turn after a burst needs."""
    async for message in ws:
        if message.type is not web.WSMsgType.TEXT:
            continue
        if '"fuzz_cancel"' in message.data:
            code = "response_cancel_not_active"
            await ws.send_json(
                {"type": "error", "error": {"code": code, "event_id": "fuzz_cancel"}}
            )
        if '"fuzz_turn"' in message.data:
            response = {"id": "resp_1", "status": status, "status_details": None}
            await ws.send_json({"type": "response.created", "response": response})
            await ws.send_json({"type": "response.done", "response": response})


async def test_a_server_that_answers_passes(server):
    tally = await fuzz.fuzz(await server(answer), "key", os.getpid(), TOTAL)
    assert (tally.frames, tally.bursts) == (TOTAL, 1)
    assert len(tally.rss) == 1
    assert "60 frames" in fuzz.report(tally)


async def failed(ws):
    await answer(ws, status="failed")


async def gone(ws):
    await ws.receive()
    await ws.close(code=1011)


async def silent(ws):
    async for _ in ws:
        pass


@pytest.mark.parametrize(
    ("serve", "what"), [(failed, "turn failed"), (gone, "1011"), (silent, "too long")]
)
async def test_a_session_that_cannot_be_used_is_a_defect(server, monkeypatch, serve, what):
    monkeypatch.setattr(fuzz, "TURN_S", 0.5)
    with pytest.raises(ExceptionGroup) as raised:
        await fuzz.fuzz(await server(serve), "key", os.getpid(), TOTAL)
    [defect] = leaves(raised.value)
    assert isinstance(defect, Defect)
    assert what in str(defect)
    assert "last frames" in str(defect)


def test_growth_is_from_the_warm_process_to_the_end():
    """The first fifth does not count, nor does one high reading."""
    assert Tally(rss=[1, 50, 100, 100, 900, 100, 100, 100, 100, 103]).growth == 0
    assert Tally(rss=[1, 50, 100, 110, 120, 130, 140, 150, 160, 170]).growth == 60


def test_a_loud_log_is_found(tmp_path):
    (tmp_path / "gateway.log").write_text('{"level": "INFO"}\n{"level": "ERROR", "event": "x"}\n')
    (tmp_path / "llm.log").write_text("fine\nTraceback (most recent call last):\n")
    assert len(loud(tmp_path)) == 2


def test_memory_is_read_in_bytes():
    assert rss_bytes(os.getpid()) > 10 << 20
