import base64
import json
from pathlib import Path

import pytest

from voicemesh.conversation import Conversation

GOLDEN = Path("tests/data/golden/02_audio_turn_server_vad.jsonl")


def speech(kind, item_id="item_1"):
    return {"type": f"input_audio_buffer.{kind}", "item_id": item_id}


def heard(text, item_id="item_1"):
    kind = "conversation.item.input_audio_transcription.completed"
    return {"type": kind, "item_id": item_id, "transcript": text}


def response(kind, response_id="resp_1", **fields):
    return {"type": f"response.{kind}", "response_id": response_id, **fields}


def created(response_id="resp_1"):
    return {"type": "response.created", "response": {"id": response_id}}


def done(status="completed", response_id="resp_1", details=None):
    ended = {"id": response_id, "status": status, "status_details": details}
    return {"type": "response.done", "response": ended}


def told(*events):
    conversation = Conversation()
    for at_s, event in enumerate(events):
        conversation.take(event, float(at_s))
    return conversation


def test_stages_count_from_the_end_of_speech():
    pcm = base64.b64encode(b"\1\0").decode()
    conversation = told(
        speech("speech_started"),
        speech("speech_stopped"),
        heard("hello"),
        created(),
        response("output_audio_transcript.delta", delta="Good "),
        response("output_audio_transcript.delta", delta="day"),
        response("output_audio.delta", delta=pcm),
        response("output_audio.delta", delta=pcm),
        done(),
    )
    [turn] = conversation.turns
    assert (turn.heard, turn.answered, bytes(turn.pcm)) == ("hello", "Good day", b"\1\0\1\0")
    assert turn.stages_ms == {
        "transcript": 1000, "first text": 3000, "first audio": 5000, "done": 7000,
    }  # fmt: skip
    assert conversation.is_complete


def test_a_turn_without_transcript_or_answer_is_not_complete():
    stopped = [speech("speech_started"), speech("speech_stopped")]
    assert not told(*stopped).is_complete
    assert not told(*stopped, created(), done()).is_complete
    assert not told(*stopped, heard("hello"), created()).is_complete
    assert told(*stopped, created(), done(), heard("hello")).is_complete


def test_speech_that_goes_on_is_not_complete():
    whole = [speech("speech_started"), speech("speech_stopped"), heard("a"), created(), done()]
    assert not told(*whole, speech("speech_started", "item_2")).is_complete


def test_two_turns_have_their_own_answers():
    conversation = told(
        *(speech("speech_started"), speech("speech_stopped"), created(), heard("one")),
        *(speech("speech_started", "item_2"), done("cancelled")),
        *(speech("speech_stopped", "item_2"), created("resp_2"), heard("two", "item_2")),
        response("output_text.delta", "resp_2", delta="second"),
        done(response_id="resp_2"),
    )
    first, second = conversation.turns
    assert (first.heard, first.status, second.heard, second.answered) == (
        "one", "cancelled", "two", "second",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("details", "problem"),
    [
        ({"type": "failed", "error": {"message": "no engine"}}, "no engine"),
        ({"type": "incomplete", "reason": "max_output_tokens"}, "max_output_tokens"),
        (None, ""),
    ],
)
def test_the_reason_of_a_failure_is_kept(details, problem):
    conversation = told(speech("speech_stopped"), created(), done("failed", details=details))
    assert conversation.turns[0].problem == problem


def test_a_failed_transcription_is_an_empty_one():
    failed = {
        "type": "conversation.item.input_audio_transcription.failed",
        "item_id": "item_1",
        "error": {"message": "no recogniser"},
    }
    [turn] = told(speech("speech_stopped"), failed).turns
    assert (turn.heard, turn.problem) == ("", "no recogniser")


def test_the_recorded_turn_of_the_real_service_is_understood():
    lines = [json.loads(line) for line in GOLDEN.read_text().splitlines()]
    conversation = told(*(line["event"] for line in lines if line["dir"] == "s2c"))
    [turn] = conversation.turns
    assert (turn.heard, turn.answered) == ("Hey, can you hear me?", "Loud and clear!")
    assert conversation.is_complete
