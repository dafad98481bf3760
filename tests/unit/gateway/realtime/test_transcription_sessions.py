"""Sessions that only listen (contract §4.3)."""

from __future__ import annotations

import pytest

from gateway.realtime import signals as sig
from gateway.realtime.client_events import AppendAudio
from tests.script import Event, Script, pcm, types

BUFFER, ITEM = "input_audio_buffer", "conversation.item"
WORDS = f"{ITEM}.input_audio_transcription"
TURN = [
    f"{BUFFER}.speech_started", f"{BUFFER}.speech_stopped", f"{BUFFER}.committed",
    f"{ITEM}.added", f"{ITEM}.done",
]  # fmt: skip


@pytest.fixture
def listener():
    return Script(kind="transcription")


def update(script: Script, **heard: object) -> Event:
    session = {"type": "transcription", "audio": {"input": heard}}
    [updated] = script.says("session.update", session=session)
    return dict(updated["session"])


def test_it_has_only_what_it_needs(listener):
    [created] = listener.sent(listener.session.open())
    session = created["session"]
    assert set(session) == {"type", "object", "id", "audio", "include", "expires_at"}
    assert (session["type"], session["object"]) == (
        "transcription", "realtime.transcription_session",
    )  # fmt: skip
    assert set(session["audio"]) == {"input"}
    assert set(session["audio"]["input"]["turn_detection"]) == {
        "type", "threshold", "prefix_padding_ms", "silence_duration_ms",
    }  # fmt: skip


def test_an_update_is_echoed(listener):
    session = update(
        listener,
        transcription={"model": "whisper-1", "language": "de"},
        turn_detection={"type": "semantic_vad", "eagerness": "low", "create_response": True},
    )
    heard = session["audio"]["input"]
    assert heard["transcription"] == {"model": "whisper-1", "language": "de", "prompt": None}
    assert heard["turn_detection"] == {"type": "semantic_vad", "eagerness": "low"}


@pytest.mark.parametrize(
    ("kind", "sent", "article"),
    [("transcription", "realtime", "a realtime"), ("realtime", "transcription", "a transcription")],
)
def test_an_update_of_the_other_kind_is_refused(kind, sent, article):
    script = Script(kind=kind)
    error = script.error("session.update", session={"type": sent})
    assert error["message"] == (
        f"Passing {article} session update event to a {kind} session is not allowed."
    )


def test_speech_is_written_down_and_never_answered(listener):
    update(listener, transcription={"model": "whisper-1"})
    events = listener.sent(listener.utterance())
    assert types(events) == [*TURN, f"{WORDS}.delta", f"{WORDS}.completed"]
    assert events[-1]["transcript"] == "hello"


def test_without_a_model_there_are_turns_and_no_words(listener):
    assert types(listener.sent(listener.utterance())) == TURN
    item_id = listener.sent(listener.utterance("u2", words=None))[0]["item_id"]
    assert listener.hears(sig.Hypothesis("u2", "hello", 5)) == []
    assert listener.hears(sig.NotTranscribed("u2", "noise")) == []
    assert types(listener.says(f"{ITEM}.retrieve", item_id=item_id)) == [f"{ITEM}.retrieved"]


def test_responses_are_refused(listener):
    error = listener.error("response.create")
    assert (error["code"], error["param"]) == ("invalid_value", "type")
    assert listener.error("response.cancel")["code"] == "response_cancel_not_active"


def test_the_client_may_say_when_an_utterance_ends(listener):
    update(listener, transcription={"model": "whisper-1"}, turn_detection=None)
    listener.take(AppendAudio(pcm(300)))
    item_id = listener.says(f"{BUFFER}.commit")[0]["item_id"]
    events = listener.hears(sig.Transcribed(item_id, "hello", 300))
    assert types(events) == [f"{WORDS}.delta", f"{WORDS}.completed"]


def test_lost_recognition_is_told_and_ends_what_was_waited_for(listener):
    update(listener, transcription={"model": "whisper-1"})
    listener.utterance(words=None)
    assert types(listener.hears(sig.EarsLost("gone"))) == ["error", f"{WORDS}.failed"]
