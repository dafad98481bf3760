"""Answers that break in the middle, and who goes on with them."""

import asyncio
import logging
from contextlib import aclosing
from dataclasses import replace

import pytest

from llm_orchestrator import metrics, tokens
from llm_orchestrator.engine import (
    Done,
    Finish,
    Message,
    Request,
    Role,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    ToolMode,
    Usage,
)
from llm_orchestrator.orchestration import (
    Ask,
    Failed,
    Orchestrator,
    OutOfTime,
    Started,
    Switched,
    Timeouts,
)
from llm_orchestrator.providers import Providers
from mesh.breaker import FAILURES, REST_S
from mesh.errors import TooSlow, Unavailable
from tests.fakes.llm import USAGE, FakeEngine, Fault, Model, Reply

USER = Message(role=Role.USER, text="hi")
LOOK = Tool("look", "", '{"type": "object"}')
REQUEST = Request(messages=(USER,), tools=(LOOK,))
QUICK = Timeouts(first_token_s=0.05, between_tokens_s=0.05, overall_s=5.0)
PATIENT = Timeouts(first_token_s=60.0, between_tokens_s=60.0, overall_s=60.0)
WHOLE = "Hello you there, how are you?"


class Scripted(FakeEngine):
    """Gives the news it is told to; an error among them is raised."""

    def __init__(self, *news):
        super().__init__(Model())
        self.news = news

    async def generate(self, request):
        self.requests.append(request)
        for piece in self.news:
            if isinstance(piece, Exception):
                raise piece
            yield piece


class Chain:
    def __init__(self, *engines, timeouts=QUICK):
        self.engines = engines
        names = ("one", "two", "three")
        self.providers = Providers(dict(zip(names, engines, strict=False)))
        self.orchestrator = Orchestrator(self.providers, timeouts)

    async def hear(self, request=REQUEST, **ask):
        ask = Ask(request=request, **ask)
        async with asyncio.timeout(10), aclosing(self.orchestrator.answer(ask)) as events:
            return [event async for event in events]


def breaking(fault, n_pieces, text=WHOLE):
    return FakeEngine(Model(Reply(text, fault=fault, pieces_first=n_pieces)))


def saying(text):
    return FakeEngine(Model(Reply(text)))


def said(events):
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def switches(events):
    return [(e.provider, e.to) for e in events if isinstance(e, Switched)]


def started(events):
    return [e.model.provider for e in events if isinstance(e, Started)]


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.HALF, Fault.STALL, Fault.GARBAGE])
@pytest.mark.parametrize("n_pieces", [1, 3, 5])
@pytest.mark.parametrize("begins_anew", [True, False])
async def test_the_next_provider_goes_on_and_nothing_is_lost_or_said_twice(
    fault, n_pieces, begins_anew
):
    written = " ".join(WHOLE.split(" ")[:n_pieces])
    rest = WHOLE if begins_anew else WHOLE[len(written) :]
    chain = Chain(breaking(fault, n_pieces), saying(rest))
    events = await chain.hear()
    assert said(events) == WHOLE
    assert switches(events) == [("one", "two")]
    assert started(events) == ["one", "two"]
    assert chain.engines[1].requests[0].already_written == written
    assert [type(event) for event in events].count(Done) == 1
    assert isinstance(events[-1], Done)


async def test_a_third_goes_on_with_what_two_have_written():
    second = breaking(Fault.CUT, 4)  # it begins anew: the first two words are not new
    chain = Chain(breaking(Fault.STALL, 2), second, saying(WHOLE))
    events = await chain.hear()
    assert said(events) == WHOLE
    assert switches(events) == [("one", "two"), ("two", "three")]
    assert chain.engines[2].requests[0].already_written == "Hello you there, how"


async def test_what_was_written_before_this_call_stays_in_front():
    chain = Chain(breaking(Fault.CUT, 3), saying(WHOLE))
    events = await chain.hear(replace(REQUEST, already_written="Hello"))
    assert "Hello" + said(events) == WHOLE
    assert chain.engines[1].requests[0].already_written == "Hello you there,"


async def test_the_cost_of_what_broke_is_estimated_and_added():
    chain = Chain(breaking(Fault.CUT, 3), saying(WHOLE))
    done = (await chain.hear())[-1]
    broken = Usage(tokens.of_request(REQUEST), 0, tokens.of_text("Hello you there,"))
    assert done.usage == broken + USAGE


async def test_a_provider_that_wrote_nothing_costs_nothing():
    chain = Chain(breaking(Fault.BROKEN, 0), saying(WHOLE))
    assert (await chain.hear())[-1].usage == USAGE


