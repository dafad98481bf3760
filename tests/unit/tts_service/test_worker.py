import asyncio

import pytest

from mesh.chain import Chain
from mesh.errors import NotInstalled, Overloaded
from mesh.threads import ModelThreads
from tests.fakes.tts import LEVEL, RATE_HZ, FakeEngine
from tts_service.engine import Manner
from tts_service.loudness import TARGET_RMS, Levels
from tts_service.worker import Worker, warm_up


async def test_too_much_that_waits_is_refused():
    fake, threads = FakeEngine(hold=True), ModelThreads("test", max_waiting=2)
    worker = Worker(Chain({"fake": fake}), threads, Levels())

    async def speak() -> None:
        async for _ in worker.speaker(Manner(), RATE_HZ).speak("Hello"):
            pass

    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(speak()) for _ in range(3)]
        await asyncio.to_thread(fake.working.wait, 5)
        with pytest.raises(Overloaded):
            await speak()
        for task in waiting:
            task.cancel()
    await threads.close()


def test_warming_up_tells_how_loud_an_engine_is():
    levels, fake = Levels(), FakeEngine()
    warm_up(fake, levels)
    assert levels.of(fake).gain == pytest.approx(TARGET_RMS / LEVEL)


def test_an_engine_that_cannot_speak_at_all_takes_no_part():
    with pytest.raises(NotInstalled, match="cannot speak"):
        warm_up(FakeEngine(fails_at=0), Levels())
