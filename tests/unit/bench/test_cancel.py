from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest

from bench import cancel
from bench.cancel import MOST_MS, STAGES, Cancelled, Session, report
from bench.slow_mesh import World

TEXT = {"type": "response.output_audio_transcript.delta"}
AUDIO = {"type": "response.output_audio.delta"}
DONE = {"type": "response.done"}


class Ws:
    """A gateway that says these before it is cancelled, and those after it."""

    def __init__(self, before, after) -> None:
        self.sent: list[str] = []
        self._coming = asyncio.Queue()
        self._after = after
        for event in before:
            self._coming.put_nowait(event)

    async def send_json(self, event) -> None:
        self.sent.append(event["type"])
        if event["type"] == "response.cancel":
            for late in self._after:
                self._coming.put_nowait(late)

    async def receive_json(self):
        return await self._coming.get()


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(cancel, "LATE_S", 0.01)
    llm = SimpleNamespace(open=set(), ended_s={})
    voice = SimpleNamespace(at_work=set(), ended_s={})
    return World(llm, voice)


async def cancelled(world, before, after):
    ws = Ws(before, after)
    async with asyncio.timeout(10):
        return await Session(ws, world, "ash").cancel("why?", 0.01), ws


@pytest.mark.parametrize(
    ("before", "at_work", "stage"),
    [
        ([], set(), STAGES[0]),
        ([TEXT], {"ash"}, STAGES[1]),
        ([TEXT, AUDIO], {"ash"}, STAGES[2]),
        ([TEXT, AUDIO], {"sage"}, STAGES[3]),
    ],
)
async def test_knows_where_it_cancels(world, before, at_work, stage):
    world.voice.at_work = at_work
    one, ws = await cancelled(world, before, [DONE])
    assert one.stage == stage
    assert ws.sent == ["response.create", "response.cancel"]


async def test_sees_a_frame_that_comes_late(world):
    one, _ = await cancelled(world, [TEXT, AUDIO], [DONE])
    assert one.frame_ms == 0
    one, _ = await cancelled(world, [TEXT, AUDIO], [DONE, AUDIO])
    assert one.frame_ms > 0


async def test_sees_who_works_on(world):
    now_s = time.monotonic()
    world.llm.ended_s["why?"] = world.voice.ended_s["ash"] = now_s
    one, _ = await cancelled(world, [TEXT], [DONE])
    assert (one.engine_ms, one.provider_ms) == (0, 0)
    world.llm.open.add("why?")
    world.voice.at_work.add("ash")
    one, _ = await cancelled(world, [TEXT], [DONE])
    assert one.engine_ms >= 10
    assert one.provider_ms >= 10


async def test_an_answer_that_is_over_cannot_be_cancelled(world):
    one, ws = await cancelled(world, [TEXT, DONE], [])
    assert one is None
    assert ws.sent == ["response.create"]


async def test_an_answer_that_ends_meanwhile_was_cancelled_all_the_same(world):
    error = {"type": "error", "error": {"code": "response_cancel_not_active", "message": ""}}
    one, _ = await cancelled(world, [TEXT], [DONE, error])
    assert one is not None
    with pytest.raises(RuntimeError, match="no such"):
        await cancelled(
            world, [{"type": "error", "error": {"code": "x", "message": "no such"}}], []
        )


def test_one_in_a_hundred_may_be_late():
    well = [Cancelled(STAGES[0], 1, 2, 3)] * 199
    assert report([*well, Cancelled(STAGES[3], 999, 999, 999)], [0.1])[1]
    text, is_well = report(well + [Cancelled(STAGES[3], MOST_MS + 1, 0, 0)] * 9, [0.1])
    assert not is_well
    assert text.splitlines()[:2] == [
        "208 cancels: 199 before the first word, 0 before the first sound, "
        "0 while it is made, 9 while it is heard",
        "last frame: p50 1.0 ms, p99 51.0 ms, most 51.0 ms",
    ]
