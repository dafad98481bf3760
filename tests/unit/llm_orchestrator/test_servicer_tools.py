"""Server-side tools through the tier's own gRPC server: the caller sees only the answer."""

import asyncio
import json
from contextlib import asynccontextmanager

import grpc
import pytest

from llm_orchestrator.catalogue import Catalogue
from llm_orchestrator.engine import Done, Finish, Role, TextDelta, ToolCall, ToolCallDelta, Usage
from llm_orchestrator.orchestration import Orchestrator, Timeouts
from llm_orchestrator.providers import Providers
from llm_orchestrator.servicer import LlmServicer
from llm_orchestrator.tool_calls import Limits, Toolbox
from llm_orchestrator.tools import tool_of
from mesh.errors import Unavailable
from ovos.common.v1 import common_pb2
from ovos.llm.v1 import llm_pb2 as pb
from ovos.llm.v1 import llm_pb2_grpc
from tests.fakes.llm import FakeEngine, Model

METADATA = (("x-tenant-id", "acme"), ("x-session-id", "sess_1"))
DEADLINE_S = 30.0
FINISH = pb.GenerateRequest(finish=pb.FinishGeneration())
CANCEL = pb.GenerateRequest(cancel=pb.CancelGeneration())
USAGE = Usage(10, 2, 3)
MINE = pb.Tool(name="mine", parameters_json='{"type": "object"}')


class Scripted(FakeEngine):
    """Plays one list of news for each request; an error among them is raised."""

    def __init__(self, *rounds):
        super().__init__(Model(), "m1")
        self.rounds = list(rounds)

    async def generate(self, request):
        self.requests.append(request)
        for piece in self.rounds.pop(0):
            if isinstance(piece, Exception):
                raise piece
            yield piece


def calls(*made):
    """One message with calls: (id, name, arguments)."""
    for call_id, name, arguments in made:
        yield ToolCallDelta(call_id, name, "")
        yield ToolCallDelta(call_id, "", json.dumps(arguments))
    for call_id, name, arguments in made:
        yield ToolCall(call_id, name, json.dumps(arguments))
    yield Done(Finish.STOP, USAGE)


def says(*pieces):
    return [*map(TextDelta, pieces), Done(Finish.STOP, USAGE)]


async def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


def clock() -> str:
    return "noon"


