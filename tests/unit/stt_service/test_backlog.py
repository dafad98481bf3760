import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

from mesh.errors import Broken, Overloaded, Rejected
from mesh.turns import QUEUED, STARTED, STREAM
from ovos.stt.v1 import stt_pb2 as pb
from stt_service import metrics
from stt_service.backlog import Backlog, working
from stt_service.waiting import Waiting
from tests.unit.stt_service.queue import queue_at


@pytest.fixture
async def queue(streams_url):
    async with queue_at(streams_url) as queue:
        yield queue


class Recogniser:
    """Says "words", or fails as it is told."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.attempts: list[int] = []
        self.began = asyncio.Event()
        self.may = asyncio.Event()
        self.may.set()
        self.cancelled = 0

    async def __call__(self, taken) -> pb.Transcript:
        self.attempts.append(taken.attempt)
        self.began.set()
        try:
            await self.may.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failures:
            raise self.failures.pop(0)
        return pb.Transcript(text="words", is_final=True)


@asynccontextmanager
async def draining(queue, recogniser, *, name="w1", idle_ms=60_000, has_room=lambda: True):
    waiting = Waiting(queue.redis, name, idle_ms=idle_ms)
    backlog = Backlog(waiting, queue.turns, recogniser, has_room)
    async with working(backlog):
        yield


async def test_what_waits_is_recognised(queue):
    await queue.put("t1")
    await queue.put("t2", "other")
    async with draining(queue, Recogniser()):
        assert (await queue.over("t1")).transcript.text == "words"
        assert (await queue.over("t2", "other")).transcript.text == "words"
    assert await queue.redis.xlen(STREAM) == 0


async def test_a_failure_is_tried_once_more(queue):
    await queue.put()
    recogniser = Recogniser(Broken("no"))
    async with draining(queue, recogniser):
        assert (await queue.over()).transcript.text == "words"
    assert recogniser.attempts == [1, 2]


async def test_after_two_failures_it_has_failed(queue):
    await queue.put()
    recogniser = Recogniser(Broken("no"), Broken("never"))
    async with draining(queue, recogniser):
        assert (await queue.over()).error.message == "never"
    assert recogniser.attempts == [1, 2]
    assert await queue.redis.xlen(STREAM) == 0


async def test_what_can_never_be_recognised_is_not_tried_again(queue):
    await queue.put()
    recogniser = Recogniser(Rejected("no such language"))
    async with draining(queue, recogniser):
        assert (await queue.over()).error.message == "no such language"
    assert recogniser.attempts == [1]


async def test_to_have_no_room_is_no_failure(queue):
    await queue.put()
    recogniser = Recogniser(Overloaded("full"), Overloaded("full"))
    async with draining(queue, recogniser):
        assert (await queue.over()).transcript.text == "words"
    assert recogniser.attempts == [1, 1, 1]


async def test_what_kills_workers_kills_two(queue):
    await queue.put()
    for n in range(2):
        dead = await queue.worker(f"dead {n}", idle_ms=0)
        assert await dead.take() or await dead.take_over()
    recogniser = Recogniser()
    async with draining(queue, recogniser, idle_ms=1):
        assert "died" in (await queue.over()).error.message
    assert recogniser.attempts == []


async def test_who_is_on_the_line_comes_first(queue):
    await queue.put()
    asked, is_free = asyncio.Event(), False

    def has_room() -> bool:
        asked.set()
        return is_free

    recogniser = Recogniser()
    async with draining(queue, recogniser, has_room=has_room):
        await asked.wait()
        assert (await queue.turns.look("acme", "t1")).stage == QUEUED
        is_free = True
        await queue.over()


class Watched(Waiting):
    """Counts how often its worker says that it works."""

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        self.often = asyncio.Event()
        self.n_said = 0

    async def stay(self, taken) -> bool:
        self.n_said += 1
        if self.n_said == 3:
            self.often.set()
        return await super().stay(taken)


async def test_who_works_on_a_turn_for_long_says_so_again_and_again(queue):
    await queue.put()
    slow = Recogniser()
    slow.may.clear()
    waiting = Watched(queue.redis, "w1", idle_ms=200)
    async with working(Backlog(waiting, queue.turns, slow, lambda: True)), asyncio.timeout(20):
        await waiting.often.wait()
        slow.may.set()
        await queue.over()
    assert slow.attempts == [1]


async def test_who_was_thought_dead_stops(queue):
    await queue.put()
    slow = Recogniser()
    slow.may.clear()
    async with draining(queue, slow, idle_ms=100):
        await slow.began.wait()
        thief = await queue.worker("w2", idle_ms=0)
        assert (await thief.take_over()).attempt == 2
        async with asyncio.timeout(20):
            while not slow.cancelled:
                await asyncio.sleep(0.01)
        assert (await queue.turns.look("acme", "t1")).stage == STARTED


async def test_a_worker_that_goes_gives_back_what_it_works_on(queue):
    await queue.put()
    slow = Recogniser()
    slow.may.clear()
    async with draining(queue, slow, name="w1"):
        await slow.began.wait()
    state = await queue.turns.look("acme", "t1")
    assert (state.stage, state.attempts) == (QUEUED, 0)
    other = Recogniser()
    async with draining(queue, other, name="w2"):
        await queue.over()
    assert other.attempts == [1]


async def test_the_length_of_the_queue_and_its_age_are_measured(queue):
    await queue.put("t1")
    await queue.put("t2")
    metrics.TURNS_WAITING.set(0)
    async with draining(queue, Recogniser(), has_room=lambda: False), asyncio.timeout(20):
        while metrics.TURNS_WAITING._value.get() != 2 or not metrics.TURNS_AGE._value.get():
            await asyncio.sleep(0.05)


async def test_redis_may_go_and_come_back(own_redis):
    async with queue_at(own_redis.url) as queue:
        recogniser = Recogniser()
        async with draining(queue, recogniser):
            await queue.put("t1")
            await queue.over("t1")
            own_redis.stop()
            own_redis.start()
            async with asyncio.timeout(20):
                while True:
                    with suppress(Exception):
                        await queue.put("t2")
                        break
            await queue.over("t2")


async def test_the_blocks_own_error_comes_out_as_it_is(queue):
    with pytest.raises(ValueError, match="mine"):
        async with draining(queue, Recogniser()):
            raise ValueError("mine")
