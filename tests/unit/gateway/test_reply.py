from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from gateway import reply
from gateway.pacer import FRAME_BYTES, Wheel
from gateway.realtime import signals as sig
from gateway.realtime.effects import Begun, StartReply, Voice
from gateway.reply import Stage
from gateway.told import told
from mesh.errors import Broken, Overloaded, Rejected, Unavailable
from tests.fakes.backends import FakeBackends

SPOKEN = StartReply("resp_1", "", (), voice=Voice("alloy", 1.0))
WRITTEN = StartReply("resp_1", "", ())


class Listener:
    """An audience that keeps what it hears and says whether there is room."""

    def __init__(self) -> None:
        self.heard: list[sig.Signal] = []
        self.changed = asyncio.Event()
        self.has_room = asyncio.Event()
        self.has_room.set()

    def take(self, signal: sig.Signal) -> None:
        self.heard.append(signal)
        self.changed.set()

    async def room(self) -> None:
        await self.has_room.wait()

    def kinds(self) -> list[type]:
        return [type(signal) for signal in self.heard]

    @property
    def audio(self) -> bytes:
        return b"".join(s.pcm for s in self.heard if isinstance(s, sig.ReplyAudio))

    async def until(self, kind: type) -> None:
        async with asyncio.timeout(10):
            while kind not in self.kinds():
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
async def listener():
    return Listener()


@pytest.fixture
def backends():
    return FakeBackends()


@asynccontextmanager
async def on_stage(backends):
    """A stage whose lead is longer than any answer here, so nothing is waited for."""
    async with asyncio.TaskGroup() as tasks:
        wheel = Wheel()
        turning = tasks.create_task(wheel.run(), name="wheel")
        yield Stage(backends, wheel, lead_s=60)
        turning.cancel()


@pytest.fixture
async def stage(backends):
    async with on_stage(backends) as stage:
        yield stage


async def test_a_written_reply_is_text_and_its_end(stage, listener):
    await reply.run(WRITTEN, stage, listener)
    assert listener.heard == [
        sig.ReplyText("resp_1", "Hi "),
        sig.ReplyText("resp_1", "there."),
        sig.ReplyEnded("resp_1", sig.Tokens(input=10, output=2)),
    ]


async def test_a_spoken_reply_ends_after_its_audio(stage, listener, backends):
    await reply.run(SPOKEN, stage, listener)
    assert len(listener.audio) == 2 * 12_000
    frames = [len(s.pcm) for s in listener.heard if isinstance(s, sig.ReplyAudio)]
    assert set(frames[:-1]) == {FRAME_BYTES}
    assert listener.kinds()[-1] is sig.ReplyEnded
    assert [s.words for s in listener.heard if isinstance(s, sig.ReplyTiming)] == [
        ((3, 250),),
        ((9, 500),),
    ]
    assert backends.open_streams == 0


async def test_a_function_call_is_not_spoken(stage, listener, backends):
    backends.call = ("f", "{}")
    await reply.run(SPOKEN, stage, listener)
    called = [sig.ReplyCall, sig.ReplyCall, sig.ReplyCallDone]
    assert listener.kinds() == [*called, sig.ReplyThought, sig.ReplyEnded]


async def test_that_the_model_has_ended_is_told_before_all_is_spoken(stage, listener):
    await reply.run(SPOKEN, stage, listener)
    ended = sig.ReplyEnded("resp_1", sig.Tokens(input=10, output=2))
    assert sig.ReplyThought("resp_1", ended) in listener.heard
    assert listener.heard[-1] == ended


class Rest(FakeBackends):
    """Writes what is left of a reply, as the language tier does. Ends each piece of speech
    with its word."""

    def __init__(self, *answer: str) -> None:
        super().__init__(answer=answer)
        self.said: list[str] = []

    @asynccontextmanager
    async def think(self, start):
        whole, self.answer = self.answer, tuple(_rest(self.answer, start.begun))
        try:
            async with super().think(start) as thoughts:
                yield thoughts
        finally:
            self.answer = whole

    @asynccontextmanager
    async def speak(self, start):
        async with super().speak(start) as speech:
            say = speech.say

            async def heard(text: str) -> None:
                self.said.append(text)
                await say(text)

            speech.say = heard
            yield speech


def _rest(answer, begun):
    text = "".join(answer).removeprefix(begun.text if begun else "")
    return re.findall(r"\S+\s*", text)


BEGUN = Begun("One two ", 4, 250, 100, None)


