from __future__ import annotations

import itertools
import json

import pytest

from gateway.realtime import server_events as ev
from gateway.realtime.dialects import Beta
from gateway.realtime.items import (
    FunctionCall,
    InputText,
    Message,
    OutputAudio,
    OutputText,
)
from gateway.realtime.refusals import Refusal
from gateway.realtime.settings import Pcmu, Settings, echo
from tests import beta_wire

USER = Message("item_1", "user", (InputText("Hi"),))
SPOKEN = Message("item_2", "assistant", (OutputAudio("Hello!"),))
WRITTEN = Message("item_2", "assistant", (OutputText("Hello!"),), "incomplete")
CALL = FunctionCall("item_3", "look", "call_1", "{}")
PART = ("resp_1", "item_2", 0, 0)
OF_CALL = ("resp_1", "item_3", 0, "call_1")
LIMIT = ev.RateLimit("tokens", 100, 90, 0.5)
ERROR = {"type": "server_error", "code": None, "message": "no", "param": None}


def session(kind="realtime", **settings):
    shown = echo(Settings(**settings), kind)
    return {"type": kind, "id": "sess_1", "model": "gpt-realtime", "expires_at": 1, **shown}


def response(**fields):
    return {
        "object": "realtime.response",
        "id": "resp_1",
        "status": "in_progress",
        "status_details": None,
        "output": [],
        "conversation_id": "conv_1",
        "output_modalities": ("audio",),
        "max_output_tokens": "inf",
        "audio": {"output": {"format": Pcmu(), "voice": "sage"}},
        "usage": None,
        "metadata": None,
        **fields,
    }


class Client:
    """Hears events in the beta dialect; the SDK must know each of them."""

    def __init__(self):
        self._dialect = Beta("conv_1")
        self._numbers = itertools.count(1)

    def hears(self, *events, known=True):
        heard = []
        for event in events:
            for message in self._dialect.encode(event, lambda: f"event_{next(self._numbers)}"):
                told = json.loads(message)
                heard.append(beta_wire.check(told) if known else told)
        return heard


@pytest.fixture
def client():
    return Client()


RENAMED = [
    (ev.TextDelta(*PART, "a"), "response.text.delta", {"delta": "a"}),
    (ev.TextDone(*PART, "output_text"), "response.text.done", {"text": "output_text"}),
    (
        ev.TranscriptDelta(*PART, '"type":"response.output_audio_transcript.delta"'),
        "response.audio_transcript.delta",
        {"delta": '"type":"response.output_audio_transcript.delta"'},
    ),
    (ev.TranscriptDone(*PART, "a"), "response.audio_transcript.done", {"transcript": "a"}),
    (ev.AudioDelta(*PART, b"\x01\x02"), "response.audio.delta", {"delta": "AQI="}),
    (ev.AudioDone(*PART), "response.audio.done", {}),
]


@pytest.mark.parametrize(("event", "name", "fields"), RENAMED)
def test_events_with_another_name_have_nothing_else_of_their_own(client, event, name, fields):
    [told] = client.hears(event)
    assert told == {
        "event_id": "event_1",
        "type": name,
        "response_id": "resp_1",
        "item_id": "item_2",
        "output_index": 0,
        "content_index": 0,
        **fields,
    }


SAME = [
    ev.SpeechStarted(0, "item_1"),
    ev.SpeechStopped(9, "item_1"),
    ev.AudioCommitted(None, "item_1"),
    ev.AudioCleared(),
    ev.ItemDeleted("item_1"),
    ev.ItemTruncated("item_2", 0, 100),
    ev.TranscriptionDelta("item_1", "a"),
    ev.TranscriptionCompleted("item_1", "a", ev.Duration(1.5)),
    ev.TranscriptionFailed("item_1", {**ERROR}),
    ev.PartAdded(*PART, ev.AudioPart()),
    ev.PartDone(*PART, ev.TextPart("a")),
    ev.ArgumentsDelta(*OF_CALL, "{"),
]


@pytest.mark.parametrize("event", SAME, ids=lambda event: type(event).__name__)
def test_the_rest_is_told_as_in_ga(client, event):
    [told] = client.hears(event)
    assert told["type"] == event.__struct_config__.tag
    assert told["event_id"] == "event_1"


def test_what_the_beta_never_had_keeps_its_name(client):
    [told] = client.hears(ev.TimeoutTriggered(0, 1, "item_1"), known=False)
    assert told["type"] == "input_audio_buffer.timeout_triggered"


