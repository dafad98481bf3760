from __future__ import annotations

import asyncio

import grpc
import pytest

from gateway.realtime import signals as sig
from gateway.realtime.effects import Listening
from gateway.recognition import attempt_of
from mesh.errors import Unavailable
from ovos.stt.v1 import stt_pb2 as pb
from tests.clock import Clock
from tests.fakes.mesh import Call, Script
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


async def test_the_stream_says_whose_it_is_and_how_to_listen():
    async def script(call: Call) -> None:
        await ready(call)
        await started(call, "u1")
        await to_the_end(call)

    async with hearing(script, from_sample=24_000) as (heard, calls):
        await heard.until(lambda: bool(heard.news))
    config = calls[0].requests[0].config
    assert (config.session.tenant_id, config.session.session_id) == ("acme", "sess_1")
    assert (config.session.attempt, config.resume_from_sample) == (attempt_of(1, 1), 24_000)
    assert (config.audio_format.sample_rate_hz, config.audio_format.channels) == (24_000, 1)
    assert (config.recognition.language_code, config.recognition.prompt) == ("de", "names")
    assert config.endpointing.mode == pb.ENDPOINTING_MODE_SERVER_VAD
    assert config.endpointing.threshold == pytest.approx(0.7)
    assert config.endpointing.prefix_padding.ToMilliseconds() == 300
    assert config.endpointing.silence_duration.ToMilliseconds() == 250


async def test_what_is_reported_counts_in_milliseconds_of_the_session():
    async def script(call: Call) -> None:
        await ready(call)
        await started(call, "u1", 24_000)
        await stopped(call, "u1", 48_000)
        partial = {"utterance_id": "u1", "text": "hel", "stable_chars": 2}
        await call.say(transcript=partial)
        final = {"utterance_id": "u1", "text": "hello", "is_final": True}
        await call.say(transcript={**final, "start_sample": 24_000, "end_sample": 48_000})
        await call.say(utterance_failed={"utterance_id": "u2", "error": {"message": "no"}})
        await to_the_end(call)

    async with hearing(script) as (heard, _):
        await heard.until(lambda: len(heard.news) == 5)
    name = heard.news[0].utterance
    assert heard.news == [
        sig.SpeechStarted(name, 1000),
        sig.SpeechStopped(name, 2000),
        sig.Hypothesis(name, "hel", 2),
        sig.Transcribed(name, "hello", 1000),
        sig.NotTranscribed("u2", "no"),
    ]


async def test_audio_is_cut_numbered_and_placed():
    async def script(call: Call) -> None:
        await ready(call)
        while sum(len(chunk.data) for chunk in audio(call)) < 70_000:
            await call.read()
        await started(call, "u1")
        await to_the_end(call)

    async with hearing(script, from_sample=100) as (heard, calls):
        await heard.microphone.hear(bytes(69_000))
        await heard.microphone.hear(bytes(1_000))
        await heard.until(lambda: bool(heard.news))
    chunks = audio(calls[0])
    assert max(len(chunk.data) for chunk in chunks) <= 32_768
    assert [chunk.sequence for chunk in chunks] == list(range(1, len(chunks) + 1))
    at = 100
    for chunk in chunks:
        assert chunk.first_sample == at
        at += len(chunk.data) // 2


async def test_nothing_is_sent_without_credit():
    told = asyncio.Event()

    async def script(call: Call) -> None:
        await call.read_kind("config")
        await call.say(ready={"credit": {"allowed_until_sample": 960}})
        await call.read_kind("audio")
        await call.read_kind("audio")
        await started(call, "u1")
        await told.wait()
        await call.say(ack={"credit": {"allowed_until_sample": 1440}})
        await call.read_kind("audio")
        await stopped(call, "u1")
        await to_the_end(call)

    async with hearing(script) as (heard, _), asyncio.TaskGroup() as tasks:
        await heard.microphone.hear(FRAME)
        await heard.microphone.hear(FRAME)
        await heard.until(lambda: bool(heard.news))
        waiting = tasks.create_task(heard.microphone.hear(FRAME), name="third")
        await asyncio.sleep(0)
        assert not waiting.done()
        told.set()
        await heard.until(lambda: len(heard.news) == 2)


