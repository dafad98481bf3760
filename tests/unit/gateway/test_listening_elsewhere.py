"""A microphone that has several workers to choose from."""

from __future__ import annotations

import grpc

from tests.fakes.mesh import Call
from tests.unit.gateway.hearing import hearing, ready, started, to_the_end


async def dies(call: Call) -> None:
    await ready(call)
    await call.fail(grpc.StatusCode.UNAVAILABLE)


async def hears(call: Call) -> None:
    await ready(call)
    await started(call, "u1")
    await to_the_end(call)


async def test_with_another_worker_there_nobody_waits():
    async with hearing(dies, dies, hears, workers=3, patience_s=0) as (heard, calls):
        await heard.until(lambda: bool(heard.news))
    assert sorted(call.worker for call in calls) == [0, 1, 2]


async def test_when_all_have_been_tried_there_is_a_rest():
    async with hearing(*[dies] * 50, patience_s=0.3, workers=2) as (heard, calls):
        await heard.until(lambda: heard.error is not None)
    assert len(calls) < 50


async def test_a_worker_that_is_full_sends_us_to_another_one():
    async def is_full(call: Call) -> None:
        await call.fail(grpc.StatusCode.RESOURCE_EXHAUSTED)

    async with hearing(is_full, hears, workers=2, patience_s=0) as (heard, calls):
        await heard.until(lambda: bool(heard.news))
    assert sorted(call.worker for call in calls) == [0, 1]


async def test_a_worker_that_drains_is_left_for_another_one_between_two_utterances():
    async def drains(call: Call) -> None:
        await ready(call)
        await call.say(go_away={})
        await to_the_end(call)

    async with hearing(drains, hears, workers=2, patience_s=0) as (heard, calls):
        await heard.until(lambda: bool(heard.news))
    assert sorted(call.worker for call in calls) == [0, 1]
