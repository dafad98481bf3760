import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest

from llm_orchestrator.catalogue import Catalogue
from llm_orchestrator.engine import Finish, Role, ToolCall, ToolMode, Usage
from llm_orchestrator.orchestration import Orchestrator, Timeouts
from llm_orchestrator.providers import Providers
from llm_orchestrator.servicer import LlmServicer
from mesh.errors import Stale, from_rpc
from ovos.common.v1 import common_pb2
from ovos.llm.v1 import llm_pb2 as pb
from ovos.llm.v1 import llm_pb2_grpc
from tests.fakes.llm import FakeEngine, Fault, Model, Reply

METADATA = (("x-tenant-id", "acme"), ("x-session-id", "sess_1"))
DEADLINE_S = 30.0

USER = pb.Message(role=pb.ROLE_USER, text="hi")
WEATHER = pb.Tool(name="get_weather", parameters_json='{"type": "object"}')
PARIS = ToolCall("call_1", "get_weather", '{"location": "paris"}')
ROME = ToolCall("call_2", "get_weather", '{"location": "rome"}')


class Mesh:
    """The tier on a real server, with two fake providers behind it."""

    def __init__(self, stub, servicer, one, two):
        self.stub, self.servicer, self.one, self.two = stub, servicer, one, two
        self.first, self.second = one._model, two._model

    @asynccontextmanager
    async def call(self, **config):
        """A response that has been asked for."""
        call = self.stub.Generate(metadata=METADATA, timeout=DEADLINE_S)
        try:
            await call.write(pb.GenerateRequest(config=configured(**config)))
            yield call
        finally:
            call.cancel()

    async def hear(self, **config):
        """All messages of one response without tool output."""
        async with self.call(**config) as call:
            await call.write(FINISH)
            return await remaining(call)


async def remaining(call):
    """What still comes; mixing `read` and `async for` on one call is not allowed."""
    messages = []
    while (message := await call.read()) is not grpc.aio.EOF:
        messages.append(message)
    if await call.code() is not grpc.StatusCode.OK:
        raise grpc.aio.AioRpcError(
            await call.code(), grpc.aio.Metadata(), await call.trailing_metadata()
        )
    return messages


FINISH = pb.GenerateRequest(finish=pb.FinishGeneration())
CANCEL = pb.GenerateRequest(cancel=pb.CancelGeneration(reason="barge_in"))


def configured(**fields):
    fields.setdefault("messages", [USER])
    fields.setdefault("session", common_pb2.SessionRef(tenant_id="acme", session_id="sess_1"))
    return pb.GenerationConfig(**fields)


def output(call_id, text):
    return pb.GenerateRequest(tool_output=pb.ToolOutput(call_id=call_id, output=text))


@pytest.fixture
async def mesh():
    one, two = FakeEngine(Model(), "m1"), FakeEngine(Model(), "m2")
    providers = Providers({"one": one, "two": two})
    servicer = LlmServicer(
        Orchestrator(providers, Timeouts(first_token_s=2.0)),
        Catalogue(providers),
        worker_id=lambda: "w_1",
        max_streams=2,
    )
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    llm_pb2_grpc.add_LlmOrchestratorServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = llm_pb2_grpc.LlmOrchestratorServiceStub(channel)
        async with asyncio.timeout(DEADLINE_S):
            yield Mesh(stub, servicer, one, two)
    await server.stop(None)


def kinds(messages):
    return [message.WhichOneof("payload") for message in messages]


async def test_a_response_from_config_to_completed(mesh):
    mesh.first.reply = Reply("Hello you there.", usage=Usage(5, 2, 3))
    messages = await mesh.hear()
    assert kinds(messages) == ["started", *["text_delta"] * 3, "completed"]
    assert messages[0].started.worker_id == "w_1"
    assert messages[0].started.model == pb.ModelPreference(provider="one", model="m1")
    deltas = [message.text_delta for message in messages[1:-1]]
    assert "".join(delta.text for delta in deltas) == "Hello you there."
    assert [delta.sequence for delta in deltas] == [1, 2, 3]
    done = messages[-1].completed
    assert (done.finish_reason, done.text) == (pb.FINISH_REASON_STOP, "Hello you there.")
    assert (done.usage.input_tokens, done.usage.cached_input_tokens) == (5, 2)
    assert done.usage.output_tokens == 3
    assert done.model.provider == "one"
    assert done.HasField("time_to_first_token")