def test_the_conversation_is_told_after_the_session(client):
    created, conversation = client.hears(ev.SessionCreated(session()))
    assert created["type"] == "session.created"
    assert created["session"]["modalities"] == ["audio", "text"]
    assert "type" not in created["session"]
    assert conversation == {
        "event_id": "event_2",
        "type": "conversation.created",
        "conversation": {"id": "conv_1", "object": "realtime.conversation"},
    }


def test_a_transcription_session_has_no_conversation(client):
    [created] = client.hears(ev.SessionCreated(session("transcription")))
    [updated] = client.hears(ev.SessionUpdated(session("transcription")))
    assert created["type"] == "transcription_session.created"
    assert updated["type"] == "transcription_session.updated"
    assert updated["session"]["object"] == "realtime.transcription_session"


def test_an_item_is_created_once(client):
    events = client.hears(ev.ItemAdded(None, USER), ev.ItemDone(None, USER))
    [created] = events
    assert created["type"] == "conversation.item.created"
    assert created["previous_item_id"] is None
    assert created["item"]["object"] == "realtime.item"
    assert created["item"]["content"] == [{"type": "input_text", "text": "Hi"}]


@pytest.mark.parametrize(
    ("item", "content"),
    [
        (SPOKEN, [{"type": "audio", "transcript": "Hello!"}]),
        (WRITTEN, [{"type": "text", "text": "Hello!"}]),
    ],
)
def test_items_of_the_assistant_have_parts_of_the_beta(client, item, content):
    told = client.hears(ev.OutputItemAdded("resp_1", 0, item), ev.OutputItemDone("resp_1", 0, item))
    told += client.hears(ev.ResponseDone(response(output=[item])))
    assert told[0]["type"] == "response.output_item.added"
    assert told[1]["type"] == "response.output_item.done"
    assert told[2]["response"]["output"] == [told[0]["item"]]
    for event in told[:2]:
        assert event["item"]["content"] == content
        assert event["item"]["status"] == item.status


def test_a_retrieved_item_has_its_audio(client):
    part = {"type": "output_audio", "transcript": "Hello!", "audio": "AQI="}
    item = {"id": "item_2", "type": "message", "role": "assistant", "content": [part]}
    [told] = client.hears(ev.ItemRetrieved(item))
    assert told["item"]["content"] == [{**part, "type": "audio"}]


def test_the_name_of_a_call_is_in_its_item_only(client):
    done, item = client.hears(
        ev.ArgumentsDone(*OF_CALL, "look", "{}"), ev.OutputItemDone("resp_1", 0, CALL)
    )
    assert "name" not in done
    assert done["arguments"] == "{}"
    assert item["item"]["name"] == "look"


def test_a_response_has_its_voice_at_the_top(client):
    created, _ = client.hears(ev.ResponseCreated(response()))
    assert created["response"] == {
        "object": "realtime.response",
        "id": "resp_1",
        "status": "in_progress",
        "status_details": None,
        "output": [],
        "conversation_id": "conv_1",
        "modalities": ["audio", "text"],
        "voice": "sage",
        "output_audio_format": "g711_ulaw",
        "temperature": 0.8,
        "max_output_tokens": "inf",
        "usage": None,
        "metadata": None,
    }


def test_a_response_shows_the_temperature_of_the_session(client):
    client.hears(ev.SessionUpdated({**session(), "temperature": 1.1}))
    created, _ = client.hears(ev.ResponseCreated(response()))
    assert created["response"]["temperature"] == 1.1


def test_rate_limits_follow_the_beginning_of_a_response(client):
    first = client.hears(ev.ResponseCreated(response()))
    end = client.hears(ev.ResponseDone(response()), ev.RateLimitsUpdated((LIMIT,)))
    second = client.hears(ev.ResponseCreated(response()))
    assert [event["type"] for event in first] == ["response.created", "rate_limits.updated"]
    assert first[1]["rate_limits"] == []
    assert [event["type"] for event in end] == ["response.done"]
    assert second[1]["rate_limits"] == [
        {"name": "tokens", "limit": 100, "remaining": 90, "reset_seconds": 0.5}
    ]


def test_an_error_of_the_session_names_the_place_as_the_beta_does(client):
    param = "session.audio.output.voice"
    refusal = Refusal("cannot_update_voice", f"Not '{param}'.", param, "evt_1")
    [told] = client.hears(ev.Error.of(refusal))
    assert told["error"] == {
        "type": "invalid_request_error",
        "code": "cannot_update_voice",
        "message": "Not 'session.voice'.",
        "param": "session.voice",
        "event_id": "evt_1",
    }


def test_every_message_has_an_id_of_its_own(client):
    told = client.hears(ev.SessionCreated(session()), ev.ResponseCreated(response()))
    assert len({event["event_id"] for event in told}) == 4