async def test_a_reply_that_was_begun_goes_on_behind_what_was_heard(listener):
    backends = Rest("One ", "two ", "three.")
    async with on_stage(backends) as stage:
        await reply.run(replace(SPOKEN, begun=BEGUN), stage, listener)
    assert "".join(backends.said) == "two three."
    texts = [s.delta for s in listener.heard if isinstance(s, sig.ReplyText)]
    assert texts == ["three."], "what was written is not written again"
    # Two words of 12,000 bytes, without what the client has had of the first.
    assert len(listener.audio) == 2 * 12_000 - 100
    timed = [s.words for s in listener.heard if isinstance(s, sig.ReplyTiming)]
    assert timed == [((8, 500),), ((14, 750),)]


async def test_what_was_sent_may_reach_into_a_later_piece(listener):
    backends = Rest("One ", "two ", "three.")
    begun = replace(BEGUN, sent_bytes=12_500)
    async with on_stage(backends) as stage:
        await reply.run(replace(SPOKEN, begun=begun), stage, listener)
    assert len(listener.audio) == 2 * 12_000 - 12_500


async def test_what_was_thought_to_its_end_is_only_spoken(stage, listener, backends):
    ended = sig.ReplyEnded("resp_1", sig.Tokens(input=10, output=2))
    begun = replace(BEGUN, ended=ended)
    await reply.run(replace(SPOKEN, begun=begun), stage, listener)
    assert backends.asked == []
    assert len(listener.audio) == 12_000 - 100
    assert listener.heard[-1] == ended


async def test_what_was_spoken_to_its_end_only_ends(stage, listener, backends):
    ended = sig.ReplyEnded("resp_1", sig.Tokens(input=10, output=2))
    begun = replace(BEGUN, from_char=8, sent_bytes=0, ended=ended)
    await reply.run(replace(SPOKEN, begun=begun), stage, listener)
    assert listener.heard == [ended]
    assert (backends.asked, backends.spoken) == ([], [])


async def test_a_written_reply_that_was_thought_to_its_end_only_ends(stage, listener, backends):
    ended = sig.ReplyEnded("resp_1", sig.Tokens(input=10, output=2))
    await reply.run(replace(WRITTEN, begun=replace(BEGUN, ended=ended)), stage, listener)
    assert (listener.heard, backends.asked) == ([ended], [])


@pytest.mark.parametrize("start", [SPOKEN, WRITTEN])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unavailable("10.0.0.7:50053 refused", tier="llm"), "llm_unavailable"),
        (Overloaded("full", tier="tts"), "tts_resource_exhausted"),
    ],
)
async def test_a_failure_is_reported_with_its_tier(stage, listener, backends, start, error, code):
    backends.fail = error
    await reply.run(start, stage, listener)
    assert listener.heard == [sig.ReplyFailed("resp_1", code, told(error))]
    assert backends.open_streams == 0


@pytest.mark.parametrize(
    ("code", "type_"),
    [
        ("insufficient_quota", "insufficient_quota"),
        ("rate_limit_exceeded", "rate_limit_error"),
        ("context_length_exceeded", "invalid_request_error"),
    ],
)
async def test_a_code_of_the_provider_is_passed_on(stage, listener, backends, code, type_):
    error = backends.fail = Unavailable("no provider", tier="llm", code=code)
    await reply.run(WRITTEN, stage, listener)
    assert listener.heard == [sig.ReplyFailed("resp_1", code, told(error), type_)]


SORRY = "I cannot think."


@pytest.fixture
def sorry(stage):
    return replace(stage, apology=SORRY)


class Stalls(FakeBackends):
    """Fails after its first word."""

    async def _thoughts(self, start):
        async for thought in super()._thoughts(start):
            yield thought
            raise Broken("the model died", tier="llm")


async def test_where_nobody_thinks_that_is_said_and_the_reply_fails_after_it(
    sorry, listener, backends
):
    backends.fail = Unavailable("no provider", tier="llm")
    before = degraded("no_llm")
    await reply.run(SPOKEN, sorry, listener)
    failed = sig.ReplyFailed("resp_1", "llm_unavailable", "It cannot be reached.")
    assert listener.heard[0] == sig.ReplyFailing("resp_1", failed, SORRY)
    assert len(listener.audio) == 3 * 12_000
    assert listener.heard[-1] == failed
    assert listener.kinds().count(sig.ReplyFailed) == 1
    assert sig.ReplyText not in listener.kinds()
    assert degraded("no_llm") == before + 1
    assert backends.open_streams == 0


