"""A session that an older version kept goes on with this one: tests/data/session_1.msgpack was
written once, in format 1. It is never written again; a new format gets a file of its own."""

from __future__ import annotations

import msgspec
import pytest

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.dialects import Ga
from gateway.realtime.items import (
    FunctionCall,
    FunctionCallOutput,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpTools,
    Message,
)
from gateway.sessions.journal import Mark, Position
from gateway.sessions.resume import State, restore, state_of
from gateway.sessions.store import Found
from tests.unit.gateway.sessions.telling import META, open_session
from tests.wire import DATA

FORMATS = (1,)
"""All that a store may still have."""


@pytest.fixture(params=FORMATS)
def found(request) -> Found:
    kept = msgspec.msgpack.decode((DATA / f"session_{request.param}.msgpack").read_bytes())
    return Found(META, 2, kept["first"], kept["state"], tuple(kept["entries"]), None)


def test_its_conversation_is_there(found):
    again = restore(found, open_session, Ga(), None)
    [start] = [e for e in again.session.receive(sig.Resumed()) if isinstance(e, do.StartReply)]
    assert start.instructions.startswith("Be kind.")
    assert start.voice == do.Voice("marin", 1.0)
    assert [tool.name for tool in start.tools] == ["weather", "search"]
    assert [(type(line.item), line.text) for line in start.context] == [
        (McpTools, ""),
        (Message, "It is Monday."),
        (Message, "What is this?"),
        (Message, "A pixel."),
        (Message, "tell me a story"),
        (Message, "Once"),  # the rest was not heard
        (FunctionCall, "{}"),
        (FunctionCallOutput, "21 degrees"),
        (McpApprovalRequest, ""),
        (McpApprovalResponse, ""),
        (McpCall, "3 hits"),
        (Message, "And then?"),
        (Message, "go on"),
    ]
    [image] = start.context[2].images
    assert image.image_url.startswith("data:image/png;base64,")


def test_its_reply_goes_on(found):
    again = restore(found, open_session, Ga(), None)
    [start] = [e for e in again.session.receive(sig.Resumed()) if isinstance(e, do.StartReply)]
    assert start.begun == do.Begun("And they lived happily.", 3, 20, 0, None)


def test_its_client_is_told_what_it_missed(found):
    state = msgspec.msgpack.decode(found.state, type=State)
    again = restore(found, open_session, Ga(), Position(state.seq))
    assert [n for n, _ in again.unsent] == list(range(state.seq + 1, again.journal.seq + 1))
    assert [event.__struct_config__.tag for _, event in again.unsent] == [
        "conversation.item.added",
        "conversation.item.done",
        "error",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio_transcript.delta",
    ]


def test_a_mark_of_it_is_understood(found):
    packed = msgspec.msgpack.encode((70, 60, 30_000, {}))
    assert msgspec.msgpack.decode(packed, type=Mark) == Mark(70, 60, 30_000, {})
    again = restore(Found(META, 2, found.first, found.state, found.entries, packed),
                    open_session, Ga(), None)  # fmt: skip
    assert [n for n, _ in again.unsent] == list(range(61, 71))
    assert again.journal.samples == 30_000


def test_kept_by_this_version_it_is_the_same(found):
    """As when it is quiet again."""
    again = restore(found, open_session, Ga(), None)
    [start] = [e for e in again.session.receive(sig.Resumed()) if isinstance(e, do.StartReply)]
    again.session.receive(sig.ReplyEnded(start.response_id, sig.Tokens()))
    state = state_of(again.session, again.ids, again.journal.seq)
    assert state is not None
    newer = Found(META, 3, again.journal.next, state, (), None)
    third = restore(newer, open_session, Ga(), None)
    assert third.session.save() == again.session.save()
