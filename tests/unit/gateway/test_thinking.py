from __future__ import annotations

import asyncio
import time

import grpc
import pytest

from gateway.realtime import signals as sig
from gateway.realtime.effects import StartReply
from mesh.breaker import FAILURES
from mesh.errors import Gone, MeshError, Overloaded, Rejected, Unavailable
from tests.fakes.backends import FakeBackends
from tests.fakes.mesh import Call, Script, serving

ASKED = StartReply("resp_1", "", ())
PATIENT_S = 30.0


async def asked(call: Call) -> None:
    await call.read_kind("config")
    await call.read_kind("finish")


def fails(code: grpc.StatusCode) -> Script:
    async def script(call: Call) -> None:
        await asked(call)
        await call.fail(code)

    return script


async def answers(call: Call) -> None:
    await asked(call)
    await call.say(text_delta={"text": "Hi."})
    await call.say(completed={})


async def think(*scripts: Script, workers: int = 2, patience_s: float = 0.0):
    """What was thought, with what it failed, and which workers were asked."""
    thoughts, error = [], None
    one_mesh = serving(FakeBackends(), workers=workers, llm_patience_s=patience_s)
    async with one_mesh as (backends, tiers):
        tiers.scripts = list(scripts)
        try:
            async with backends.think(ASKED) as thinking:
                async for thought in thinking:
                    thoughts.append(thought)
        except MeshError as failed:
            error = failed
    return thoughts, error, [call.worker for call in tiers.calls]


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
async def test_a_worker_that_cannot_begin_hands_over_to_another_one(code):
    thoughts, error, workers = await think(fails(code), answers)
    assert error is None
    assert thoughts == [
        sig.ReplyText("resp_1", "Hi."),
        sig.ReplyEnded("resp_1", sig.Tokens(0, 0, 0), None),
    ]
    assert sorted(workers) == [0, 1]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, Gone),  # perhaps it is the question that kills them
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Overloaded),
    ],
)
async def test_two_are_asked_at_most(code, kind):
    fail = fails(code)
    thoughts, error, workers = await think(fail, fail, answers, workers=3, patience_s=PATIENT_S)
    assert (thoughts, type(error), len(workers)) == ([], kind, 2)


async def test_without_another_one_the_failure_is_told():
    thoughts, error, workers = await think(fails(grpc.StatusCode.UNAVAILABLE), answers, workers=1)
    assert (thoughts, type(error), workers) == ([], Gone, [0])


def writes(*texts: str, behind: str = "", ends: bool = False) -> Script:
    """Goes on behind that, and then dies or ends."""

    async def script(call: Call) -> None:
        config = await call.read_kind("config")
        assert config.already_written == behind
        await call.read_kind("finish")
        for text in texts:
            await call.say(text_delta={"text": text})
        if ends:
            await call.say(completed={})
        else:
            await call.fail(grpc.StatusCode.UNAVAILABLE)

    return script


async def test_an_answer_whose_worker_dies_is_gone_on_with_by_another_one():
    thoughts, error, workers = await think(
        writes("It ", "is "),
        writes("half ", behind="It is "),
        writes("past.", behind="It is half ", ends=True),
        workers=3,
    )
    assert error is None
    assert [t.delta for t in thoughts[:-1]] == ["It ", "is ", "half ", "past."]
    assert isinstance(thoughts[-1], sig.ReplyEnded)
    assert sorted(workers) == [0, 1, 2]


async def test_without_another_one_what_was_written_stays_and_the_failure_is_told():
    thoughts, error, workers = await think(writes("Hi"), workers=1)
    assert (thoughts, type(error)) == ([sig.ReplyText("resp_1", "Hi")], Gone)
    assert workers == [0]


async def test_the_only_worker_may_come_back():
    gone = fails(grpc.StatusCode.UNAVAILABLE)
    thoughts, error, workers = await think(
        gone,
        gone,
        writes("It ", "is "),
        gone,
        writes("late.", behind="It is ", ends=True),
        workers=1,
        patience_s=PATIENT_S,
    )
    assert error is None
    assert [t.delta for t in thoughts[:-1]] == ["It ", "is ", "late."]
    assert workers == [0] * 5


