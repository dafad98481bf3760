from __future__ import annotations

import pytest

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.conversation import Entry
from gateway.realtime.items import InputAudio, InputText, Message
from gateway.realtime.transcripts import Awaited, completed, delta, failed, with_words
from tests.script import Script, event_of, types

WORDS = "conversation.item.input_audio_transcription"
LOGPROBS = "item.input_audio_transcription.logprobs"
ITEM = Message("i", "user", (InputText("look:"), InputAudio()))


@pytest.fixture
def awaited():
    return Awaited(Entry(ITEM))


def deltas(effects: list[do.Effect]) -> list[str]:
    return [event_of(effect).delta for effect in effects]


def test_only_what_is_new_is_told(awaited):
    assert deltas(delta(awaited, "one ")) == ["one "]
    assert delta(awaited, "one ") == []
    assert delta(awaited, "on") == []
    assert delta(awaited, "two words") == []
    assert deltas(delta(awaited, "one two")) == ["two"]


def test_the_end_tells_the_rest_and_then_all(awaited):
    delta(awaited, "one ")
    rest, done = completed(awaited, sig.Transcribed("u", "one two", 1500), str, logprobs=False)
    assert event_of(rest).delta == "two"
    assert event_of(done).transcript == "one two"
    assert event_of(done).usage.seconds == 1.5


def test_a_failure_has_a_type_and_a_message():
    error = event_of(failed("i")).error
    assert error["type"] == "transcription_error"
    assert error["message"]


def test_only_the_recording_of_an_item_gets_the_words():
    assert with_words(ITEM, "a dog") == (InputText("look:"), InputAudio("a dog"))


def transcribing(model: str = "whisper-1", include: list[str] | None = None) -> Script:
    script = Script(kind="transcription")
    heard = {"transcription": {"model": model}}
    session = {"type": "transcription", "audio": {"input": heard}, "include": include}
    script.send("session.update", session=session)
    return script


def test_probabilities_are_told_to_those_who_asked():
    probable = (("hé", -0.1), ("llo", -0.2))
    script = transcribing(include=[LOGPROBS])
    script.utterance(words=None)
    *_, done = script.hears(sig.Transcribed("u1", "héllo", 800, probable))
    assert done["logprobs"] == [
        {"token": "hé", "logprob": -0.1, "bytes": [104, 195, 169]},
        {"token": "llo", "logprob": -0.2, "bytes": [108, 108, 111]},
    ]
    script = transcribing()
    script.utterance(words=None)
    *_, done = script.hears(sig.Transcribed("u1", "héllo", 800, probable))
    assert "logprobs" not in done


def test_recognition_is_asked_for_what_the_client_wants():
    script = Script()
    heard = {
        "transcription": {
            "model": "gpt-4o-transcribe-diarize", "languages": ["de", "en"], "keywords": ["Ovos"],
            "prompt": "Names.",
        },
        "noise_reduction": {"type": "far_field"},
    }  # fmt: skip
    session = {"type": "realtime", "audio": {"input": heard}, "include": [LOGPROBS]}
    [listen, _] = script.send("session.update", session=session)
    how = listen.how
    assert (how.speakers, how.logprobs, how.language) == (True, True, "de")
    assert (how.keywords, how.prompt) == (("Ovos",), "Names.")
    assert how.noise_reduction.type == "far_field"


def test_who_said_what_comes_between_the_words_and_their_end():
    script = transcribing("gpt-4o-transcribe-diarize")
    script.utterance(words=None)
    parts = (sig.Spoken("hello", "A", 0, 500), sig.Spoken("hi", "B", 500, 1250))
    events = script.hears(sig.Transcribed("u1", "hello hi", 1250, segments=parts))
    assert types(events) == [
        f"{WORDS}.delta", f"{WORDS}.segment", f"{WORDS}.segment", f"{WORDS}.completed",
    ]  # fmt: skip
    first, second = events[1:3]
    assert (second["speaker"], second["text"]) == ("B", "hi")
    assert (second["start"], second["end"]) == (0.5, 1.25)
    assert first["id"] != second["id"]


def test_what_was_begun_is_ended_although_nobody_asks_any_more():
    script = transcribing()
    script.utterance(words=None)
    script.hears(sig.Hypothesis("u1", "hello you", 6))
    off = {"type": "transcription", "audio": {"input": {"transcription": None}}}
    script.send("session.update", session=off)
    events = script.hears(sig.Transcribed("u1", "hello you", 800))
    assert types(events) == [f"{WORDS}.delta", f"{WORDS}.completed"]
    assert script.sent(script.utterance("u2"))[-1]["type"] == "conversation.item.done"
