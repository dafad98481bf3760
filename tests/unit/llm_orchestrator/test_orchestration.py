import asyncio
import logging
from contextlib import aclosing
from dataclasses import replace

import pytest

from llm_orchestrator import tokens
from llm_orchestrator.engine import (
    Done,
    Message,
    Request,
    Role,
    TextDelta,
    Truncation,
    TruncationMode,
)
from llm_orchestrator.orchestration import (
    Ask,
    Orchestrator,
    OutOfTime,
    Started,
    Switched,
    Timeouts,
)
from llm_orchestrator.providers import Preference, Providers
from llm_orchestrator.truncation import too_long
from mesh.breaker import FAILURES
from mesh.errors import Overloaded, Rejected, TooSlow, Unavailable
from tests.fakes.llm import FakeEngine, Fault, Model, Reply

ASK = Ask(request=Request(messages=(Message(role=Role.USER, text="hi"),)))
QUICK = Timeouts(first_token_s=0.05, between_tokens_s=0.05, overall_s=5.0)


class Chain:
    """Two fake providers, `one` before `two`, and who orchestrates them."""

    def __init__(self, first, second, timeouts=QUICK):
        self.one, self.two = Model(first), Model(second)
        self.engines = {"one": FakeEngine(self.one, "m1"), "two": FakeEngine(self.two, "m2")}
        self.providers = Providers(self.engines)
        self.orchestrator = Orchestrator(self.providers, timeouts)

    async def hear(self, ask=ASK):
        async with asyncio.timeout(10), aclosing(self.orchestrator.answer(ask)) as events:
            return [event async for event in events]


def said(events):
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_what_repeats_what_was_written_counts_as_a_token_and_is_not_told():
    repeating = Reply("Hello you there.", fault=Fault.STALL, pieces_first=2)
    chain = Chain(repeating, Reply("Hello you there."))
    request = replace(ASK.request, already_written="Hello you")
    started, switched, again, *rest = await chain.hear(replace(ASK, request=request))
    assert started == Started(Preference("one", "m1"))  # it was silent, but had begun
    assert isinstance(switched, Switched)
    assert again == Started(Preference("two", "m2"))
    assert said(rest) == " there."


async def test_the_first_provider_answers():
    chain = Chain(Reply("Hello you."), Reply("No."))
    events = await chain.hear()
    assert events[0] == Started(Preference("one", "m1"))
    assert said(events) == "Hello you."
    assert isinstance(events[-1], Done)
    assert chain.two.asked == 0


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.BROKEN, Unavailable),
        (Fault.LIMITED, Overloaded),
        (Fault.STALL, TooSlow),
        (Fault.BAD_REQUEST, Rejected),
    ],
)
async def test_the_next_one_takes_over_before_the_first_token(fault, kind):
    chain = Chain(Reply(fault=fault), Reply("Hello."))
    switched, started, *rest = await chain.hear()
    assert isinstance(switched, Switched)
    assert (switched.provider, switched.to) == ("one", "two")
    assert isinstance(switched.error, kind)
    assert started == Started(Preference("two", "m2"))
    assert said(rest) == "Hello."


async def test_a_provider_that_is_given_up_is_hung_up_on():
    chain = Chain(Reply("Hi.", fault=Fault.STALL), Reply("Hello."))
    await chain.hear()
    assert chain.one.hung_up.is_set()


async def test_a_request_can_bring_its_own_patience():
    slow = Timeouts(first_token_s=60.0)
    chain = Chain(Reply("Hi.", fault=Fault.STALL), Reply("Hello."), slow)
    ask = Ask(request=ASK.request, first_token_s=0.05)
    assert said(await chain.hear(ask)) == "Hello."


async def test_when_all_fail_the_error_names_them_all_and_the_shortest_wait():
    chain = Chain(Reply(fault=Fault.BROKEN), Reply(fault=Fault.LIMITED))
    with pytest.raises(Unavailable, match=r"500.*429") as caught:
        await chain.hear()
    assert caught.value.retry_after_s == 7.0


async def test_when_all_refuse_the_request_trying_again_cannot_help():
    chain = Chain(Reply(fault=Fault.BAD_REQUEST), Reply(fault=Fault.BAD_REQUEST))
    with pytest.raises(Rejected):
        await chain.hear()


async def test_a_provider_that_rests_is_not_asked():
    chain = Chain(Reply(fault=Fault.BROKEN), Reply("Hello."))
    for _ in range(FAILURES):
        await chain.hear()
    events = await chain.hear()
    assert isinstance(events[0], Started)
    assert chain.one.asked == FAILURES


async def test_failures_in_the_middle_make_it_rest_too():
    chain = Chain(Reply("a b", fault=Fault.CUT, pieces_first=1), Reply("Hello."))
    for _ in range(FAILURES):
        assert chain.providers.all[0].available
        await chain.hear()
    assert not chain.providers.all[0].available
    assert said(await chain.hear()) == "Hello."


