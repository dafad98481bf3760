from __future__ import annotations

from gateway.realtime import effects as do
from gateway.realtime.items import InputText, Message
from gateway.realtime.mcp_tools import Offer
from gateway.realtime.settings import Audio, AudioOutput, Reasoning, Settings, Tool
from gateway.realtime.starting import start_of

LINES = (do.Line(Message("i", "user", (InputText("hi"),)), "hi"),)


def start(settings: Settings, instructions: str = "Be kind.", **offered: object) -> do.StartReply:
    return start_of("r", settings, instructions, Offer(**offered), LINES)


def test_what_nobody_set_is_left_to_the_model():
    assert start(Settings()) == do.StartReply("r", "Be kind.", LINES, voice=do.Voice("alloy", 1.0))


def test_what_was_set_is_passed_on():
    settings = Settings(
        max_output_tokens=7,
        reasoning=Reasoning("low"),
        temperature=0.7,
        parallel_tool_calls=False,
        truncation="disabled",
        audio=Audio(output=AudioOutput(voice="ash", speed=1.2)),
    )
    made = start(settings)
    assert made.max_output_tokens == 7
    assert (made.reasoning_effort, made.temperature) == ("low", 0.7)
    assert (made.parallel_tool_calls, made.truncation) == (False, "disabled")
    assert made.voice == do.Voice("ash", 1.2)


def test_who_writes_has_no_voice():
    assert start(Settings(output_modalities=("text",))).voice is None


def test_what_the_tools_need_said_follows_the_instructions():
    tool = Tool("f")
    made = start(Settings(), tools=(tool,), choice="required", notes="Docs: search them.")
    assert made.instructions == "Be kind.\n\nDocs: search them."
    assert (made.tools, made.tool_choice) == ((tool,), "required")
    assert start(Settings(), "", notes="N").instructions == "N"