async def test_when_nobody_can_go_on_the_answer_fails_and_says_why():
    chain = Chain(breaking(Fault.CUT, 2), breaking(Fault.LIMITED, 0))
    events = await chain.hear()
    assert said(events) == "Hello you"
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert failed.provider == "one"  # asked once more, after all others
    assert [len(engine.requests) for engine in chain.engines] == [2, 1]
    assert "connection is reset" in failed.error.detail
    assert "429" in failed.error.detail
    assert failed.error.retry_after_s == 7.0


class Flaky(FakeEngine):
    """Breaks off the first time."""

    def generate(self, request):
        fault = None if self.requests else Fault.CUT
        self._model.reply = Reply(WHOLE, fault=fault, pieces_first=3)
        return super().generate(request)


async def test_one_that_is_alone_is_asked_once_more():
    chain = Chain(Flaky(Model()))
    events = await chain.hear()
    assert said(events) == WHOLE
    assert switches(events) == [("one", "one")]
    before_a_word = Chain(breaking(Fault.CUT, 0))
    with pytest.raises(Unavailable):
        await before_a_word.hear()
    assert len(before_a_word.engines[0].requests) == 1


async def test_who_only_knows_its_own_sentences_does_not_go_on_with_others():
    rules = saying("No.")
    rules.goes_on = False
    chain = Chain(breaking(Fault.CUT, 2), rules)
    assert isinstance((await chain.hear())[-1], Failed)
    assert switches(await chain.hear()) == [("one", "one")]
    assert rules.requests == []
    first = Chain(breaking(Fault.CUT, 0), rules)
    assert said(await first.hear()) == "No."


async def test_handovers_are_counted_by_their_moment_and_logged(caplog):
    def counted(moment):
        return metrics.HANDOVERS.labels("one", "two", moment)._value.get()

    before = counted("start"), counted("middle")
    with caplog.at_level(logging.INFO):
        await Chain(breaking(Fault.CUT, 2), saying(WHOLE)).hear()
    assert (counted("start"), counted("middle")) == (before[0], before[1] + 1)
    [line] = [record for record in caplog.records if record.message == "provider switched"]
    assert (line.provider, line.to, line.moment) == ("one", "two", "middle")
    assert "Hello" not in str([vars(record) for record in caplog.records])


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.STALL, Fault.GARBAGE, Fault.HALF])
async def test_who_breaks_off_again_and_again_rests(fault):
    chain = Chain(breaking(fault, 2), saying(WHOLE))
    for _ in range(FAILURES):
        assert chain.providers.all[0].available
        assert said(await chain.hear()) == WHOLE
    assert not chain.providers.all[0].available
    assert started(await chain.hear()) == ["two"]


class Taking(FakeEngine):
    """Fails after some time of a clock."""

    def __init__(self, now, takes_s):
        super().__init__(Model())
        self.now, self.takes_s = now, takes_s

    async def generate(self, request):
        self.requests.append(request)
        self.now[0] += self.takes_s
        raise TooSlow("nothing came")
        yield


async def test_nobody_is_asked_once_the_caller_has_waited_long_enough():
    now = [0.0]
    chain = Chain(*(Taking(now, takes_s) for takes_s in (3.0, 1.8, 0.0)))
    chain.orchestrator = Orchestrator(chain.providers, Timeouts(), clock=lambda: now[0])
    with pytest.raises(Unavailable) as caught:
        await chain.hear()
    assert [len(engine.requests) for engine in chain.engines] == [1, 1, 0]
    assert now[0] < 5.0
    assert caught.value.retry_after_s


def test_a_second_provider_gets_a_second_however_long_the_first_may_take():
    assert Timeouts().patience_s(3.0) == 4.8
    assert Timeouts().patience_s(20.0) == 21.0
    assert Timeouts(between_tokens_s=9.0).patience_s(3.0) == 10.0


async def test_one_that_recovers_is_asked_again_by_one_caller_first(caplog):
    now = [0.0]
    engines = {"one": breaking(Fault.CUT, 2), "two": saying(WHOLE)}
    chain = Chain(*engines.values())
    chain.providers = Providers(engines, clock=lambda: now[0])
    chain.orchestrator = Orchestrator(chain.providers, QUICK)
    for _ in range(FAILURES):
        await chain.hear()
    engines["one"]._model.reply = Reply(WHOLE)
    assert started(await chain.hear()) == ["two"]
    now[0] += REST_S
    with caplog.at_level(logging.INFO):
        assert started(await chain.hear()) == ["one"]
    [line] = [record for record in caplog.records if record.message == "provider recovered"]
    assert line.provider == "one"
    assert started(await chain.hear()) == ["one"]


