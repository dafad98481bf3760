import json

import pytest
from google.protobuf.duration_pb2 import Duration

from llm_orchestrator import wire
from llm_orchestrator.engine import (
    Finish,
    Image,
    Message,
    Request,
    Role,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
    Truncation,
    TruncationMode,
    Usage,
)
from llm_orchestrator.orchestration import Ask, Switched
from llm_orchestrator.providers import Preference
from mesh.errors import Overloaded, Rejected, TooSlow
from ovos.common.v1 import common_pb2
from ovos.llm.v1 import llm_pb2 as pb

SCHEMA = {"type": "object", "properties": {"n": {"type": "array", "maxItems": 5}}}


def ask(hint="", budget_s=None, **fields):
    return wire.ask_of(pb.GenerationConfig(**fields), hint, budget_s)


def test_a_whole_config():
    config = {
        "models": [pb.ModelPreference(provider="groq", model="m")],
        "instructions": "Be brief.",
        "messages": [
            pb.Message(role=pb.ROLE_USER, text="hi"),
            pb.Message(
                role=pb.ROLE_ASSISTANT,
                tool_calls=[pb.ToolCall(call_id="c", name="f", arguments_json="{}")],
            ),
            pb.Message(role=pb.ROLE_TOOL, text="1", call_id="c"),
        ],
        "tools": [pb.Tool(name="f", description="d", parameters_json=json.dumps(SCHEMA))],
        "tool_choice": pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_FUNCTION, name="f"),
        "temperature": 0.8,
        "max_output_tokens": 9,
        "first_token_timeout": Duration(nanos=500_000_000),
    }
    assert ask(budget_s=4.0, **config) == Ask(
        request=Request(
            messages=(
                Message(role=Role.USER, text="hi"),
                Message(role=Role.ASSISTANT, tool_calls=(ToolCall("c", "f", "{}"),)),
                Message(role=Role.TOOL, text="1", call_id="c"),
            ),
            instructions="Be brief.",
            tools=(Tool("f", "d", json.dumps(SCHEMA)),),
            tool_choice=ToolChoice(ToolMode.FUNCTION, "f"),
            temperature=0.8,
            max_output_tokens=9,
        ),
        preferences=(Preference("groq", "m"),),
        first_token_s=0.5,
        budget_s=4.0,
    )


def test_what_was_already_written_and_the_tools_that_are_left():
    called = pb.Message(role=pb.ROLE_ASSISTANT, tool_calls=[pb.ToolCall(call_id="c", name="f")])
    tools = [pb.Tool(name="f"), pb.Tool(name="g")]
    request = ask(already_written="Well", messages=[USER, called], tools=tools).request
    assert request.already_written == "Well"
    assert [tool.name for tool in request.tools] == ["g"]


def test_pictures_truncation_and_how_to_think():
    url = "data:image/png;base64,AAAA"
    shown = pb.Message(role=pb.ROLE_USER, images=[pb.Image(url=url, detail="low"), pb.Image()])
    request = ask(
        messages=[shown],
        truncation=pb.Truncation(
            mode=pb.TRUNCATION_MODE_RETENTION_RATIO, retention_ratio=0.8, max_message_tokens=9
        ),
        parallel_tool_calls=False,
        reasoning_effort="low",
    ).request
    assert request.messages[0].images == (Image(url, "low"), Image("", "auto"))
    assert request.truncation == Truncation(
        mode=TruncationMode.RETENTION_RATIO, retention_ratio=0.8, max_message_tokens=9
    )
    assert (request.parallel_tool_calls, request.reasoning_effort) == (False, "low")


def test_a_ratio_counts_for_its_mode_only():
    off = pb.Truncation(mode=pb.TRUNCATION_MODE_DISABLED, retention_ratio=0.8)
    assert ask(truncation=off).request.truncation == Truncation(mode=TruncationMode.DISABLED)


def ratio(value):
    return pb.Truncation(mode=pb.TRUNCATION_MODE_RETENTION_RATIO, retention_ratio=value)


def test_an_empty_config_leaves_all_to_the_server():
    assert ask() == Ask(request=Request(messages=()))


def test_the_style_hint_comes_before_the_instructions():
    assert ask("Speak.", instructions="Be brief.").request.instructions == "Speak.\n\nBe brief."
    assert ask("Speak.").request.instructions == "Speak."


def test_a_tool_without_parameters_gets_a_schema_that_providers_take():
    for given in ("", "{}"):
        [tool] = ask(tools=[pb.Tool(name="f", parameters_json=given)]).request.tools
        assert json.loads(tool.parameters_json) == {"type": "object", "properties": {}}


def shown(**image):
    return pb.Message(role=pb.ROLE_USER, images=[pb.Image(**image)])


USER = pb.Message(role=pb.ROLE_USER, text="x")
TOOL = pb.Tool(name="f")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [USER, pb.Message(text="x")]}, "messages[1].role"),
        ({"tools": [pb.Tool(name="a b")]}, "tools[0].name"),
        ({"tools": [pb.Tool(name="x" * 65)]}, "tools[0].name"),
        (
            {"tools": [TOOL, pb.Tool(name="g", parameters_json="{")]},
            "tools[1].parameters_json",
        ),
        ({"tools": [pb.Tool(name="g", parameters_json="[]")]}, "tools[0].parameters_json"),
        (
            {
                "tools": [TOOL],
                "tool_choice": pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_FUNCTION, name="g"),
            },
            "tool_choice.name",
        ),
        (
            {"tool_choice": pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_REQUIRED)},
            "tool_choice.mode",
        ),
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"first_token_timeout": Duration()}, "first_token_timeout"),
        ({"messages": [shown(url="https://a.b/c.png")]}, "messages[0].images[0].url"),
        ({"messages": [USER, shown(url="data:text/html;base64,AA")]}, "messages[1].images[0].url"),
        ({"messages": [shown(detail="huge")]}, "messages[0].images[0].detail"),
        ({"truncation": ratio(1.5)}, "truncation.retention_ratio"),
        ({"truncation": ratio(float("nan"))}, "truncation.retention_ratio"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
    ],
)
def test_a_mistake_is_named_by_its_path(fields, param):
    with pytest.raises(Rejected) as caught:
        ask(**fields)
    assert caught.value.param == param


def test_a_switch_is_an_error_that_leaves_the_stream_open():
    detail = wire.switched(Switched("openai", "groq", TooSlow("openai sent nothing"))).error
    assert detail.retryable
    assert detail.code == common_pb2.ERROR_CODE_TIMEOUT
    assert dict(detail.metadata) == {"provider": "openai", "next_provider": "groq"}


def test_a_providers_limit_is_not_our_overload():
    limit = Overloaded("limit", retry_after_s=2, code="rate_limit_exceeded")
    detail = wire.failed("groq", limit).error
    assert dict(detail.metadata) == {"provider": "groq", "provider_code": "rate_limit_exceeded"}
    assert detail.code == common_pb2.ERROR_CODE_RATE_LIMITED
    assert detail.retry_after.seconds == 2


def test_every_finish_has_its_reason():
    assert wire.finish_reason(Finish.STOP) == pb.FINISH_REASON_STOP
    assert wire.finish_reason(Finish.LENGTH) == pb.FINISH_REASON_LENGTH
    assert wire.finish_reason(Finish.CONTENT_FILTER) == pb.FINISH_REASON_CONTENT_FILTER


def test_what_was_not_measured_is_not_set():
    message = wire.completed(
        pb.FINISH_REASON_CANCELLED, whole="", usage=Usage(), model=None, first_token_s=None
    ).completed
    assert not message.HasField("model")
    assert not message.HasField("time_to_first_token")