async def test_it_needs_no_finish_when_no_tool_was_called(mesh):
    async with mesh.call() as call:
        assert kinds(await remaining(call))[-1] == "completed"


async def test_the_token_limit_and_the_filter_are_told(mesh):
    mesh.first.reply = Reply("a b c d")
    done = (await mesh.hear(max_output_tokens=2))[-1].completed
    assert (done.finish_reason, done.text) == (pb.FINISH_REASON_LENGTH, "a b")
    mesh.first.reply = Reply("a", finish=Finish.CONTENT_FILTER)
    done = (await mesh.hear())[-1].completed
    assert done.finish_reason == pb.FINISH_REASON_CONTENT_FILTER


async def test_calls_side_by_side_come_whole(mesh):
    mesh.first.reply = Reply(calls=(PARIS, ROME))
    messages = await mesh.hear(tools=[WEATHER])
    assert [m.tool_call.arguments_json for m in messages if m.HasField("tool_call")] == [
        PARIS.arguments_json,
        ROME.arguments_json,
    ]
    assert messages[-1].completed.finish_reason == pb.FINISH_REASON_STOP


async def test_tool_outputs_on_the_stream_continue_the_response(mesh):
    mesh.first.reply = Reply(calls=(PARIS, ROME), usage=Usage(5, 0, 3))
    async with mesh.call(
        tools=[WEATHER], tool_choice=pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_REQUIRED)
    ) as call:
        messages = [await call.read() for _ in range(5)]
        assert kinds(messages) == [
            "started", "tool_call_delta", "tool_call", "tool_call_delta", "tool_call"
        ]  # fmt: skip
        mesh.first.reply = Reply("Both sunny.", usage=Usage(9, 0, 2))
        await call.write(output("call_2", "sunny there"))
        await call.write(output("call_1", "sunny here"))
        rest = await remaining(call)
    done = rest[-1].completed
    assert (done.finish_reason, done.text) == (pb.FINISH_REASON_STOP, "Both sunny.")
    assert (done.usage.input_tokens, done.usage.output_tokens) == (14, 5)
    request = mesh.one.requests[1]
    assert [m.role for m in request.messages[-3:]] == [Role.ASSISTANT, Role.TOOL, Role.TOOL]
    assert [m.text for m in request.messages[-2:]] == ["sunny here", "sunny there"]
    assert request.tool_choice.mode is ToolMode.AUTO  # or it would have to call for ever


async def test_finish_instead_of_outputs_ends_the_response(mesh):
    mesh.first.reply = Reply(calls=(PARIS,))
    async with mesh.call(tools=[WEATHER]) as call:
        while (await call.read()).WhichOneof("payload") != "tool_call":
            pass
        await call.write(FINISH)
        assert (await call.read()).completed.finish_reason == pb.FINISH_REASON_STOP
    assert mesh.first.asked == 1


@pytest.mark.parametrize("finished", [False, True])
async def test_cancel_closes_the_providers_call_and_completes(mesh, finished):
    mesh.first.reply = Reply("Hello you there.", fault=Fault.STALL, pieces_first=2)
    async with mesh.call() as call:
        if finished:
            await call.write(FINISH)
        await mesh.first.stalled.wait()
        await call.write(CANCEL)
        done = (await remaining(call))[-1].completed
        assert (done.finish_reason, done.text) == (pb.FINISH_REASON_CANCELLED, "Hello you")
        assert await call.code() == grpc.StatusCode.OK
    await mesh.first.hung_up.wait()


async def test_cancel_before_the_first_token(mesh):
    mesh.first.reply = Reply("Hello.", fault=Fault.STALL)
    async with mesh.call() as call:
        await mesh.first.stalled.wait()
        await call.write(CANCEL)
        [done] = [message.completed for message in await remaining(call)]
    assert done.finish_reason == pb.FINISH_REASON_CANCELLED
    assert not done.HasField("time_to_first_token")
    assert mesh.second.asked == 0


