import asyncio

import pytest

from llm_orchestrator.engine import Message, Request, Role
from llm_orchestrator.orchestration import Ask, Orchestrator, Timeouts
from llm_orchestrator.providers import Providers
from llm_orchestrator.tool_calls import Toolbox
from llm_orchestrator.turn import Turn
from mesh.errors import Rejected
from ovos.llm.v1 import llm_pb2 as pb
from tests.fakes.llm import FakeEngine, Fault, Model, Reply

ASK = Ask(request=Request(messages=(Message(role=Role.USER, text="hi"),)))


@pytest.fixture
def model():
    return Model(Reply("Hello you there."))


@pytest.fixture
def sent():
    return []


@pytest.fixture
def turn(model, sent):
    async def send(response):
        sent.append(response)

    orchestrator = Orchestrator(Providers({"one": FakeEngine(model)}), Timeouts())
    return Turn(orchestrator, ASK, send, Toolbox(), worker_id="w_1")


def finish_of(sent):
    return sent[-1].completed.finish_reason


async def test_stopped_before_it_began_it_asks_nobody(turn, sent, model):
    turn.stop()
    await turn.run()
    assert [message.WhichOneof("payload") for message in sent] == ["completed"]
    assert finish_of(sent) == pb.FINISH_REASON_CANCELLED
    assert model.asked == 0


async def test_stopped_with_an_error_it_ends_with_that(turn, sent):
    turn.stop(Rejected("no"))
    turn.stop()  # the first reason counts
    with pytest.raises(Rejected):
        await turn.run()
    assert sent == []


async def test_stopped_while_it_writes_it_ends_after_that_message(model):
    sent = []

    async def send(response):
        sent.append(response)
        if response.WhichOneof("payload") == "text_delta":
            turn.stop()

    turn = Turn(
        Orchestrator(Providers({"one": FakeEngine(model)}), Timeouts()),
        ASK,
        send,
        Toolbox(),
        worker_id="",
    )
    await turn.run()
    assert sent[-1].completed.text == "Hello"
    assert finish_of(sent) == pb.FINISH_REASON_CANCELLED


async def test_stopped_while_it_waits_it_ends_at_once(turn, sent, model):
    model.reply = Reply("Hello.", fault=Fault.STALL)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(turn.run(), name="turn")
        await model.stalled.wait()
        turn.stop()
        await model.hung_up.wait()
    assert finish_of(sent) == pb.FINISH_REASON_CANCELLED


async def test_an_output_nobody_waits_for_changes_nothing(turn, sent):
    turn.output("call_x", "late")
    await turn.run()
    assert finish_of(sent) == pb.FINISH_REASON_STOP
