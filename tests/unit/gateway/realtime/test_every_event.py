"""Each event that docs/realtime.md calls served is said by a session that runs here."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from tests.architecture.test_realtime_doc import SERVER
from tests.script import Event, Script, only, pcm, types

TRANSCRIBED = {"audio": {"input": {"transcription": {"model": "whisper-1"}}}}


class Ear(Script):
    """A session that remembers all it said."""

    def __init__(self, **options: object) -> None:
        self.got: list[Event] = []
        super().__init__(**options)
        self.got += self.sent(self.session.open())

    def take(self, given):
        effects = super().take(given)
        self.got += self.sent(effects)
        return effects

    def configure(self, **session: object) -> None:
        self.send("session.update", session={"type": "realtime", **session})


def a_spoken_turn() -> Ear:
    ear = Ear()
    ear.configure(**TRANSCRIBED)
    ear.take(sig.SpeechStarted("u1", 100))
    ear.take(sig.SpeechStopped("u1", 900))
    rid = next(e for e in ear.got if e["type"] == "response.created")["response"]["id"]
    ear.take(sig.Hypothesis("u1", "hello you", 5))
    ear.take(sig.Transcribed("u1", "hello you", 800))
    ear.take(sig.ReplyText(rid, "Hi."))
    ear.take(sig.ReplyAudio(rid, pcm(500)))
    ear.take(sig.ReplyEnded(rid, sig.Tokens(10, 0, 2)))
    answer = next(e for e in reversed(ear.got) if e["type"] == "response.output_item.done")
    about = {"item_id": answer["item"]["id"]}
    ear.send("conversation.item.truncate", content_index=0, audio_end_ms=100, **about)
    ear.send("conversation.item.retrieve", **about)
    ear.send("conversation.item.delete", **about)
    ear.send("conversation.item.delete", **about)
    ear.send("input_audio_buffer.clear")
    return ear


def words_that_do_not_come() -> Ear:
    ear = Ear()
    ear.configure(**TRANSCRIBED)
    ear.take(sig.SpeechStarted("u1", 100))
    ear.take(sig.SpeechStopped("u1", 900))
    ear.take(sig.NotTranscribed("u1", "recognition is away"))
    return ear


def several_speakers() -> Ear:
    ear = Ear()
    ear.configure(audio={"input": {"transcription": {"model": "gpt-4o-transcribe-diarize"}}})
    ear.take(sig.SpeechStarted("u1", 100))
    ear.take(sig.SpeechStopped("u1", 900))
    ear.take(
        sig.Transcribed("u1", "hello", 800, segments=(sig.Spoken("hello", "speaker_0", 0, 500),))
    )
    return ear


def a_written_turn_with_a_call() -> Ear:
    ear = Ear()
    ear.configure(output_modalities=["text"], tools=[{"type": "function", "name": "f"}])
    ear.user_says("hello")
    rid = ear.respond()
    ear.take(sig.ReplyText(rid, "One moment."))
    ear.take(sig.ReplyCall(rid, "call_1", "f", "{}"))
    ear.take(sig.ReplyCallDone(rid, "call_1", "f", "{}"))
    ear.take(sig.ReplyEnded(rid, sig.Tokens(10, 0, 2)))
    return ear


def a_long_silence() -> Ear:
    ear = Ear()
    ear.configure(
        audio={"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000}}}
    )
    rid = ear.respond()
    ear.take(sig.ReplyText(rid, "Are you there?"))
    ear.take(sig.ReplyAudio(rid, pcm(200)))
    ear.take(sig.ReplyEnded(rid, sig.Tokens(10, 0, 2)))
    for _ in range(14):
        ear.send("input_audio_buffer.append", audio=silence(500))
    return ear


def silence(ms: int) -> str:
    return "A" * (ms * 64)  # 48 bytes of zeros a millisecond


SERVER_OF_TOOLS = {"type": "mcp", "server_label": "docs", "server_url": "https://mcp.example/mcp"}
TOOL = {"name": "search", "description": "Search docs", "input_schema": {"type": "object"}}


def tools_of_a_server() -> Ear:
    """One server lists a tool and one cannot; one call returns and one fails."""
    ear = Ear()
    first = SERVER_OF_TOOLS | {"require_approval": "never"}
    ear.configure(tools=[first, SERVER_OF_TOOLS | {"server_label": "away"}])
    listed, away = [e["item_id"] for e in ear.got if e["type"] == "mcp_list_tools.in_progress"]
    ear.take(sig.ToolsListed(listed, (TOOL,)))
    ear.take(sig.ToolsNotListed(away, "It did not answer."))
    call(ear, lambda item_id: sig.ToolReturned(item_id, "3 hits"))
    call(
        ear,
        lambda item_id: sig.ToolFailed(item_id, {"type": "tool_execution_error", "message": "no"}),
    )
    return ear


def call(ear: Ear, outcome: Callable[[str], sig.Mcp]) -> None:
    """A response that calls the server's only tool."""
    [start] = only(ear.send("response.create"), do.StartReply)
    [name] = [tool.name for tool in start.tools]
    ear.take(sig.ReplyCall(start.response_id, "call_1", name, "{}"))
    ear.take(sig.ReplyCallDone(start.response_id, "call_1", name, "{}"))
    ear.take(sig.ReplyEnded(start.response_id, sig.Tokens(10, 0, 2)))
    called = [e["item_id"] for e in ear.got if e["type"] == "response.mcp_call.in_progress"]
    ear.take(outcome(called[-1]))


RUNS = [
    a_spoken_turn, words_that_do_not_come, several_speakers, a_written_turn_with_a_call,
    a_long_silence, tools_of_a_server,
]  # fmt: skip


def test_every_served_event_is_said():
    said = {type_ for run in RUNS for type_ in types(run().got)}
    served = {type_ for type_, (status, _) in SERVER.items() if status.startswith("served")}
    assert said == served


@pytest.mark.parametrize("run", RUNS)
def test_no_run_says_what_is_not_served(run):
    assert {SERVER[type_][0].split(",")[0] for type_ in types(run().got)} == {"served"}