async def test_audio_waits_until_the_worker_is_ready():
    async def script(call: Call) -> None:
        await call.read_kind("config")
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(call.read(), name="read")
            too_early, _ = await asyncio.wait({first}, timeout=0.05)
            await call.say(ready={"credit": {"allowed_until_sample": 480}})
        await started(call, "early" if too_early else "u1")
        await to_the_end(call)

    async with hearing(script) as (heard, calls):
        await heard.microphone.hear(FRAME)
        await heard.until(lambda: bool(heard.news))
    assert heard.news[0].utterance.startswith("u1")
    assert len(audio(calls[0])) == 1


async def test_audio_that_was_not_sent_is_never_dropped():
    """A recording that is longer than what is kept for a replay, before there is a stream."""
    may_start, heard_all = asyncio.Event(), asyncio.Event()
    recording = bytes(48_000 * 70)

    async def script(call: Call) -> None:
        await may_start.wait()
        await ready(call)
        while sum(len(part.data) for part in audio(call)) < len(recording):
            await call.read()
        heard_all.set()
        await to_the_end(call)

    async with hearing(script) as (heard, _), asyncio.TaskGroup() as tasks:
        hearing_it = tasks.create_task(heard.microphone.hear(recording), name="hear")
        await asyncio.wait({hearing_it}, timeout=0.05)
        may_start.set()
        async with asyncio.timeout(10):
            await heard_all.wait()


async def test_a_broken_stream_is_replaced_and_hears_again_what_was_not_acknowledged():
    async def breaks(call: Call) -> None:
        await ready(call)
        for _ in range(3):
            await call.read_kind("audio")
        await call.say(ack={"replay_from_sample": 480, "credit": {"allowed_until_sample": 1 << 40}})
        await started(call, "u1")
        await call.fail(grpc.StatusCode.UNAVAILABLE)

    async def goes_on(call: Call) -> None:
        await ready(call)
        for _ in range(3):
            await call.read_kind("audio")
        await started(call, "u9")
        await stopped(call, "u9")
        await words(call, "u9")
        await to_the_end(call)

    async with hearing(breaks, goes_on) as (heard, calls):
        for _ in range(3):
            await heard.microphone.hear(FRAME)
        await heard.until(lambda: bool(heard.news))
        await heard.microphone.hear(FRAME)
        await heard.until(lambda: len(heard.news) == 3)
    config = calls[1].requests[0].config
    assert (config.session.attempt, config.resume_from_sample) == (attempt_of(1, 2), 480)
    assert [(c.sequence, c.first_sample) for c in audio(calls[1])] == [
        (1, 480),
        (2, 960),
        (3, 1440),
    ]
    name = heard.news[0].utterance
    assert heard.news == [  # one start, under the name it had
        sig.SpeechStarted(name, 0),
        sig.SpeechStopped(name, 40),
        sig.Transcribed(name, "hello", 0),
    ]


async def test_an_end_that_was_reported_is_not_reported_again():
    async def breaks(call: Call) -> None:
        await ready(call)
        await call.read_kind("audio")
        await started(call, "u1")
        await stopped(call, "u1")
        await call.fail(grpc.StatusCode.UNAVAILABLE)

    async def goes_on(call: Call) -> None:
        await ready(call)
        await started(call, "u1")
        await stopped(call, "u1")
        await words(call, "u1", "first")
        await started(call, "u2")
        await stopped(call, "u2")
        await words(call, "u2", "second")
        await to_the_end(call)

    async with hearing(breaks, goes_on) as (heard, _):
        await heard.microphone.hear(FRAME)
        await heard.until(lambda: len(heard.news) == 2)
        await heard.until(lambda: len(heard.news) == 6)
    assert [type(news) for news in heard.news] == [
        sig.SpeechStarted,
        sig.SpeechStopped,
        sig.Transcribed,
        sig.SpeechStarted,
        sig.SpeechStopped,
        sig.Transcribed,
    ]
    names = [news.utterance for news in heard.news]
    assert names[0] == names[1] == names[2] != names[3]
    assert [heard.news[n].text for n in (2, 5)] == ["first", "second"]


async def test_streams_that_count_alike_do_not_mix_up_utterances():
    """The second stream calls its second utterance as the first stream called its open one."""

    async def breaks(call: Call) -> None:
        await ready(call)
        await started(call, "u1")
        await stopped(call, "u1")
        await words(call, "u1", "one")
        await started(call, "u2")
        await stopped(call, "u2")
        await call.fail(grpc.StatusCode.UNAVAILABLE)

    async def goes_on(call: Call) -> None:
        await ready(call)
        await started(call, "u1")
        await stopped(call, "u1")
        await started(call, "u2")
        await words(call, "u1", "two")
        await stopped(call, "u2")
        await words(call, "u2", "three")
        await to_the_end(call)

    async with hearing(breaks, goes_on) as (heard, _):
        await heard.until(lambda: len(heard.news) == 5)
        await heard.until(lambda: len(heard.news) == 9)
    said = {n.utterance: n.text for n in heard.news if isinstance(n, sig.Transcribed)}
    began = [n.utterance for n in heard.news if isinstance(n, sig.SpeechStarted)]
    assert [said[name] for name in began] == ["one", "two", "three"]


