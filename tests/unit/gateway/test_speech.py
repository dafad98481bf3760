from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

import grpc
import pytest

import gateway.spoken
from gateway.realtime import signals as sig
from gateway.realtime.effects import StartReply
from gateway.realtime.effects import Voice as VoiceAsked
from gateway.speech import MOST_BROKEN
from mesh.errors import Draining, Overloaded, Rejected, Unavailable
from tests.fakes.backends import FakeBackends
from tests.fakes.mesh import Call, Script, serving
from tests.unit.gateway.speaking import Voice, heard

TEXT = "One moment, please. The boats come back at noon. Who sells bread? She does."
SPOKEN = StartReply("resp_1", "", (), voice=VoiceAsked("marin", 1.0))
ONE = Voice("one")
OTHER = Voice("other", 1, char_samples=5)


@pytest.fixture(autouse=True)
def _(monkeypatch):
    monkeypatch.setattr(gateway.spoken, "HEARD_SAMPLES", 3)  # a character of these voices


@pytest.fixture
async def mesh():
    async with serving(FakeBackends()) as (backends, tiers):
        yield backends, tiers


def worker(voice: Voice = ONE, dies_after: int | None = None) -> Script:
    """Speaks what it is told.

    Args:
        dies_after: Messages; none of them while it is told.
    """

    async def script(call: Call) -> None:
        config = await call.read_kind("config")
        if dies_after == 0:
            await call.fail(grpc.StatusCode.UNAVAILABLE)
        await call.say(ready={"engine": voice.name})
        while (request := await call.read()).WhichOneof("payload") != "finish":
            assert request.WhichOneof("payload") in ("text", "credit"), request
        for news in voice.stream(said_to(call), continues=config.continues)[1:dies_after]:
            kind = news.WhichOneof("payload")
            await call.say(**{kind: getattr(news, kind)})
        if dies_after is not None:
            await call.fail(grpc.StatusCode.UNAVAILABLE)

    return script


async def dies(call: Call) -> None:
    await call.read_kind("config")
    await call.fail(grpc.StatusCode.UNAVAILABLE, "gone")


async def dies_at_work(call: Call) -> None:
    await call.read_kind("config")
    await call.say(ready={"engine": "one"})
    await call.read_kind("text")
    await call.fail(grpc.StatusCode.UNAVAILABLE, "gone")


def said_to(call: Call) -> str:
    chunks = [r.text for r in call.requests if r.WhichOneof("payload") == "text"]
    assert [chunk.sequence for chunk in chunks] == list(range(1, len(chunks) + 1))
    return "".join(chunk.text for chunk in chunks)


async def spoken(mesh, *scripts: Script, start: StartReply = SPOKEN) -> list[object]:
    """What is heard of TEXT when these workers are asked one after the other."""
    backends, tiers = mesh
    tiers.scripts, tiers.calls[:] = list(scripts), []
    async with asyncio.timeout(20), backends.speak(start) as speech:
        await speech.say(TEXT[:20])
        await speech.say(TEXT[20:])
        await speech.finish()
        return [sound async for sound in speech]


def words_timed(sounds) -> list[tuple[int, int]]:
    return [word for s in sounds if isinstance(s, sig.ReplyTiming) for word in s.words]


async def test_wherever_a_worker_dies_the_reply_goes_on_at_another(mesh):
    whole = await spoken(mesh, worker())
    assert heard(whole) == TEXT
    n = len(ONE.stream(TEXT))
    for at in range(n):
        sounds = await spoken(mesh, worker(dies_after=at), worker())
        assert heard(sounds) == TEXT, at
        assert words_timed(sounds) == words_timed(whole), at
        first, second = mesh[1].calls
        rest = said_to(second)
        assert TEXT.endswith(rest)
        assert second.requests[0].config.continues == (len(rest) < len(TEXT))
        assert not first.requests[0].config.continues


async def test_one_worker_after_the_other_dies_and_each_gets_a_little_further(mesh):
    dying = [worker(dies_after=at) for at in (4, 5, 6, 7, 6)]
    assert heard(await spoken(mesh, *dying, worker())) == TEXT


async def test_a_worker_with_another_voice_is_told_what_is_behind_the_last_word(mesh):
    sounds = await spoken(mesh, worker(dies_after=5), worker(OTHER))
    assert said_to(mesh[1].calls[1]) == TEXT[len("One moment,") :]
    assert heard(sounds).replace("�", "").endswith(TEXT[len("One moment,") :])


async def test_what_is_heard_again_needs_no_credit_of_its_own(mesh):
    await spoken(mesh, worker(dies_after=5), worker())
    first, second = (call.requests[0].config.credit for call in mesh[1].calls)
    again = 3 * ONE.chunk_samples
    assert second.allowed_until_sample == first.allowed_until_sample + again