async def test_cancel_while_tool_outputs_are_due(mesh):
    mesh.first.reply = Reply(calls=(PARIS,))
    async with mesh.call(tools=[WEATHER]) as call:
        while (await call.read()).WhichOneof("payload") != "tool_call":
            pass
        await call.write(CANCEL)
        assert (await call.read()).completed.finish_reason == pb.FINISH_REASON_CANCELLED


async def test_a_caller_that_hangs_up_ends_the_providers_call(mesh):
    mesh.first.reply = Reply("Hello.", fault=Fault.STALL)
    async with mesh.call():
        await mesh.first.stalled.wait()
    await mesh.first.hung_up.wait()
    while mesh.servicer.load().active_streams:
        await asyncio.sleep(0)


async def test_a_stream_that_ends_without_finish_is_discarded(mesh):
    mesh.first.reply = Reply("Hello.", fault=Fault.STALL)
    async with mesh.call() as call:
        await mesh.first.stalled.wait()
        await call.done_writing()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await remaining(call)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    await mesh.first.hung_up.wait()


async def test_a_switch_of_provider_is_told_and_the_response_goes_on(mesh):
    mesh.first.reply = Reply(fault=Fault.LIMITED)
    mesh.second.reply = Reply("Hello.")
    messages = await mesh.hear()
    assert kinds(messages) == ["error", "started", "text_delta", "completed"]
    error = messages[0].error
    assert error.retryable
    assert error.metadata["provider"] == "one"
    assert error.metadata["provider_code"] == "rate_limit_exceeded"
    assert messages[-1].completed.model.provider == "two"


async def test_the_next_provider_finishes_the_sentence_in_the_same_stream(mesh):
    mesh.first.reply = Reply("Hello you there.", fault=Fault.CUT, pieces_first=2)
    mesh.second.reply = Reply("Hello you there.", usage=Usage(20, 0, 4))
    messages = await mesh.hear()
    assert kinds(messages) == [
        *("started", "text_delta", "text_delta", "error", "started", "text_delta", "completed")
    ]
    assert messages[3].error.retryable
    assert messages[3].error.metadata["next_provider"] == "two"
    deltas = [m.text_delta for m in messages if m.HasField("text_delta")]
    assert [delta.text for delta in deltas] == ["Hello", " you", " there."]
    assert [delta.sequence for delta in deltas] == [1, 2, 3]
    done = messages[-1].completed
    assert (done.finish_reason, done.text) == (pb.FINISH_REASON_STOP, "Hello you there.")
    assert done.model.provider == "two"
    assert done.usage.output_tokens > 4


async def test_a_failure_in_the_middle_of_the_last_one_completes_as_failed(mesh):
    mesh.first.reply = Reply("Hello you.", fault=Fault.CUT, pieces_first=1)
    mesh.second.reply = Reply(fault=Fault.BROKEN)
    messages = await mesh.hear()
    assert kinds(messages) == [
        *("started", "text_delta", "error", "error", "started", "error", "completed")
    ]
    assert messages[-2].error.code == common_pb2.ERROR_CODE_UPSTREAM_FAILED
    assert messages[-1].completed.finish_reason == pb.FINISH_REASON_FAILED
    assert messages[-1].completed.text == "Hello"


async def test_a_failure_after_tool_outputs_completes_as_failed(mesh):
    mesh.first.reply = Reply(calls=(PARIS,))
    async with mesh.call(tools=[WEATHER]) as call:
        while (await call.read()).WhichOneof("payload") != "tool_call":
            pass
        mesh.first.reply = mesh.second.reply = Reply(fault=Fault.BROKEN)
        await call.write(output("call_1", "sunny"))
        rest = await remaining(call)
    assert kinds(rest) == ["error", "error", "completed"]
    assert rest[-1].completed.finish_reason == pb.FINISH_REASON_FAILED