async def test_an_answer_to_its_end_clears_earlier_failures():
    chain = Chain(Reply(fault=Fault.BROKEN), Reply("Hello."))
    for _ in range(2):
        for _ in range(FAILURES - 1):
            await chain.hear()
        chain.one.reply = Reply("Hi.")
        await chain.hear()
        chain.one.reply = Reply(fault=Fault.BROKEN)
    assert chain.providers.all[0].available


async def test_preferences_choose_provider_and_model():
    chain = Chain(Reply("One."), Reply("Two."))
    ask = Ask(request=ASK.request, preferences=(Preference("two", "m9"),))
    events = await chain.hear(ask)
    assert events[0] == Started(Preference("two", "m9"))
    assert chain.engines["two"].requests[0].model == "m9"


async def test_the_callers_time_ends_it_and_blames_no_provider():
    chain = Chain(Reply(fault=Fault.STALL), Reply("Hello."), Timeouts())
    for _ in range(FAILURES + 1):
        with pytest.raises(OutOfTime):
            await chain.hear(Ask(request=ASK.request, budget_s=0.02))
    assert chain.providers.all[0].available
    assert chain.two.asked == 0


async def test_stopping_closes_the_call_and_blames_no_provider():
    chain = Chain(Reply("a b", fault=Fault.STALL, pieces_first=1), Reply("Hello."), Timeouts())
    async with asyncio.timeout(10):
        async with aclosing(chain.orchestrator.answer(ASK)) as events:
            assert isinstance(await anext(events), Started)
        await chain.one.hung_up.wait()
    assert chain.providers.all[0].available


class Raising(FakeEngine):
    async def generate(self, request):
        raise KeyError("what was said")
        yield


async def test_what_a_library_raises_moves_on_and_logs_no_words(caplog):
    chain = Chain(Reply("One."), Reply("Hello."))
    chain.providers.all[0].engine = Raising(Model())
    with caplog.at_level(logging.DEBUG):
        events = await chain.hear()
    assert said(events) == "Hello."
    assert "KeyError" in str([vars(record) for record in caplog.records])
    assert "what was said" not in str([vars(record) for record in caplog.records])


LONG = tuple(
    Message(role=role, text=f"{i} " + "word " * 200)
    for i in range(50)
    for role in (Role.USER, Role.ASSISTANT)
)  # 26,000 tokens


def asking(mode, messages=LONG):
    return Ask(request=Request(messages=messages, truncation=Truncation(mode=mode)))


async def test_each_provider_is_given_what_it_can_read():
    chain = Chain(Reply(fault=Fault.BROKEN), Reply("Hello."))
    chain.engines["two"].context_tokens = 8000
    await chain.hear(asking(TruncationMode.AUTO))
    sent = [chain.engines[name].requests[0].messages for name in ("one", "two")]
    assert sent[0] == LONG
    assert sent[1] == LONG[-len(sent[1]) :]
    assert 10 < len(sent[1]) < 50


async def test_too_long_without_truncation_is_refused_before_anybody_is_asked():
    chain = Chain(Reply("No."), Reply("No."))
    chain.engines["one"].context_tokens, chain.engines["two"].context_tokens = 16_000, 8000
    with pytest.raises(Rejected, match=r"too long for the model.*at most 14976") as caught:
        await chain.hear(asking(TruncationMode.DISABLED))
    assert (caught.value.param, caught.value.code) == ("truncation", "context_length_exceeded")
    assert (chain.one.asked, chain.two.asked) == (0, 0)


class Small(FakeEngine):
    """Reads less than it is said to."""

    most = 8000

    async def generate(self, request):
        if tokens.of_request(request) > self.most:
            self.requests.append(request)
            raise too_long("too long")
        async for news in super().generate(request):
            yield news


async def test_a_model_that_reads_less_than_its_setting_says_is_given_less():
    chain = Chain(Reply("Hello."), Reply("No."))
    small = chain.providers.all[0].engine = Small(chain.one)
    events = await chain.hear(asking(TruncationMode.AUTO))
    assert said(events) == "Hello."
    assert not [event for event in events if isinstance(event, Switched)]
    assert [len(request.messages) for request in small.requests] == sorted(
        (len(request.messages) for request in small.requests), reverse=True
    )
    assert 2 <= len(small.requests) <= 4


@pytest.mark.parametrize(
    ("mode", "messages", "asked"),
    [(TruncationMode.DISABLED, LONG, 1), (TruncationMode.AUTO, LONG[-2:-1], 1)],
)
async def test_it_is_not_given_less_where_that_is_not_wanted_or_cannot_help(mode, messages, asked):
    chain = Chain(Reply("No."), Reply(fault=Fault.BAD_REQUEST))
    small = chain.providers.all[0].engine = Small(chain.one)
    small.most = 0
    with pytest.raises(Rejected) as caught:
        await chain.hear(asking(mode, messages))
    assert caught.value.code == "context_length_exceeded"
    assert len(small.requests) == asked


async def test_when_all_fail_the_error_has_the_first_code_there_is():
    chain = Chain(Reply(fault=Fault.BROKEN), Reply(fault=Fault.LIMITED))
    with pytest.raises(Unavailable) as caught:
        await chain.hear()
    assert caught.value.code == "rate_limit_exceeded"
