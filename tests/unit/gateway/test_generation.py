from __future__ import annotations

import pytest

from gateway.backends import Profile
from gateway.generation import generation
from gateway.realtime.effects import Line, StartReply
from gateway.realtime.items import (
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    InputText,
    Item,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpTools,
    Message,
)
from gateway.realtime.settings import Retention, TokenLimits, Tool
from mesh import log as logs
from ovos.llm.v1 import llm_pb2 as llm


def asked(*lines: Line, profile: Profile | None = None, **fields: object) -> llm.GenerationConfig:
    start = StartReply("resp_1", "Be kind.", lines, **fields)  # type: ignore[arg-type]
    with logs.bound(tenant_id="acme", session_id="sess_1"):
        return generation(start, profile or Profile())


def line(item: Item, text: str = "", *images: InputImage) -> Line:
    return Line(item, text, images)


def test_whose_response_it_is():
    config = asked()
    assert (config.session.tenant_id, config.session.session_id) == ("acme", "sess_1")
    assert (config.response_id, config.instructions) == ("resp_1", "Be kind.")


def test_words_and_pictures():
    item = Message("i", "user", (InputText("what is this?"), InputImage("data:…", "low")))
    [message] = asked(line(item, "what is this?", InputImage("data:…", "low"))).messages
    assert (message.role, message.text, message.item_id) == (llm.ROLE_USER, "what is this?", "i")
    assert list(message.images) == [llm.Image(url="data:…", detail="low")]


def test_calls_and_their_results():
    call, output = FunctionCall("i", "f", "c", "{}"), FunctionCallOutput("o", "c", "21")
    made, result = asked(line(call), line(output)).messages
    assert made.tool_calls[0] == llm.ToolCall(call_id="c", name="f", arguments_json="{}")
    assert (result.role, result.text, result.call_id) == (llm.ROLE_TOOL, "21", "c")


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"output": "3 hits"}, "3 hits"), ({"error": {"message": "gone"}}, "Error: gone")],
)
def test_a_call_of_a_server_comes_with_its_result(fields, said):
    made, result = asked(line(McpCall("m", "docs", "search", "{}", **fields))).messages
    assert made.tool_calls[0].name == "search"
    assert made.tool_calls[0].call_id == result.call_id
    assert result.text == said


def test_names_of_a_servers_tools_are_such_as_models_take():
    made, _ = asked(line(McpCall("m", "docs", "search docs/all", "{}", output="x"))).messages
    assert made.tool_calls[0].name == "search_docs_all"


def test_a_call_that_was_not_approved_comes_with_why_it_was_not_made():
    request = McpApprovalRequest("r", "docs", "search", '{"q":1}')
    made, result = asked(line(request, "The user did not approve this call.")).messages
    assert made.tool_calls[0].arguments_json == '{"q":1}'
    assert (result.call_id, result.text) == ("r", "The user did not approve this call.")


def test_what_only_the_client_needs_is_left_out():
    assert not asked(line(McpApprovalRequest("r", "docs", "search", "{}"))).messages
    assert not asked(line(McpApprovalResponse("a", "r", True))).messages
    assert not asked(line(McpTools("l", "docs"))).messages


def test_tools_and_limits():
    config = asked(
        tools=(Tool("f", "finds", {"maxItems": 5}),),
        tool_choice={"type": "function", "name": "f"},
        max_output_tokens=7,
        parallel_tool_calls=False,
        reasoning_effort="low",
        temperature=0.5,
    )
    assert config.tools[0].parameters_json == '{"maxItems": 5}'
    assert config.tool_choice.name == "f"
    assert config.max_output_tokens == 7
    assert config.HasField("parallel_tool_calls")
    assert not config.parallel_tool_calls
    assert config.reasoning_effort == "low"
    assert config.temperature == 0.5


def test_what_nobody_set_is_left_to_the_model():
    config = asked()
    assert not config.HasField("parallel_tool_calls")
    assert not config.HasField("temperature")
    assert config.reasoning_effort == ""


@pytest.mark.parametrize(
    ("truncation", "wire"),
    [
        ("auto", llm.Truncation(mode=llm.TRUNCATION_MODE_AUTO)),
        ("disabled", llm.Truncation(mode=llm.TRUNCATION_MODE_DISABLED)),
        (
            Retention(0.5),
            llm.Truncation(mode=llm.TRUNCATION_MODE_RETENTION_RATIO, retention_ratio=0.5),
        ),
        (
            Retention(0.5, TokenLimits(8000)),
            llm.Truncation(
                mode=llm.TRUNCATION_MODE_RETENTION_RATIO,
                retention_ratio=0.5,
                max_message_tokens=8000,
            ),
        ),
    ],
)
def test_truncation(truncation, wire):
    assert asked(truncation=truncation).truncation == wire


def test_the_operators_choice_of_models():
    profile = Profile("support", llm=(("groq", "llama"), ("openai", "")))
    assert [(m.provider, m.model) for m in asked(profile=profile).models] == [
        ("groq", "llama"),
        ("openai", ""),
    ]
