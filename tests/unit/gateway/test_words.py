from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from gateway.backends import Unheard
from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.told import told
from gateway.words import MOST_AT_A_TIME, Words
from mesh.errors import Broken, MeshError, Overloaded, Rejected, TooSlow, Unavailable
from tests.clock import Clock
from tests.fakes.backends import FakeBackends
from tests.fakes.turns import FakeTurns

SECOND = bytes(48_000)
HOW = do.Listening(None, language="en")
ONE = do.Transcribe("u1", SECOND)
TOO_LONG = "Speech recognition took too long."


class Recogniser(FakeBackends):
    """Takes a recording when it is let, and remembers how many it has at once."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Semaphore(1000)
        self.failure: MeshError | None = None
        self.n_at_once = self.most_at_once = 0
        self.how: list[do.Listening] = []

    async def transcribe(self, pcm: bytes, how: do.Listening) -> str:
        self.how.append(how)
        self.n_at_once += 1
        self.most_at_once = max(self.most_at_once, self.n_at_once)
        try:
            await self.may.acquire()
            if self.failure is not None:
                raise self.failure
            return self.words
        finally:
            self.n_at_once -= 1


class Room:
    """A session's words, and what it was told."""

    def __init__(self, recogniser, turns, tasks) -> None:
        self.heard: list[sig.Signal] = []
        self.words = Words(recogniser, turns, self.heard.append, self.start)
        self._tasks, self.started = tasks, []

    def start(self, work, name) -> None:
        self.started.append(self._tasks.create_task(work, name=name))

    async def until(self, holds) -> None:
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0)


@asynccontextmanager
async def room(recogniser, turns=None):
    async with asyncio.TaskGroup() as tasks:
        room = Room(recogniser, turns, tasks)
        yield room
        for task in room.started:
            task.cancel()


@pytest.fixture
async def recogniser():
    return Recogniser()


@pytest.fixture
async def turns():
    return FakeTurns()


async def test_a_recording_has_its_words_and_its_length(recogniser):
    async with room(recogniser) as on:
        on.words.transcribe(ONE, HOW)
        assert on.words.names == ("u1",)
        await on.until(lambda: on.heard)
        assert on.heard == [sig.Transcribed("u1", "hello", 1000)]
        assert recogniser.how == [HOW]
        await on.until(lambda: not on.words.names)


@pytest.mark.parametrize("error", [Unavailable("10.0.0.7:50051 refused"), Broken("10.0.0.7")])
async def test_a_failure_is_told_without_what_it_says_inside(recogniser, caplog, error):
    recogniser.failure = error
    async with room(recogniser) as on:
        on.words.transcribe(ONE, HOW)
        await on.until(lambda: on.heard)
    assert on.heard == [sig.NotTranscribed("u1", told(error))]
    assert "10.0.0.7" not in on.heard[0].reason
    assert caplog.records[0].message == "recording not transcribed"


async def test_one_session_has_few_recordings_recognised_at_a_time(recogniser):
    recogniser.may = asyncio.Semaphore(0)
    async with room(recogniser) as on:
        for n in range(5):
            on.words.transcribe(do.Transcribe(f"u{n}", SECOND), HOW)
        await on.until(lambda: recogniser.n_at_once == MOST_AT_A_TIME)
        for _ in range(5):
            recogniser.may.release()
        await on.until(lambda: len(on.heard) == 5)
    assert recogniser.most_at_once == MOST_AT_A_TIME
    assert {signal.utterance for signal in on.heard} == {f"u{n}" for n in range(5)}


@pytest.mark.parametrize("error", [Unavailable("gone"), Overloaded("full"), TooSlow("hangs")])
async def test_a_recording_that_cannot_be_recognised_now_is_queued(recogniser, turns, error):
    recogniser.failure = error
    async with room(recogniser, turns) as on:
        on.words.transcribe(ONE, HOW)
        await on.until(lambda: turns.queued)
        assert turns.queued == [("u1", SECOND, HOW)]
        assert (on.heard, on.words.names) == ([], ("u1",))


async def test_one_that_never_can_be_is_not_queued(recogniser, turns):
    recogniser.failure = Rejected("too long")
    async with room(recogniser, turns) as on:
        on.words.transcribe(ONE, HOW)
        await on.until(lambda: on.heard)
    assert turns.queued == []


async def test_an_utterance_that_was_not_heard_goes_into_the_queue_at_once(recogniser, turns):
    async with room(recogniser, turns) as on:
        on.words.take(Unheard("u1", SECOND), HOW)
        assert on.words.names == ("u1",), "before anybody is told that the ears are lost"
        await on.until(lambda: turns.queued)
    assert turns.queued == [("u1", SECOND, HOW)]
    assert recogniser.how == []


async def test_what_the_queue_knows_already_is_told(recogniser, turns):
    turns.known = sig.Transcribed("u1", "before", 1000)
    async with room(recogniser, turns) as on:
        on.words.take(Unheard("u1", SECOND), HOW)
        await on.until(lambda: on.heard)
    assert on.heard == [turns.known]


@pytest.mark.parametrize("error", [Unavailable("redis"), Overloaded("full")])
async def test_without_room_in_the_queue_there_are_no_words(recogniser, turns, error):
    turns.failure = error
    async with room(recogniser, turns) as on:
        on.words.take(Unheard("u1", SECOND), HOW)
        await on.until(lambda: on.heard)
    assert on.heard == [sig.NotTranscribed("u1", "It cannot be reached.")]


async def test_what_waits_in_the_queue_for_too_long_is_given_up(recogniser, turns):
    clock = Clock(asyncio.get_running_loop())
    async with room(recogniser, turns) as on:
        on.words.take(Unheard("u1", SECOND), HOW)
        await on.until(lambda: turns.queued)
        await asyncio.sleep(0)
        clock.advance(turns.patience_s + 1)
        await on.until(lambda: on.heard)
    assert on.heard == [sig.NotTranscribed("u1", TOO_LONG)]


async def test_words_that_do_not_come_are_given_up(recogniser):
    async with room(recogniser) as on:
        on.words.overdue("u1", 0.0)
        await on.until(lambda: on.heard)
    assert on.heard == [sig.NotTranscribed("u1", TOO_LONG)]


async def test_an_utterance_in_the_queue_is_not_overdue(recogniser, turns):
    async with room(recogniser, turns) as on:
        on.words.take(Unheard("u1", SECOND), HOW)
        on.words.overdue("u1", 0.0)
        on.words.overdue("u2", 0.0)
        await on.until(lambda: on.heard)
    assert on.heard == [sig.NotTranscribed("u2", TOO_LONG)]
