import json

import pytest

from llm_orchestrator import chat_body
from llm_orchestrator.continuation import GO_ON
from llm_orchestrator.engine import (
    Image,
    Message,
    Request,
    Role,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
)
from llm_orchestrator.prompt import PICTURE

WEATHER = Tool("get_weather", "Weather", '{"type": "object", "properties": {"n": {"maximum": 5}}}')
CAT = "data:image/png;base64,AAAA"


def body(request, model="gpt-4.1-mini", *, sees=True):
    return chat_body.body(request, model, sees=sees)


def test_a_request_in_the_format():
    done = ToolCall("call_a", "get_weather", '{"n":1}')
    request = Request(
        messages=(
            Message(role=Role.USER, text="weather?"),
            Message(role=Role.ASSISTANT, tool_calls=(done,)),
            Message(role=Role.TOOL, text="sunny", call_id="call_a"),
        ),
        tools=(WEATHER,),
        temperature=0.7,
    )
    made = body(request)
    assert made["messages"][1:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_a",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"n": 1}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_a", "content": "sunny"},
    ]
    assert made["temperature"] == 0.7
    assert made["tool_choice"] == "auto"
    [tool] = made["tools"]
    assert json.dumps(tool["function"]["parameters"]) == WEATHER.parameters_json


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (ToolChoice(ToolMode.REQUIRED), "required"),
        (
            ToolChoice(ToolMode.FUNCTION, "get_weather"),
            {"type": "function", "function": {"name": "get_weather"}},
        ),
    ],
)
def test_tool_choices_in_the_format(choice, wire):
    request = Request(messages=(), tools=(WEATHER,), tool_choice=choice)
    assert body(request)["tool_choice"] == wire


def test_no_tools_are_offered_when_none_may_be_called():
    request = Request(messages=(), tools=(WEATHER,), tool_choice=ToolChoice(ToolMode.NONE))
    assert not {"tools", "tool_choice"} & body(request).keys()


SHOWN = Request(
    messages=(Message(role=Role.USER, text="what is it", images=(Image(CAT, "low"), Image(""))),)
)


def test_a_picture_is_a_part_of_its_message():
    [message] = body(SHOWN)["messages"]
    assert message["content"] == [
        {"type": "text", "text": f"what is it\n{PICTURE}"},  # the second one is gone
        {"type": "image_url", "image_url": {"url": CAT, "detail": "low"}},
    ]


def test_a_picture_without_words_is_a_message_too():
    request = Request(messages=(Message(role=Role.USER, images=(Image(CAT),)),))
    [message] = body(request)["messages"]
    assert [part["type"] for part in message["content"]] == ["image_url"]


def test_a_model_that_cannot_see_is_told_that_there_was_a_picture():
    [message] = body(SHOWN, sees=False)["messages"]
    assert message["content"] == f"what is it\n{PICTURE}\n{PICTURE}"


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("o3-mini", True), ("gpt-5.2", True), ("openai/gpt-oss-120b", True),
        ("gpt-4.1-mini", False), ("gpt-4o", False), ("gpt-5-chat-latest", False), ("phi-o3", False),
    ],
)  # fmt: skip
def test_an_effort_is_told_to_models_that_reason(model, told):
    made = body(Request(messages=(), reasoning_effort="low"), model)
    assert made.get("reasoning_effort") == ("low" if told else None)
    assert "reasoning_effort" not in body(Request(messages=()), model)


def test_calls_at_once_are_spoken_of_only_with_tools_and_only_if_said():
    for said in (True, False):
        request = Request(messages=(), tools=(WEATHER,), parallel_tool_calls=said)
        assert body(request)["parallel_tool_calls"] is said
    assert "parallel_tool_calls" not in body(Request(messages=(), tools=(WEATHER,)))
    assert "parallel_tool_calls" not in body(Request(messages=(), parallel_tool_calls=False))


def test_what_was_already_written_is_to_be_gone_on_with():
    request = Request(messages=(Message(role=Role.USER, text="hi"),), already_written="Hello")
    assert body(request)["messages"][1:] == [
        {"role": "assistant", "content": "Hello"},
        {"role": "system", "content": GO_ON},
    ]
    asked = chat_body.body(request, "m", sees=False, asks_as=Role.USER)["messages"][-1]
    assert asked == {"role": "user", "content": GO_ON}


def test_white_space_is_nothing_to_go_on_with():
    request = Request(messages=(Message(role=Role.USER, text="hi"),), already_written=" ")
    assert body(request)["messages"] == [{"role": "user", "content": "hi"}]


def test_plain_is_without_what_models_refuse():
    request = Request(
        messages=(), temperature=0.8, reasoning_effort="low", parallel_tool_calls=False
    )
    assert chat_body.plain(request, "o3") == Request(messages=())
    assert chat_body.plain(request, "gpt-4o") == Request(messages=(), temperature=0.8)