@asynccontextmanager
async def serving(*engines, functions=(weather, clock), **limits):
    providers = Providers(dict(zip(("one", "two"), engines, strict=False)))
    servicer = LlmServicer(
        Orchestrator(providers, Timeouts()),
        Catalogue(providers),
        worker_id=lambda: "w_1",
        max_streams=2,
        toolbox=Toolbox([tool_of(f.__name__, f) for f in functions], Limits(**limits)),
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


async def begun(stub, **fields):
    fields.setdefault("messages", [pb.Message(role=pb.ROLE_USER, text="hi")])
    session = common_pb2.SessionRef(tenant_id="acme", session_id="sess_1")
    call = stub.Generate(metadata=METADATA, timeout=DEADLINE_S)
    config = pb.GenerationConfig(session=session, **fields)
    await call.write(pb.GenerateRequest(config=config))
    return call


async def hear(stub, **fields):
    call = await begun(stub, **fields)
    await call.write(FINISH)
    return [message async for message in call]


def kinds(messages):
    return [message.WhichOneof("payload") for message in messages]


async def test_the_caller_hears_the_answer_and_nothing_of_the_calls():
    asked = calls(("c1", "weather", {"city": "Rome"}), ("c2", "clock", {}))
    engine = Scripted([TextDelta("One moment."), *asked], says("It rains", " at noon."))
    async with serving(engine) as stub:
        messages = await hear(stub)
    assert set(kinds(messages)) == {"started", "text_delta", "completed"}
    done = messages[-1].completed
    assert done.text == "One moment. It rains at noon."  # two messages, read as one
    assert done.text == "".join(message.text_delta.text for message in messages)
    assert done.finish_reason == pb.FINISH_REASON_STOP
    assert (done.usage.input_tokens, done.usage.output_tokens) == (20, 6)
    first, second = engine.requests
    assert [tool.name for tool in first.tools] == ["weather", "clock"]
    said, rome, noon = second.messages[-3:]
    assert (said.role, said.text) == (Role.ASSISTANT, "One moment.")
    assert [call.call_id for call in said.tool_calls] == ["c1", "c2"]
    assert [(m.role, m.call_id, m.text) for m in (rome, noon)] == [
        (Role.TOOL, "c1", "rain in Rome"),
        (Role.TOOL, "c2", "noon"),
    ]


async def test_a_tool_that_fails_is_something_to_answer_to():
    engine = Scripted(calls(("c1", "weather", {"town": "Rome"})), says("I cannot tell."))
    async with serving(engine) as stub:
        messages = await hear(stub)
    assert messages[-1].completed.text == "I cannot tell."
    assert engine.requests[1].messages[-1].text.startswith("Error: ")


async def test_the_rounds_have_an_end():
    rounds = [calls((f"c{i}", "clock", {})) for i in range(3)]
    engine = Scripted(*rounds)
    async with serving(engine, max_rounds=2) as stub:
        messages = await hear(stub)
    assert [len(request.tools) for request in engine.requests] == [2, 2, 0]
    assert kinds(messages)[-2:] == ["error", "completed"]
    assert messages[-1].completed.finish_reason == pb.FINISH_REASON_FAILED
    assert "call" not in "".join(kinds(messages))
    again = Scripted(calls(("c1", "clock", {})), calls(("c2", "clock", {})), says("Noon."))
    async with serving(again, max_rounds=2) as stub:
        assert (await hear(stub))[-1].completed.text == "Noon."


async def test_a_clients_tool_of_the_same_name_is_the_clients():
    engine = Scripted(calls(("c1", "clock", {})))
    theirs = pb.Tool(name="clock", description="theirs", parameters_json='{"type": "object"}')
    async with serving(engine) as stub:
        messages = await hear(stub, tools=[theirs])
    assert "tool_call" in kinds(messages)
    assert [t.description for t in engine.requests[0].tools] == ["theirs", "Tell the weather."]


async def test_with_calls_of_both_ours_wait_for_the_clients_outputs():
    both = [("c1", "mine", {}), ("c2", "clock", {})]
    engine = Scripted(calls(*both), says("Done."))
    async with serving(engine) as stub:
        call = await begun(stub, tools=[MINE])
        while not (message := await call.read()).HasField("tool_call"):
            pass
        assert message.tool_call.name == "mine"
        output = pb.ToolOutput(call_id="c1", output="42")
        await call.write(pb.GenerateRequest(tool_output=output))
        while not (message := await call.read()).HasField("completed"):
            assert not message.HasField("tool_call")
    assert message.completed.text == "Done."
    results = [m.text for m in engine.requests[1].messages if m.role is Role.TOOL]
    assert results == ["42", "noon"]


async def test_with_calls_of_both_the_client_may_end_it_there():
    ran = []

    def clock():
        ran.append("clock")

    engine = Scripted(calls(("c1", "mine", {}), ("c2", "clock", {})))
    async with serving(engine, functions=(clock,)) as stub:
        messages = await hear(stub, tools=[MINE])
    assert [m.tool_call.name for m in messages if m.HasField("tool_call")] == ["mine"]
    assert messages[-1].completed.finish_reason == pb.FINISH_REASON_STOP
    assert ran == []


async def test_a_stop_ends_the_tools_at_once():
    running, ended = asyncio.Event(), asyncio.Event()

    async def wait():
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with serving(Scripted(calls(("c1", "wait", {}))), functions=(wait,)) as stub:
        async with asyncio.timeout(DEADLINE_S):
            call = await begun(stub)
            await running.wait()
            await call.write(CANCEL)
            await ended.wait()
            while not (message := await call.read()).HasField("completed"):
                pass
    assert message.completed.finish_reason == pb.FINISH_REASON_CANCELLED


async def test_after_a_tool_has_acted_a_failure_is_not_for_another_worker():
    engine = Scripted(calls(("c1", "clock", {})), [Unavailable("gone")])
    async with serving(engine) as stub:
        messages = await hear(stub)  # a status UNAVAILABLE would be tried again elsewhere
    assert messages[-1].completed.finish_reason == pb.FINISH_REASON_FAILED


async def test_results_are_given_to_whoever_goes_on():
    one = Scripted(
        calls(("c1", "weather", {"city": "Rome"})), [TextDelta("It rains"), Unavailable("cut")]
    )
    two = Scripted(says(" in Rome."))
    async with serving(one, two) as stub:
        messages = await hear(stub)
    assert messages[-1].completed.text == "It rains in Rome."
    assert two.requests[0].messages[-1].text == "rain in Rome"
    assert two.requests[0].already_written == "It rains"


@pytest.mark.parametrize("broken_at", [1, 2])
async def test_a_call_that_breaks_off_is_run_once(broken_at):
    ran = []

    def clock() -> str:
        ran.append("clock")
        return "noon"

    one = Scripted([*list(calls(("c1", "clock", {})))[:broken_at], Unavailable("cut")], says("No."))
    two = Scripted(calls(("x", "clock", {})), says("No."))
    one.rounds[1] = says("Noon.")
    async with serving(one, two, functions=(clock,)) as stub:
        messages = await hear(stub)
    assert ran == ["clock"]
    assert messages[-1].completed.text == "Noon."
    assert "tool_call" not in kinds(messages)