async def test_a_notice_is_for_those_who_listen(sorry, listener, backends):
    backends.fail = Unavailable("no provider", tier="llm")
    await reply.run(WRITTEN, sorry, listener)
    assert listener.kinds() == [sig.ReplyFailed]


@pytest.mark.parametrize(
    "error",
    [
        Rejected("no such tool", tier="llm"),
        Broken("too long", tier="llm", code="context_length_exceeded"),
    ],
)
async def test_a_mistake_of_the_client_is_not_told_to_its_user(sorry, listener, backends, error):
    backends.fail = error
    before = degraded("no_llm")
    await reply.run(SPOKEN, sorry, listener)
    assert listener.kinds() == [sig.ReplyFailed]
    assert degraded("no_llm") == before


async def test_a_model_that_dies_in_mid_answer_is_spoken_to_where_it_came(listener):
    backends = Stalls(answer=("One ", "two."))
    async with on_stage(backends) as stage:
        await reply.run(SPOKEN, replace(stage, apology=SORRY), listener)
    failed = listener.heard[-1]
    assert isinstance(failed, sig.ReplyFailed)
    assert listener.heard[:2] == [
        sig.ReplyText("resp_1", "One "),
        sig.ReplyFailing("resp_1", failed),
    ]
    assert len(listener.audio) == 12_000


async def test_a_notice_that_was_begun_is_spoken_to_its_end_elsewhere(sorry, listener, backends):
    failed = sig.ReplyFailed("resp_1", "llm_unavailable", "It cannot be reached.")
    begun = Begun(SORRY, 2, 250, 0, failed)
    await reply.run(replace(SPOKEN, begun=begun), sorry, listener)
    assert backends.asked == []
    assert len(listener.audio) == 2 * 12_000
    assert listener.heard[-1] == failed


async def test_without_a_voice_all_is_written_and_the_reply_ends_well(stage, listener, backends):
    backends.mute = Unavailable("nobody", tier="tts")
    await reply.run(SPOKEN, stage, listener)
    texts = [s.delta for s in listener.heard if isinstance(s, sig.ReplyText)]
    assert texts == ["Hi ", "there."]
    assert listener.kinds().count(sig.ReplyMuted) == 1
    assert listener.kinds()[-1] is sig.ReplyEnded
    assert backends.open_streams == 0


async def test_where_nobody_thinks_or_speaks_the_notice_is_written(sorry, listener, backends):
    backends.fail = Unavailable("no provider", tier="llm")
    backends.mute = Unavailable("nobody", tier="tts")
    await reply.run(SPOKEN, sorry, listener)
    assert listener.kinds() == [sig.ReplyFailing, sig.ReplyMuted, sig.ReplyFailed]


async def test_a_call_does_not_wait_for_a_voice(listener):
    class Silent(FakeBackends):
        @asynccontextmanager
        async def speak(self, start):
            await asyncio.Event().wait()
            yield

    backends = Silent()
    backends.call = ("f", "{}")
    async with on_stage(backends) as stage, asyncio.timeout(10):
        await reply.run(SPOKEN, stage, listener)
    assert listener.kinds()[-1] is sig.ReplyEnded


def degraded(what: str) -> float:
    return REGISTRY.get_sample_value("gateway_degraded_replies_total", {"what": what}) or 0


async def test_cancelling_ends_everything_without_a_word(stage, listener, backends):
    backends.gate = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(reply.run(SPOKEN, stage, listener), name="reply")
        await listener.until(sig.ReplyAudio)
        task.cancel()
    assert backends.open_streams == 0
    assert sig.ReplyEnded not in listener.kinds()
    assert sig.ReplyFailed not in listener.kinds()


async def test_thinking_waits_for_a_client_that_reads_slowly(stage, listener):
    listener.has_room.clear()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(reply.run(WRITTEN, stage, listener), name="reply")
        await listener.until(sig.ReplyText)
        await asyncio.sleep(0)
        assert listener.kinds() == [sig.ReplyText]
        listener.has_room.set()
    assert listener.kinds() == [sig.ReplyText, sig.ReplyText, sig.ReplyEnded]


async def test_what_is_first_thought_is_spoken_before_the_rest_is_known(stage, listener, backends):
    backends.gate = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(reply.run(SPOKEN, stage, listener), name="reply")
        await listener.until(sig.ReplyAudio)
        assert listener.kinds().count(sig.ReplyText) == 1
        backends.gate.set()
    assert listener.kinds().count(sig.ReplyText) == 2
