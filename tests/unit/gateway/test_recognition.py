from __future__ import annotations

import pytest

from gateway.realtime import signals as sig
from gateway.realtime.effects import Listening
from gateway.realtime.settings import NoiseReduction, SemanticVad, ServerVad
from gateway.recognition import attempt_of, endpointing, opening, recognition, transcribed
from mesh import log as logs
from ovos.stt.v1 import stt_pb2 as pb


def test_what_the_client_wants_is_asked_for():
    how = Listening(
        None,
        language="de",
        prompt="names",
        keywords=("OVOS", "mesh"),
        noise_reduction=NoiseReduction("far_field", 0.5),
        logprobs=True,
        speakers=True,
    )
    assert recognition(how, "") == pb.RecognitionConfig(
        language_code="de",
        prompt="names",
        hints=["OVOS", "mesh"],
        noise_reduction=pb.NoiseReduction(place=pb.MICROPHONE_PLACE_FAR_FIELD, strength=0.5),
        token_logprobs=True,
        speakers=True,
    )


def test_nothing_is_asked_for_that_nobody_wants():
    assert recognition(Listening(None), "") == pb.RecognitionConfig()


def test_the_operator_may_choose_the_model():
    assert recognition(Listening(None), "base.en").model == "base.en"


def test_without_detection_the_client_commits():
    assert endpointing(Listening(None)).mode == pb.ENDPOINTING_MODE_MANUAL


def test_server_detection_has_its_numbers():
    ends = endpointing(Listening(ServerVad(0.25, 100, 700)))
    assert ends.mode == pb.ENDPOINTING_MODE_SERVER_VAD
    assert ends.threshold == 0.25
    assert ends.prefix_padding.ToMilliseconds() == 100
    assert ends.silence_duration.ToMilliseconds() == 700


@pytest.mark.parametrize(
    ("eagerness", "wire"),
    [
        ("auto", pb.EAGERNESS_MEDIUM),
        ("low", pb.EAGERNESS_LOW),
        ("medium", pb.EAGERNESS_MEDIUM),
        ("high", pb.EAGERNESS_HIGH),
    ],
)
def test_semantic_detection_has_its_eagerness(eagerness, wire):
    ends = endpointing(Listening(SemanticVad(eagerness)))
    assert (ends.mode, ends.eagerness) == (pb.ENDPOINTING_MODE_SEMANTIC_VAD, wire)


def test_times_of_segments_count_from_the_utterance():
    transcript = pb.Transcript(
        text="a b",
        start_sample=24_000,
        end_sample=72_000,
        logprobs=[pb.TokenLogprob(token="a b", logprob=-0.5)],
        segments=[
            pb.Segment(text="a", speaker="A", start_sample=24_000, end_sample=36_000),
            pb.Segment(text="b", speaker="B", start_sample=36_000, end_sample=72_000),
        ],
    )
    assert transcribed("u1", transcript) == sig.Transcribed(
        "u1",
        "a b",
        2000,
        (("a b", -0.5),),
        (sig.Spoken("a", "A", 0, 500), sig.Spoken("b", "B", 500, 2000)),
    )


def test_a_session_stream_begins_with_whose_it_is_and_where():
    with logs.bound(tenant_id="acme", session_id="sess_1"):
        config = opening(Listening(None, language="de"), "base.en", 2, 480)
    assert (config.session.tenant_id, config.session.session_id) == ("acme", "sess_1")
    assert (config.session.attempt, config.resume_from_sample) == (2, 480)
    assert (config.recognition.model, config.recognition.language_code) == ("base.en", "de")
    assert config.interim_results


def test_a_later_owner_and_a_later_stream_are_newer_and_fit_the_wire():
    attempts = [attempt_of(0, 1), attempt_of(0, 2), attempt_of(1, 1), attempt_of(1, 9000)]
    assert attempts == sorted(set(attempts))
    assert attempt_of(1, 10_000) < attempt_of(2, 1)
    assert attempt_of(1 << 40, 1 << 40) < 1 << 32
