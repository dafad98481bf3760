"""What every client must see of the server, whichever SDK it was seen through.

A scenario is the list of the server's events, as JSON. Each has passed `wire.check`, which is
the published schema and the strict types of the `openai` package.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

from tests import wire
from tests.e2e import judges
from tests.wire import Event

HEARD = "what time is it in london today"
TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
QUESTION = "what_time_is_it_in_london_today"
WEATHER = "what_is_the_weather_in_paris"
LONG = "one two three four five six seven " * 12
SUM = "what is twelve plus thirty"


def check(events: Sequence[Event]) -> None:
    """Every event of a scenario, and what none may show."""
    for event in events:
        wire.check(event)
    ids = [event["event_id"] for event in events]
    assert len(ids) == len(set(ids))
    assert not (told := of(events, "error")), told


def of(events: Sequence[Event], type_: str) -> list[Event]:
    return [event for event in events if event["type"] == type_]


def types(events: Sequence[Event]) -> list[str]:
    return [event["type"] for event in events]


def responses(events: Sequence[Event]) -> list[Event]:
    """Every response as it was in the end."""
    return [event["response"] for event in of(events, "response.done")]


def audio(events: Sequence[Event]) -> bytes:
    deltas = of(events, "response.output_audio.delta")
    return b"".join(base64.b64decode(event["delta"]) for event in deltas)


def said(events: Sequence[Event]) -> str:
    """The transcript of the one answer."""
    [done] = of(events, "response.output_audio_transcript.done")
    return str(done["transcript"])


def a_text_turn(events: Sequence[Event]) -> None:
    """The sum, answered in writing."""
    check(events)
    [response] = responses(events)
    assert response["status"] == "completed"
    [written] = of(events, "response.output_text.done")
    assert "forty" in written["text"].lower()
    deltas = of(events, "response.output_text.delta")
    assert "".join(event["delta"] for event in deltas) == written["text"]
    assert not audio(events)


def a_spoken_turn(events: Sequence[Event]) -> None:
    """The question about London, heard, and answered so that it can be understood."""
    check(events)
    assert [event["transcript"] for event in of(events, TRANSCRIBED)] == [HEARD]
    assert len(of(events, "input_audio_buffer.speech_started")) == 1
    assert len(of(events, "input_audio_buffer.speech_stopped")) == 1
    [response] = responses(events)
    assert response["status"] == "completed"
    assert "london" in said(events).lower()
    judges.speech_fits(audio(events), said(events))


def a_barge_in(events: Sequence[Event]) -> None:
    """The long answer, broken off by the question about London, which is answered."""
    check(events)
    first, second = responses(events)
    assert first["status"] == "cancelled"
    assert first["status_details"]["reason"] == "turn_detected"
    assert second["status"] == "completed"
    started = types(events).index("input_audio_buffer.speech_started")
    late = of(events[started:], "response.output_audio.delta")
    assert late
    assert {event["response_id"] for event in late} == {second["id"]}
    spoken = [event["transcript"] for event in of(events, "response.output_audio_transcript.done")]
    assert "london" in spoken[-1].lower()
    item_id = first["output"][0]["id"]
    assert {event["item_id"] for event in of(events, "conversation.item.truncated")} == {item_id}


def a_tool_call(events: Sequence[Event]) -> None:
    """The weather, asked for by voice, looked up by the client, and told."""
    check(events)
    asked, told = responses(events)
    [call] = asked["output"]
    assert (call["type"], call["name"]) == ("function_call", "get_weather")
    assert json.loads(call["arguments"]) == {"location": "paris"}
    assert told["status"] == "completed"
    assert "sunny" in said(events).lower()


def a_cancel(events: Sequence[Event], errors: Sequence[str] = ()) -> None:
    """The long answer, broken off by the client.

    Args:
        errors: The codes of the errors it is then told.
    """
    check([event for event in events if event["type"] != "error"])
    assert [event["error"]["code"] for event in of(events, "error")] == list(errors)
    [response] = responses(events)
    assert response["status"] == "cancelled"
    assert response["status_details"]["reason"] == "client_cancelled"


def a_transcription(events: Sequence[Event]) -> None:
    """What was said, written down, and nobody answers."""
    check(events)
    assert events[-1]["type"] == TRANSCRIBED
    assert events[-1]["transcript"] == HEARD
    assert not [event for event in events if event["type"].startswith("response.")]
    assert {event["session"]["type"] for event in of(events, "session.updated")} == {
        "transcription"
    }


def a_bad_event(events: Sequence[Event]) -> None:
    """An event of no known type, refused by its id; the next turn is served."""
    check([event for event in events if event["type"] != "error"])
    [error] = of(events, "error")
    wire.check(error)
    assert error["error"]["type"] == "invalid_request_error"
    assert error["error"]["event_id"] == "mine"
    assert [response["status"] for response in responses(events)] == ["completed"]


def a_refusal(events: Sequence[Event], code: str) -> None:
    """One error, and no session."""
    [error] = events
    wire.check(error)
    assert error["type"] == "error"
    assert error["error"]["code"] == code
