from __future__ import annotations

import asyncio

import pytest

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.told import told
from gateway.words import MOST_AT_A_TIME, Words, overdue
from mesh.errors import Unavailable
from tests.fakes.backends import FakeBackends

SECOND = bytes(48_000)
HOW = do.Listening(None, language="en")


class Recogniser(FakeBackends):
    """Takes a recording when it is let, and remembers how many it has at once."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Semaphore(1000)
        self.failure: Unavailable | None = None
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


@pytest.fixture
async def recogniser():
    return Recogniser()


async def test_a_recording_has_its_words_and_its_length(recogniser):
    heard: list[sig.Signal] = []
    await Words(recogniser).transcribe(do.Transcribe("u1", SECOND), HOW, heard.append)
    assert heard == [sig.Transcribed("u1", "hello", 1000)]
    assert recogniser.how == [HOW]


async def test_a_failure_is_told_without_what_it_says_inside(recogniser, caplog):
    error = recogniser.failure = Unavailable("10.0.0.7:50051 refused", tier="stt")
    heard: list[sig.Signal] = []
    await Words(recogniser).transcribe(do.Transcribe("u1", SECOND), HOW, heard.append)
    assert heard == [sig.NotTranscribed("u1", told(error))]
    assert "10.0.0.7" not in heard[0].reason
    assert [r.message for r in caplog.records] == ["recording not transcribed"]


async def test_one_session_has_few_recordings_recognised_at_a_time(recogniser):
    recogniser.may = asyncio.Semaphore(0)
    heard: list[sig.Signal] = []
    words = Words(recogniser)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        for n in range(5):
            work = words.transcribe(do.Transcribe(f"u{n}", SECOND), HOW, heard.append)
            tasks.create_task(work, name=f"u{n}")
        while recogniser.n_at_once < MOST_AT_A_TIME:
            await asyncio.sleep(0)
        for _ in range(5):
            recogniser.may.release()
    assert recogniser.most_at_once == MOST_AT_A_TIME
    assert {signal.utterance for signal in heard} == {f"u{n}" for n in range(5)}


async def test_words_that_do_not_come_are_given_up(recogniser):
    heard: list[sig.Signal] = []
    await overdue("u1", 0.0, heard.append)
    assert heard == [sig.NotTranscribed("u1", "Speech recognition took too long.")]