async def failing(mesh, **config):
    """The status of a response that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.hear(**config)
    return caught.value


async def test_when_all_fail_before_a_token_the_status_says_so(mesh):
    mesh.first.reply = Reply(fault=Fault.BROKEN)
    mesh.second.reply = Reply(fault=Fault.LIMITED)
    error = await failing(mesh)
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    ours = from_rpc(error, "llm")
    assert ours.retryable
    assert ours.retry_after_s == 7.0
    assert ours.code == "rate_limit_exceeded"


async def test_a_conversation_that_is_too_long_is_invalid_and_says_how_long(mesh):
    mesh.one.context_tokens = mesh.two.context_tokens = 1000
    long = pb.Message(role=pb.ROLE_USER, text="word " * 2000)
    rule = pb.Truncation(mode=pb.TRUNCATION_MODE_DISABLED)
    ours = from_rpc(await failing(mesh, messages=[long], truncation=rule), "llm")
    assert (ours.param, ours.code) == ("truncation", "context_length_exceeded")
    assert ours.detail.endswith("2504 tokens of at most 750")


async def test_a_request_that_all_refuse_is_invalid(mesh):
    mesh.first.reply = mesh.second.reply = Reply(fault=Fault.BAD_REQUEST)
    assert (await failing(mesh)).code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("config", "param"),
    [
        ({"temperature": 9.0}, "temperature"),
        ({"models": [pb.ModelPreference(provider="nobody")]}, "models"),
        ({"session": common_pb2.SessionRef(tenant_id="other")}, "session.tenant_id"),
    ],
)
async def test_mistakes_are_named(mesh, config, param):
    error = await failing(mesh, **config)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert from_rpc(error, "llm").param == param


async def test_config_comes_once_and_first(mesh):
    for messages in ([FINISH], [pb.GenerateRequest(config=configured())] * 2):
        mesh.first.reply = Reply("Hi.", fault=Fault.STALL)
        call = mesh.stub.Generate(metadata=METADATA, timeout=DEADLINE_S)
        for message in messages:
            await call.write(message)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await remaining(call)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("metadata", "deadline_s", "code"),
    [
        ((), DEADLINE_S, grpc.StatusCode.UNAUTHENTICATED),
        (METADATA, None, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_a_call_names_its_tenant_and_its_deadline(mesh, metadata, deadline_s, code):
    call = mesh.stub.Generate(metadata=metadata, timeout=deadline_s)
    assert await call.code() == code


async def test_full_means_full(mesh):
    mesh.first.reply = Reply("Hi.", fault=Fault.STALL)
    async with mesh.call(), mesh.call():
        while mesh.first.asked < 2:
            await mesh.first.stalled.wait()
            await asyncio.sleep(0)
        assert mesh.servicer.load().active_streams == 2
        error = await failing(mesh)
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_later_attempt_replaces_the_running_one_and_an_earlier_one_is_refused(mesh):
    mesh.first.reply = Reply("Hi.", fault=Fault.STALL)

    def attempt(number):
        session = common_pb2.SessionRef(tenant_id="acme", attempt=number)
        return {"session": session, "response_id": "resp_1"}

    async with mesh.call(**attempt(1)) as first:
        await mesh.first.stalled.wait()
        mesh.first.reply = Reply("Hello.", fault=Fault.STALL)
        mesh.first.stalled.clear()
        async with mesh.call(**attempt(2)) as second:
            assert await first.code() == grpc.StatusCode.ABORTED
            await mesh.first.stalled.wait()
            for late in (1, 2):
                error = await failing(mesh, **attempt(late))
                assert isinstance(from_rpc(error, "llm"), Stale)
            await second.write(CANCEL)
            assert (await remaining(second))[-1].HasField("completed")


async def test_the_style_hint_reaches_the_provider(mesh):
    mesh.servicer._style_hint = "Speak."
    await mesh.hear(instructions="Be brief.")
    assert mesh.one.requests[0].instructions == "Speak.\n\nBe brief."


async def test_models_of_all_providers_are_listed_in_order(mesh):
    listed = await mesh.stub.ListModels(
        pb.ListModelsRequest(), metadata=METADATA, timeout=DEADLINE_S
    )
    assert [(m.model.provider, m.model.model, m.available) for m in listed.models] == [
        ("one", "m1", True),
        ("two", "m2", True),
    ]
