from __future__ import annotations

import pytest

from gateway.realtime.conversation import Entry
from gateway.realtime.items import FunctionCallOutput, Message
from gateway.realtime.refusals import Refused
from gateway.realtime.reply_checks import answers, check_choice, check_voice, lost
from gateway.realtime.settings import Audio, AudioOutput, McpTool, Settings, Tool
from tests.script import event_of

TOOLS = (Tool("look"), McpTool("docs", "https://docs.example"))


@pytest.mark.parametrize(
    "choice",
    [
        "auto", "none", "required", {"type": "function", "name": "look"},
        {"type": "mcp", "server_label": "docs"},
    ],
)  # fmt: skip
def test_what_is_there_can_be_chosen(choice):
    check_choice(Settings(tools=TOOLS, tool_choice=choice))


@pytest.mark.parametrize(
    ("choice", "what"),
    [
        ({"type": "function", "name": "docs"}, "docs"),
        ({"type": "mcp", "server_label": "look"}, "look"),
        ("required", "required"),
    ],
)
def test_what_is_not_there_cannot(choice, what):
    tools = () if choice == "required" else TOOLS
    with pytest.raises(Refused) as refused:
        check_choice(Settings(tools=tools, tool_choice=choice))
    refusal = refused.value.refusal
    assert (refusal.code, refusal.param) == ("invalid_value", "response.tool_choice")
    assert f"'{what}'" in refusal.message


def voice(name: str) -> Settings:
    return Settings(audio=Audio(output=AudioOutput(voice=name)))


def test_the_voice_stays():
    check_voice(voice("ash"), voice("ash"), "session.audio.output.voice")
    with pytest.raises(Refused) as refused:
        check_voice(voice("ash"), voice("alloy"), "session.audio.output.voice")
    assert refused.value.refusal.param == "session.audio.output.voice"


def test_a_part_that_is_away_is_nobodys_fault_but_ours():
    [told] = lost("Speech recognition is away.")
    error = event_of(told).error
    assert (error.type, error.code) == ("server_error", "service_unavailable")
    assert error.message == "Speech recognition is away."


SPOKEN = Entry(Message("spoken", "user"), awaited=True)
LATER = Entry(Message("later", "user"), awaited=True)
LOST = Entry(Message("lost", "user"))
TYPED = Entry(Message("typed", "user"), text="hi")
SAID = Entry(Message("said", "assistant"), text="well")
RULE = Entry(Message("rule", "system"), text="be brief")
OUTPUT = Entry(FunctionCallOutput("output", "call_1", "3"), text="3")


@pytest.mark.parametrize(
    "context", [[SPOKEN], [TYPED, SPOKEN], [SPOKEN, LOST], [SPOKEN, RULE, SAID, OUTPUT]]
)
def test_what_the_user_said_last_is_what_is_answered(context):
    assert answers(context, SPOKEN)


@pytest.mark.parametrize("context", [[SPOKEN, TYPED], [SPOKEN, LATER], [SPOKEN, TYPED, SAID]])
def test_what_the_user_said_before_is_not(context):
    assert not answers(context, SPOKEN)
