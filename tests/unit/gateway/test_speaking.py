from __future__ import annotations

import asyncio

from prometheus_client import REGISTRY

from gateway.pacer import Wheel
from gateway.realtime import signals as sig
from gateway.realtime.effects import CountRequest, StartReply, StopReply
from gateway.reply import Stage
from gateway.speaking import Replies
from tests.fakes.backends import FakeBackends


class Audience:
    def __init__(self) -> None:
        self.told: list[sig.Signal] = []
        self.changed = asyncio.Event()

    def take(self, signal: sig.Signal) -> None:
        self.told.append(signal)
        self.changed.set()

    async def room(self) -> None:
        return


def started(response_id: str) -> StartReply:
    return StartReply(response_id, "", ())


async def test_replies_run_and_are_forgotten_when_they_end():
    audience = Audience()
    replies = Replies(Stage(FakeBackends(), Wheel(), 0.4))
    assert not replies
    async with asyncio.TaskGroup() as tasks:
        replies.start([CountRequest(), started("resp_1"), StopReply("resp_1")], tasks, audience)
        assert replies  # what else there is to do is not for here
    assert not replies
    assert audience.told[-1] == sig.ReplyEnded("resp_1", audience.told[-1].tokens)


def idle() -> float:
    labels = {"until": "idle"}
    return REGISTRY.get_sample_value("gateway_cancel_seconds_count", labels) or 0


async def test_a_stop_is_timed_until_all_have_let_go():
    backends, audience = FakeBackends(), Audience()
    backends.gate = asyncio.Event()  # which nobody opens
    replies = Replies(Stage(backends, Wheel(), 0.4))
    before = idle()
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        for n in range(2):
            replies.start([started(f"resp_{n}")], tasks, audience)
        await audience.changed.wait()
        replies.stop("resp_0")
        assert idle() == before
        replies.stop_all()  # they go on elsewhere
    assert backends.open_streams == 0
    assert idle() == before + 1


async def test_one_or_all_are_stopped():
    backends, audience = FakeBackends(), Audience()
    backends.gate = asyncio.Event()  # which nobody opens
    replies = Replies(Stage(backends, Wheel(), 0.4))
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        for n in range(3):
            replies.start([started(f"resp_{n}")], tasks, audience)
        await audience.changed.wait()
        replies.stop("resp_0")
        replies.stop("resp_0")
        replies.stop("none")
        assert replies
        replies.stop_all()
    assert not replies
    assert not any(isinstance(signal, sig.ReplyEnded) for signal in audience.told)