async def test_what_is_said_while_nobody_is_there_is_not_lost(mesh):
    backends, tiers = mesh
    tiers.scripts = [dies, dies, dies, worker()]
    async with asyncio.timeout(20), backends.speak(SPOKEN) as speech, asyncio.TaskGroup() as tasks:
        hearing = tasks.create_task(_all(speech), name="hear")
        for word in TEXT.split(" "):
            await speech.say(word if word == "One" else f" {word}")
            await asyncio.sleep(0.02)  # some of it during the outage
        await speech.finish()
    assert heard(hearing.result()) == TEXT


async def _all(speech) -> list[object]:
    return [sound async for sound in speech]


async def test_text_that_comes_late_goes_to_the_new_worker_word_by_word(mesh):
    backends, tiers = mesh
    told = asyncio.Event()

    async def tells(call: Call) -> None:
        await call.read_kind("config")
        await call.say(ready={"engine": "one"})
        await call.read_kind("text")
        told.set()
        await call.read_kind("text")
        await call.read_kind("finish")
        await call.say(finished={})

    tiers.scripts = [dies_at_work, tells]
    async with asyncio.timeout(20), backends.speak(SPOKEN) as speech, asyncio.TaskGroup() as tasks:
        tasks.create_task(_all(speech), name="hear")
        await speech.say("One ")
        await told.wait()
        await speech.say("two.")
        await speech.finish()
    assert said_to(tiers.calls[1]) == "One two."


async def test_synthesis_that_stays_away_is_told_when_patience_is_over():
    async with serving(FakeBackends(), tts_patience_s=0.5) as mesh:
        began_s = time.monotonic()
        with pytest.raises(Unavailable, match="tts: gone"):
            await spoken(mesh, *[dies] * 100)
        assert time.monotonic() - began_s >= 0.5
        assert 2 <= len(mesh[1].calls) < 10


async def test_words_that_kill_workers_do_not_kill_them_all(mesh):
    with pytest.raises(Unavailable):
        await spoken(mesh, *[dies_at_work] * 10)
    assert len(mesh[1].calls) == MOST_BROKEN


async def test_workers_that_drain_or_are_full_are_no_victims(mesh):
    async def drains(call: Call) -> None:
        await call.read_kind("config")
        await call.say(ready={"engine": "one"})
        raise Draining("going away")

    async def is_full(call: Call) -> None:
        await call.read_kind("config")
        raise Overloaded("full")

    others = [drains] * MOST_BROKEN + [is_full] * MOST_BROKEN
    assert heard(await spoken(mesh, *others, worker())) == TEXT


async def test_what_one_worker_refuses_is_not_asked_of_another(mesh):
    async def refuses(call: Call) -> None:
        await call.read_kind("config")
        while (await call.read()).WhichOneof("payload") != "finish":
            pass  # a call that ends under a write loses its status
        raise Rejected("no such rate")

    with pytest.raises(Rejected, match="no such rate"):
        await spoken(mesh, refuses)
    assert len(mesh[1].calls) == 1


async def test_a_reply_that_nobody_could_be_found_for_at_first_is_spoken(mesh):
    backends, tiers = mesh
    tiers.scripts = [worker()]
    [only] = backends.tts.workers
    for _ in range(5):
        only.breaker.failed(time.monotonic())
    async with asyncio.timeout(20), backends.speak(SPOKEN) as speech:
        assert tiers.calls == []
        only.breaker.revived()
        await speech.say(TEXT)
        await speech.finish()
        assert heard(await _all(speech)) == TEXT


async def test_leaving_stops_the_worker_that_speaks_now(mesh):
    backends, tiers = mesh
    cancelled = asyncio.Event()

    async def speaks(call: Call) -> None:
        await call.read_kind("config")
        await call.say(ready={"engine": "one"})
        await call.read_kind("text")
        for news in ONE.stream(TEXT)[1:5]:
            kind = news.WhichOneof("payload")
            await call.say(**{kind: getattr(news, kind)})
        await call.read_kind("cancel")
        cancelled.set()

    tiers.scripts = [dies_at_work, speaks]
    async with asyncio.timeout(20), backends.speak(SPOKEN) as speech:
        await speech.say(TEXT)
        async with aclosing(aiter(speech)) as sounds:
            async for sound in sounds:
                if isinstance(sound, sig.ReplyAudio):
                    break
        await cancelled.wait()  # before `speak` itself is left


async def test_where_there_are_two_the_other_one_goes_on():
    async with serving(FakeBackends(), workers=2) as mesh:
        for at in (1, 3, 5, 20):
            assert heard(await spoken(mesh, worker(dies_after=at), worker())) == TEXT
            first, second = mesh[1].calls
            assert first.worker != second.worker