async def test_the_error_when_all_are_down_says_when_to_try_again():
    chain = Chain(breaking(Fault.BROKEN, 0), breaking(Fault.CUT, 0))
    with pytest.raises(Unavailable) as caught:
        await chain.hear()
    assert caught.value.retry_after_s == 2.0


async def test_a_limited_provider_is_left_alone_for_as_long_as_it_says():
    chain = Chain(breaking(Fault.LIMITED, 0), saying(WHOLE))
    await chain.hear()
    await chain.hear()
    assert len(chain.engines[0].requests) == 1


async def test_the_end_of_the_callers_time_in_the_middle_is_a_failure_and_asks_nobody():
    chain = Chain(breaking(Fault.STALL, 2), saying("No."), timeouts=PATIENT)
    events = await chain.hear(budget_s=0.05)
    assert said(events) == "Hello you"
    assert isinstance(events[-1], Failed)
    assert isinstance(events[-1].error, OutOfTime)
    assert chain.engines[1].requests == []
    assert chain.providers.all[0].available


async def test_an_answer_without_a_word_is_asked_for_elsewhere():
    chain = Chain(saying(""), saying(WHOLE))
    events = await chain.hear()
    assert (said(events), started(events)) == (WHOLE, ["two"])
    assert isinstance(events[0], Switched)
    assert chain.providers.all[0].available


async def test_if_nobody_has_a_word_to_say_that_is_the_answer():
    chain = Chain(saying(""), breaking(Fault.BROKEN, 0), saying(""))
    events = await chain.hear()
    assert started(events) == ["three"]
    assert events[-1] == Done(Finish.STOP, USAGE + USAGE)


@pytest.mark.parametrize(
    "request_",
    [
        replace(REQUEST, already_written="Hello."),
        Request(
            messages=(
                USER,
                Message(role=Role.ASSISTANT, tool_calls=(ToolCall("c", "look", "{}"),)),
                Message(role=Role.TOOL, text="on", call_id="c"),
            )
        ),
    ],
)
async def test_nothing_may_be_the_answer_where_something_was_said_or_done(request_):
    chain = Chain(saying(""), saying("No."))
    events = await chain.hear(request_)
    assert [type(event) for event in events] == [Started, Done]


PARIS = '{"q": "paris"}'
CUT = Unavailable("cut")
DONE = Done(Finish.STOP, USAGE)


def calls(events):
    return [event for event in events if isinstance(event, ToolCall)]


async def test_calls_that_are_whole_are_the_answer_whatever_breaks_behind_them():
    one = Scripted(ToolCallDelta("c1", "look", PARIS), ToolCall("c1", "look", PARIS), CUT)
    chain = Chain(one, saying("No."))
    events = await chain.hear()
    assert calls(events) == [ToolCall("c1", "look", PARIS)]
    assert isinstance(events[-1], Done)
    assert chain.engines[1].requests == []
    for _ in range(FAILURES - 1):
        await chain.hear()
    assert not chain.providers.all[0].available


async def test_a_call_that_broke_is_made_again_under_the_id_that_was_told():
    one = Scripted(TextDelta("One moment."), ToolCallDelta("c1", "look", PARIS[:6]), CUT)
    again = ToolCallDelta("x9", "look", PARIS), ToolCall("x9", "look", PARIS), DONE
    chain = Chain(one, Scripted(*again))
    events = await chain.hear()
    [asked] = chain.engines[1].requests
    assert asked.tool_choice == ToolChoice(ToolMode.FUNCTION, "look")
    assert asked.already_written == "One moment."
    deltas = [event for event in events if isinstance(event, ToolCallDelta)]
    assert {delta.call_id for delta in deltas} == {"c1"}
    assert "".join(delta.arguments_json for delta in deltas) == PARIS
    assert calls(events) == [ToolCall("c1", "look", PARIS)]


async def test_a_call_that_is_not_made_again_is_a_failure():
    one = Scripted(ToolCallDelta("c1", "look", PARIS[:6]), CUT)
    chain = Chain(one, saying("I would rather talk."))
    events = await chain.hear()
    assert isinstance(events[-1], Failed)
    assert calls(events) == []
    assert chain.providers.all[1].available


async def test_nobody_goes_on_where_one_call_is_whole_and_another_is_not():
    one = Scripted(
        ToolCallDelta("c1", "look", PARIS),
        ToolCall("c1", "look", PARIS),
        ToolCallDelta("c2", "look", PARIS[:6]),
        CUT,
    )
    chain = Chain(one, saying("No."))
    assert isinstance((await chain.hear())[-1], Failed)
    assert chain.engines[1].requests == []