async def test_a_commit_is_sent_again_with_its_audio():
    async def breaks(call: Call) -> None:
        await ready(call)
        await call.read_kind("audio")
        await call.read_kind("commit")
        await call.fail(grpc.StatusCode.UNAVAILABLE)

    async def goes_on(call: Call) -> None:
        await ready(call)
        await call.read_kind("audio")
        commit = await call.read_kind("commit")
        await words(call, commit.utterance_id)
        await to_the_end(call)

    async with hearing(breaks, goes_on, how=Listening(None)) as (heard, calls):
        await heard.microphone.hear(FRAME)
        await heard.microphone.end_utterance("item_1")
        await heard.until(lambda: bool(heard.news))
    assert heard.news == [sig.Transcribed("item_1", "hello", 0)]
    assert calls[0].requests[0].config.endpointing.mode == pb.ENDPOINTING_MODE_MANUAL


async def test_a_commit_in_mid_speech_takes_its_place():
    async def script(call: Call) -> None:
        await ready(call)
        await call.read_kind("audio")
        await started(call, "u1")
        await call.read_kind("commit")
        await stopped(call, "u1")  # crossed the commit on the way
        await words(call, "item_1")
        await to_the_end(call)

    async with hearing(script) as (heard, _):
        await heard.microphone.hear(FRAME)
        await heard.until(lambda: bool(heard.news))
        await heard.microphone.end_utterance("item_1")
        await heard.until(lambda: len(heard.news) == 2)
    assert heard.news[1] == sig.Transcribed("item_1", "hello", 0)


async def test_clearing_and_changing_settings_are_passed_on():
    async def script(call: Call) -> None:
        await ready(call)
        await call.read_kind("clear")
        update = await call.read_kind("update")
        assert update.endpointing.mode == pb.ENDPOINTING_MODE_MANUAL
        await words(call, "u1")
        await to_the_end(call)

    async with hearing(script) as (heard, _):
        await heard.microphone.forget()
        await heard.microphone.listen(Listening(None))
        await heard.until(lambda: bool(heard.news))


async def test_recognition_that_stays_away_is_given_up_after_a_while():
    async def fails(call: Call) -> None:
        await call.fail(grpc.StatusCode.UNAVAILABLE, "gone")

    clock = Clock(asyncio.get_running_loop())
    async with hearing(*[fails] * 100, patience_s=1.0) as (heard, calls):
        async with asyncio.timeout(10):
            while heard.error is None:
                clock.advance(0.05)
                await asyncio.sleep(0.001)
    assert isinstance(heard.error, Unavailable)
    assert heard.error.tier == "stt"
    assert len(calls) >= 2


async def test_patience_starts_anew_when_something_was_heard():
    def hears_and_dies(name: str) -> Script:
        async def script(call: Call) -> None:
            await ready(call)
            await started(call, name)
            await stopped(call, name)
            await words(call, name)
            await call.fail(grpc.StatusCode.UNAVAILABLE)

        return script

    async def hears(call: Call) -> None:
        await ready(call)
        await started(call, "u4")
        await to_the_end(call)

    scripts = [*map(hears_and_dies, ["u1", "u2", "u3"]), hears]
    async with hearing(*scripts, patience_s=0.3) as (heard, calls):
        await heard.until(lambda: len(heard.news) == 10)
    assert heard.error is None
    assert len(calls) == 4


async def test_a_worker_that_only_starts_wears_patience_out():
    async def starts(call: Call) -> None:
        await ready(call)
        await call.fail(grpc.StatusCode.UNAVAILABLE)

    async with hearing(*[starts] * 50, patience_s=0.3) as (heard, calls):
        await heard.until(lambda: heard.error is not None)
    assert 1 < len(calls) < 50


async def test_leaving_says_so_to_the_worker():
    async def script(call: Call) -> None:
        await ready(call)
        await started(call, "u1")
        await to_the_end(call)

    async with hearing(script) as (heard, calls):
        await heard.until(lambda: bool(heard.news))
    assert calls[0].requests[-1].finish.discard
