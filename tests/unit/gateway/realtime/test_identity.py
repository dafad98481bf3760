from __future__ import annotations

import pytest

from gateway.realtime import effects as do
from gateway.realtime.identity import Identity, listening_of, wire_of
from gateway.realtime.settings import (
    LOGPROBS,
    Audio,
    AudioInput,
    NoiseReduction,
    ServerVad,
    Settings,
    Transcription,
)

KINDS = {"realtime": "realtime.session", "transcription": "realtime.transcription_session"}


def heard(**fields: object) -> Settings:
    return Settings(audio=Audio(input=AudioInput(**fields)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_says_what_it_is(kind):
    wire = wire_of(Identity("sess_1", "gpt-realtime", 99, kind), Settings())
    assert (wire["type"], wire["object"], wire["id"]) == (kind, KINDS[kind], "sess_1")
    assert wire["expires_at"] == 99
    assert ("model" in wire) is (kind == "realtime")


def test_who_asks_for_nothing_is_heard_by_detection():
    assert listening_of(Settings()) == do.Listening(ServerVad())


def test_what_helps_recognition_is_passed_on():
    asked = Transcription(
        "gpt-4o-transcribe-diarize", language="de", prompt="Names.", keywords=("Ann",)
    )
    noise = NoiseReduction("near_field")
    how = listening_of(heard(transcription=asked, noise_reduction=noise, turn_detection=None))
    assert how == do.Listening(None, "de", "Names.", ("Ann",), noise, speakers=True)


def test_the_first_of_several_languages_is_taken_unless_one_is_named():
    several = Transcription(languages=("fr", "de"))
    assert listening_of(heard(transcription=several)).language == "fr"
    named = Transcription(language="it", languages=("fr",))
    assert listening_of(heard(transcription=named)).language == "it"


def test_probabilities_are_for_those_who_include_them():
    assert listening_of(Settings(include=(LOGPROBS,))).logprobs
    assert not listening_of(Settings(include=())).logprobs
