"""An answer that broke, gone on with through the real servicer."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_orchestrator.catalogue import Catalogue
from llm_orchestrator.engine import Role, ToolCall
from llm_orchestrator.engines.offline.engine import OfflineEngine
from llm_orchestrator.orchestration import Orchestrator, Timeouts
from llm_orchestrator.providers import Providers
from llm_orchestrator.servicer import LlmServicer
from ovos.common.v1 import common_pb2
from ovos.llm.v1 import llm_pb2 as pb
from ovos.llm.v1 import llm_pb2_grpc
from tests.fakes.llm import FakeEngine, Fault, Model, Reply

METADATA = (("x-tenant-id", "acme"), ("x-session-id", "sess_1"))
BEGUN = datetime(2026, 11, 23, 10, 41, 59, tzinfo=UTC)

QUESTIONS = [
    "what time is it",
    "what is seven times eight",
    "hello",
    "say no no no no no",
    "It is. It is.  It is,  ten\nforty",
    "日本語で話してください",
]


@asynccontextmanager
async def serving(**engines):
    providers = Providers(engines)
    servicer = LlmServicer(
        Orchestrator(providers, Timeouts(first_token_s=20.0, between_tokens_s=20.0)),
        Catalogue(providers),
        worker_id=lambda: "w_1",
        max_streams=2,
    )
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    llm_pb2_grpc.add_LlmOrchestratorServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield llm_pb2_grpc.LlmOrchestratorServiceStub(channel)
    finally:
        await server.stop(None)


async def hear(stub, text, written="", **config):
    """The text that comes, and `completed`."""
    call = stub.Generate(metadata=METADATA, timeout=30)
    config = pb.GenerationConfig(
        session=common_pb2.SessionRef(tenant_id="acme", session_id="sess_1"),
        messages=[pb.Message(role=pb.ROLE_USER, text=text)],
        already_written=written,
        **config,
    )
    await call.write(pb.GenerateRequest(config=config))
    await call.write(pb.GenerateRequest(finish=pb.FinishGeneration()))
    messages = [message async for message in call]
    new = "".join(message.text_delta.text for message in messages)
    assert messages[-1].completed.text == new
    return new, messages[-1].completed


@pytest.mark.parametrize("limit", [0, 5])
@pytest.mark.parametrize("question", QUESTIONS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_wherever_an_answer_breaks_the_rest_makes_it_whole(question, limit, data):
    async def go_on():
        now = [BEGUN]
        async with serving(offline=OfflineEngine(now=lambda: now[0])) as stub:
            whole, done = await hear(stub, question, max_output_tokens=limit)
            for cut in data.draw(st.lists(st.integers(0, len(whole)), min_size=3, max_size=8)):
                # Until the sentence has said the minute, a minute that changes is no matter.
                now[0] = BEGUN + timedelta(minutes=3 if "forty one" in whole[:cut] else 0)
                new, end = await hear(stub, question, whole[:cut], max_output_tokens=limit)
                assert whole[:cut] + new == whole
                assert end.finish_reason == done.finish_reason

    asyncio.run(go_on())


async def test_a_model_that_repeats_for_long_is_not_taken_for_silent():
    model = Model(Reply("one two three four five", fault=Fault.STALL, pieces_first=4))
    async with serving(fake=FakeEngine(model)) as stub, asyncio.TaskGroup() as tasks:
        hearing = tasks.create_task(hear(stub, "count", "one two three four"), name="hear")
        await model.stalled.wait()
        model.go_on.set()
        new, done = await hearing
    assert (new, done.finish_reason) == (" five", pb.FINISH_REASON_STOP)


async def test_a_break_while_it_repeats_sends_nothing_and_can_be_tried_elsewhere():
    model = Model(Reply("one two three four five", fault=Fault.CUT, pieces_first=2))
    async with serving(fake=FakeEngine(model)) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await hear(stub, "count", "one two three")
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_the_next_provider_goes_on_with_it_too():
    first, second = Model(Reply(fault=Fault.LIMITED)), Model(Reply("One two three."))
    async with serving(one=FakeEngine(first), two=FakeEngine(second)) as stub:
        assert (await hear(stub, "count", "One two"))[0] == " three."


async def test_text_before_a_call_is_part_of_what_was_said():
    model = Model(Reply(calls=(ToolCall("call_1", "look", "{}"),)))
    engine = FakeEngine(model)
    async with serving(fake=engine) as stub:
        call = stub.Generate(metadata=METADATA, timeout=30)
        config = pb.GenerationConfig(
            session=common_pb2.SessionRef(tenant_id="acme", session_id="sess_1"),
            messages=[pb.Message(role=pb.ROLE_USER, text="look")],
            tools=[pb.Tool(name="look")],
            already_written="One moment.",
        )
        await call.write(pb.GenerateRequest(config=config))
        while not (await call.read()).HasField("tool_call"):
            pass
        model.reply = Reply("One moment.")
        output = pb.ToolOutput(call_id="call_1", output="seen")
        await call.write(pb.GenerateRequest(tool_output=output))
        while not (message := await call.read()).HasField("completed"):
            pass
    # The second request is a new message: what it says is new.
    assert message.completed.text == "One moment."
    said, result = engine.requests[1].messages[-2:]
    assert (said.role, said.text, result.text) == (Role.ASSISTANT, "One moment.", "seen")
    assert engine.requests[1].already_written == ""
