from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY

from gateway.aloud import MOST_WAITING, Aloud
from gateway.pacer import Wheel
from gateway.realtime import signals as sig
from gateway.realtime.effects import StartReply, Voice
from mesh.errors import Unavailable
from tests.fakes.backends import FakeBackends

START = StartReply("resp_1", "", (), voice=Voice("alloy", 1.0))
MUTED = sig.ReplyMuted("resp_1")
WORD_BYTES = 12_000
AWAY = Unavailable("10.0.0.9:50052 refused", tier="tts")


class NobodyThere(FakeBackends):
    """No voice can even be asked."""

    @asynccontextmanager
    async def speak(self, start):
        raise AWAY
        yield


class Hangs(FakeBackends):
    """A voice that never comes."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked = asyncio.Event()

    @asynccontextmanager
    async def speak(self, start):
        self.is_asked.set()
        await asyncio.Event().wait()
        yield


@pytest.fixture
def told():
    return []


@pytest.fixture
async def wheel():
    wheel = Wheel()
    async with asyncio.TaskGroup() as tasks:
        turning = tasks.create_task(wheel.run(), name="wheel")
        yield wheel
        turning.cancel()


def of(told, kind):
    return [signal for signal in told if isinstance(signal, kind)]


def audio(told) -> int:
    return sum(len(signal.pcm) for signal in of(told, sig.ReplyAudio))


async def say_all(aloud: Aloud, *words: str) -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(aloud.run(), name="speak")
        for word in words:
            await aloud.say(word)
        await aloud.finish()


def counted(what: str) -> float:
    return REGISTRY.get_sample_value("gateway_degraded_replies_total", {"what": what}) or 0


def new(backends, wheel, told, lead_s: float = 60) -> Aloud:
    return Aloud(START, backends, told.append, wheel=wheel, lead_s=lead_s)


async def test_what_is_said_is_spoken_to_its_end(wheel, told):
    await say_all(new(FakeBackends(), wheel, told), "One ", "two.")
    assert audio(told) == 2 * WORD_BYTES
    assert of(told, sig.ReplyMuted) == []


async def test_where_nobody_can_be_asked_that_is_told_once_and_counted(wheel, told):
    before = counted("no_tts")
    await say_all(new(NobodyThere(), wheel, told), "One ", "two ", "three.")
    assert told == [MUTED]
    assert counted("no_tts") == before + 1


async def test_a_voice_that_dies_is_heard_to_where_it_came(wheel, told):
    backends = FakeBackends()
    backends.mute, backends.mute_after = AWAY, 2
    await say_all(new(backends, wheel, told), *["word "] * 5)
    assert audio(told) == 2 * WORD_BYTES
    assert told[-1] == MUTED
    assert backends.open_streams == 0


async def test_what_was_spoken_is_still_played_at_its_pace(wheel, told):
    """The voice is far ahead of the ear when it dies."""
    backends = FakeBackends()
    backends.mute, backends.mute_after = AWAY, 2
    await say_all(new(backends, wheel, told, lead_s=0.02), *["word "] * 5)
    assert audio(told) == 2 * WORD_BYTES
    assert told[-1] == MUTED


async def test_nothing_to_say_needs_no_voice(wheel, told):
    await say_all(new(NobodyThere(), wheel, told))
    assert told == []


async def test_who_thinks_far_ahead_of_the_voice_waits(wheel, told):
    backends = Hangs()
    aloud = new(backends, wheel, told)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        speaking = tasks.create_task(aloud.run(), name="speak")
        await backends.is_asked.wait()
        for _ in range(MOST_WAITING):
            await aloud.say("word ")
        one_more = tasks.create_task(aloud.say("word "), name="say")
        await asyncio.sleep(0)
        assert not one_more.done()
        one_more.cancel()
        speaking.cancel()


async def test_without_a_voice_nobody_waits(wheel, told):
    await say_all(new(NobodyThere(), wheel, told), *["word "] * (3 * MOST_WAITING))
    assert told == [MUTED]


async def test_a_worse_voice_is_counted(wheel, told):
    class Worse(FakeBackends):
        @asynccontextmanager
        async def speak(self, start):
            async with super().speak(start) as speech:
                yield _Worse(speech)

    class _Worse:
        def __init__(self, speech) -> None:
            self._speech = speech
            self.say, self.finish = speech.say, speech.finish

        async def __aiter__(self):
            yield sig.ReplyDegraded("resp_1", "a", "b")
            async for sound in self._speech:
                yield sound

    before = counted("worse_voice")
    await say_all(new(Worse(), wheel, told), "word")
    assert told[0] == sig.ReplyDegraded("resp_1", "a", "b")
    assert counted("worse_voice") == before + 1