@pytest.mark.parametrize("answers_health", [False, True])
async def test_who_begins_while_nobody_is_there_waits_until_it_serves(answers_health):
    async with serving(FakeBackends(), llm_patience_s=PATIENT_S) as (backends, tiers):
        tiers.scripts = [fails(grpc.StatusCode.UNAVAILABLE), answers]
        [worker] = backends.llm.workers
        async with asyncio.timeout(PATIENT_S), backends.think(ASKED) as thinking:
            worker.serving, worker.answers = False, answers_health
            while not worker.breaker.rest_s(time.monotonic()):  # others fail meanwhile
                worker.failed(Gone("nobody there"))
            async with asyncio.TaskGroup() as tasks:
                first = tasks.create_task(anext(thinking), name="first")
                await asyncio.wait({first}, timeout=0.5)
                assert not first.done()
                assert len(tiers.calls) == 1, "nobody is called who does not serve"
                worker.serving = True
                worker.answered()
            assert first.result() == sig.ReplyText("resp_1", "Hi.")


async def test_a_reply_that_begins_when_nobody_is_there_waits_too():
    async with serving(FakeBackends(), llm_patience_s=PATIENT_S) as (backends, tiers):
        tiers.scripts = [answers]
        [worker] = backends.llm.workers
        worker.serving = False
        for _ in range(FAILURES):
            worker.failed(Gone("nobody there"))

        async def think() -> object:
            async with backends.think(ASKED) as thinking:
                return await anext(thinking)

        async with asyncio.timeout(PATIENT_S), asyncio.TaskGroup() as tasks:
            first = tasks.create_task(think(), name="first")
            await asyncio.wait({first}, timeout=0.5)
            assert not first.done()
            worker.serving = True
            worker.answered()
        assert first.result() == sig.ReplyText("resp_1", "Hi.")


async def test_patience_is_over_where_nobody_comes_back():
    gone = fails(grpc.StatusCode.UNAVAILABLE)
    thoughts, error, workers = await think(*[gone] * 30, workers=1, patience_s=0.3)
    assert (thoughts, type(error)) == ([], Gone)
    assert 1 < len(workers) < 10


async def test_who_is_there_and_says_that_it_cannot_is_not_waited_for():
    async def has_no_provider(call: Call) -> None:
        await asked(call)
        raise Unavailable("every provider failed")

    thoughts, error, workers = await think(
        has_no_provider, answers, workers=1, patience_s=PATIENT_S
    )
    assert (thoughts, type(error), workers) == ([], Unavailable, [0])


async def test_an_answer_that_kills_whoever_writes_it_does_not_kill_them_all():
    thoughts, error, workers = await think(
        writes("a"),
        writes("b", behind="a"),
        writes("c", behind="ab"),
        answers,
        workers=1,
        patience_s=PATIENT_S,
    )
    assert [t.delta for t in thoughts] == ["a", "b", "c"]
    assert isinstance(error, Gone)
    assert len(workers) == 3


async def test_what_has_called_a_tool_is_not_thought_again():
    async def calls_and_dies(call: Call) -> None:
        await asked(call)
        await call.say(tool_call={"call_id": "c1", "name": "f", "arguments_json": "{}"})
        await call.fail(grpc.StatusCode.UNAVAILABLE)

    thoughts, error, workers = await think(calls_and_dies, answers)
    assert [type(t) for t in thoughts] == [sig.ReplyCallDone]
    assert isinstance(error, Unavailable)
    assert len(workers) == 1


async def test_a_wrong_question_is_asked_once():
    thoughts, error, workers = await think(fails(grpc.StatusCode.INVALID_ARGUMENT), answers)
    assert (thoughts, type(error), len(workers)) == ([], Rejected, 1)
