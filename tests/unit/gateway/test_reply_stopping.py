from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from gateway import reply
from gateway.realtime import signals as sig
from tests.fakes.backends import FakeBackends
from tests.unit.gateway.test_reply import SPOKEN, Listener, on_stage


@pytest.fixture
async def listener():
    return Listener()


class SlowToStop(FakeBackends):
    """A model that takes its time to let go, longer than its voice."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.silent = asyncio.Event()

    @asynccontextmanager
    async def think(self, start):
        async with super().think(start) as thoughts:
            try:
                yield thoughts
            finally:
                async with asyncio.timeout(10):
                    await self.silent.wait()

    @asynccontextmanager
    async def speak(self, start):
        async with super().speak(start) as speech:
            yield Silenced(speech, self.silent)


class Silenced:
    def __init__(self, speech, silent) -> None:
        self.say, self.finish = speech.say, speech.finish
        self._speech, self._silent = speech, silent

    async def __aiter__(self):
        try:
            async for sound in self._speech:
                yield sound
        finally:
            self._silent.set()


async def test_the_voice_is_stopped_before_the_model_has_let_go(listener):
    backends = SlowToStop()
    async with on_stage(backends) as stage, asyncio.TaskGroup() as tasks:
        task = tasks.create_task(reply.run(SPOKEN, stage, listener), name="reply")
        await listener.until(sig.ReplyAudio)
        task.cancel()
    assert backends.open_streams == 0
