"""Recognition goes away, or fails: what was said is handed over with its audio."""

from __future__ import annotations

import asyncio

import grpc

from gateway.backends import Unheard
from gateway.realtime import signals as sig
from gateway.realtime.effects import Listening
from tests.clock import Clock
from tests.fakes.mesh import Call
from tests.unit.gateway.hearing import (
    FRAME,
    audio,
    hearing,
    ready,
    started,
    stopped,
    to_the_end,
    words,
)


async def fails(call: Call) -> None:
    await call.fail(grpc.StatusCode.UNAVAILABLE, "gone")


async def given_up(heard, clock: Clock) -> None:
    async with asyncio.timeout(30):
        while heard.error is None:
            clock.advance(0.05)
            await asyncio.sleep(0.001)


async def test_an_utterance_that_has_ended_comes_with_its_audio():
    async def dies(call: Call) -> None:
        await ready(call)
        for _ in range(3):
            await call.read_kind("audio")
        await started(call, "u1", 480)
        await stopped(call, "u1", 960)
        await call.fail(grpc.StatusCode.UNAVAILABLE)

    clock = Clock(asyncio.get_running_loop())
    async with hearing(dies, *[fails] * 200, patience_s=1.0) as (heard, _):
        for n in range(3):
            await heard.microphone.hear(bytes([n, 0]) * 480)
        await heard.until(lambda: len(heard.news) == 2)
        await given_up(heard, clock)
    assert heard.news[2:] == [Unheard(heard.news[0].utterance, b"\1\0" * 480)]


async def test_one_that_is_being_spoken_ends_when_nothing_more_comes():
    async def dies(call: Call) -> None:
        await ready(call)
        await call.read_kind("audio")
        await started(call, "u1", 0)
        await call.fail(grpc.StatusCode.UNAVAILABLE)

    clock = Clock(asyncio.get_running_loop())
    async with hearing(dies, *[fails] * 200, patience_s=1.0) as (heard, _):
        await heard.microphone.hear(FRAME)
        await heard.until(lambda: len(heard.news) == 1)
        await heard.microphone.hear(FRAME)
        await given_up(heard, clock)
    name = heard.news[0].utterance
    assert heard.news[1:] == [sig.SpeechStopped(name, 40), Unheard(name, 2 * FRAME)]


async def test_what_the_client_commits_while_nobody_hears_comes_with_its_audio():
    clock = Clock(asyncio.get_running_loop())
    scripts = [fails] * 200
    async with hearing(*scripts, how=Listening(None), patience_s=1.0) as (heard, _):
        await heard.microphone.hear(FRAME)
        await heard.microphone.forget()
        await heard.microphone.hear(2 * FRAME)
        await heard.microphone.end_utterance("item_1")
        await given_up(heard, clock)
    assert heard.news == [Unheard("item_1", 2 * FRAME)]


async def test_an_utterance_that_fails_and_may_be_tried_again_comes_with_its_audio():
    async def script(call: Call) -> None:
        await ready(call)
        await call.read_kind("audio")
        for name, retryable in (("u1", True), ("u2", False)):
            await started(call, name, 0)
            await stopped(call, name, 480)
            error = {"message": "no", "retryable": retryable}
            await call.say(utterance_failed={"utterance_id": name, "error": error})
        await to_the_end(call)

    async with hearing(script) as (heard, _):
        await heard.microphone.hear(FRAME)
        await heard.until(lambda: len(heard.news) == 6)
    assert heard.news[2] == Unheard(heard.news[0].utterance, FRAME)
    assert heard.news[5] == sig.NotTranscribed(heard.news[3].utterance, "no")


async def test_an_utterance_that_broke_two_streams_does_not_break_a_third():
    async def dies(call: Call) -> None:
        await ready(call)
        await call.read_kind("audio")
        await started(call, "u1", 0)
        await stopped(call, "u1", 480)
        await call.read_kind("audio")
        await call.fail(grpc.StatusCode.UNAVAILABLE)

    async def hears(call: Call) -> None:
        await ready(call)
        await call.read_kind("audio")
        await started(call, "u1", 480)
        await stopped(call, "u1", 960)
        await words(call, "u1")
        await to_the_end(call)

    async with hearing(dies, dies, hears) as (heard, calls):
        for n in range(2):
            await heard.microphone.hear(bytes([n, 0]) * 480)
        await heard.until(lambda: len(heard.news) == 6)
    first, second = heard.news[0].utterance, heard.news[3].utterance
    assert heard.news[2] == Unheard(first, bytes(960))
    assert heard.news[5] == sig.Transcribed(second, "hello", 0)
    assert [chunk.first_sample for chunk in audio(calls[2])] == [480]
