import asyncio
import time
from contextlib import aclosing

import pytest

from llm_orchestrator import tokens
from llm_orchestrator.attempt import Limits, OutOfPatience, OutOfTime, Run
from llm_orchestrator.engine import Message, Request, Role, Usage
from llm_orchestrator.providers import Attempt, Providers
from mesh.breaker import FAILURES
from mesh.errors import TooSlow, Unavailable
from tests.fakes.llm import USAGE, FakeEngine, Fault, Model, Reply

REQUEST = Request(messages=(Message(role=Role.USER, text="hi"),))
SHORT, LONG = 0.02, 60.0


class Rig:
    def __init__(self, reply):
        self.engine = FakeEngine(Model(reply), "m1")
        [self.provider] = Providers({"one": self.engine}).all

    def run(self, *, first=LONG, between=LONG, patience=LONG, overall=LONG):
        now_s = time.monotonic()
        limits = Limits(
            first_token_s=first,
            between_tokens_s=between,
            patience_until_s=now_s + patience,
            until_s=now_s + overall,
        )
        return Run(Attempt(self.provider, "m9"), REQUEST, limits, time.monotonic)


async def hear(run):
    async with asyncio.timeout(10), aclosing(run.news()) as stream:
        return [news async for news in stream]


async def test_it_asks_for_the_model_of_the_attempt_and_has_the_usage():
    rig = Rig(Reply("Hello you."))
    run = rig.run()
    assert len(await hear(run)) == 3
    assert rig.engine.requests[0].model == "m9"
    assert run.usage == USAGE


@pytest.mark.parametrize(
    ("n_pieces", "limits", "kind", "blamed"),
    [
        (0, {"first": SHORT}, TooSlow, True),
        (0, {"patience": SHORT}, OutOfPatience, False),
        (0, {"overall": SHORT}, OutOfTime, False),
        (1, {"between": SHORT}, TooSlow, True),
        (1, {"overall": SHORT}, OutOfTime, False),
    ],
)
async def test_a_limit_blames_the_provider_only_for_its_own_silence(n_pieces, limits, kind, blamed):
    rig = Rig(Reply("Hello you.", fault=Fault.STALL, pieces_first=n_pieces))
    for _ in range(FAILURES):
        with pytest.raises(TooSlow) as caught:
            await hear(rig.run(**limits))
        assert type(caught.value) is kind
    assert rig.provider.available is not blamed
    assert rig.engine._model.hung_up.is_set()


async def test_an_answer_without_an_end_ends_with_the_time():
    rig = Rig(Reply("Hello you.", fault=Fault.ENDLESS, pieces_first=1))
    with pytest.raises(OutOfTime):
        await hear(rig.run(overall=0.1))
    assert rig.provider.available


async def test_patience_is_for_the_first_token():
    rig = Rig(Reply("Hello you.", fault=Fault.STALL, pieces_first=1))
    run = rig.run(patience=0.2)
    async with asyncio.timeout(10), aclosing(run.news()) as stream:
        await anext(stream)
        await asyncio.sleep(0.25)  # a caller that is slow to take it
        rig.engine._model.go_on.set()
        assert (await anext(stream)).text == " you."


@pytest.mark.parametrize("n_pieces", [0, 2])
async def test_what_broke_off_costs_what_was_read_and_written(n_pieces):
    rig = Rig(Reply("Hello you there.", fault=Fault.CUT, pieces_first=n_pieces))
    run = rig.run()
    with pytest.raises(Unavailable):
        await hear(run)
    written = Usage(tokens.of_request(REQUEST), 0, tokens.of_text("Hello you"))
    assert run.usage == (written if n_pieces else Usage())
