from __future__ import annotations

import pytest
from openai.types.audio import (
    Transcription,
    TranscriptionDiarized,
    TranscriptionSegment,
    TranscriptionVerbose,
)

from gateway.backends import Passage, PlacedWord
from gateway.rest import transcripts
from gateway.rest.transcripts import Transcript

HELLO = Passage(
    "Hello, you.",
    1_000,
    2_500,
    "en",
    words=(PlacedWord("Hello,", 1_000, 1_600), PlacedWord("you.", 1_700, 2_400)),
    logprobs=(("Hello,", -0.1), (" you.", -0.3)),
    speakers=(PlacedWord("Hello,", 1_000, 1_650, "A"), PlacedWord("you.", 1_650, 2_500, "B")),
)
BYE = Passage("Grüße.", 3_723_004, 3_724_000)
BOTH = Transcript([HELLO, BYE], 3_725_000)


def test_json_is_what_the_stock_client_reads():
    found = Transcription.model_validate(transcripts.as_json(BOTH, logprobs=True))
    assert found.text == "Hello, you. Grüße."
    assert found.usage.seconds == 3725
    assert [entry.logprob for entry in found.logprobs] == [-0.1, -0.3]
    assert "logprobs" not in transcripts.as_json(BOTH, logprobs=False)


def test_verbose_json_is_what_the_stock_client_reads():
    found = TranscriptionVerbose.model_validate(
        transcripts.as_verbose_json(BOTH, ["word", "segment"])
    )
    assert (found.duration, found.language) == (3725.0, "en")
    assert [(w.word, w.start, w.end) for w in found.words] == [
        ("Hello,", 1.0, 1.6),
        ("you.", 1.7, 2.4),
    ]
    assert [type(segment) for segment in found.segments] == [TranscriptionSegment] * 2
    assert found.segments[0].avg_logprob == pytest.approx(-0.2)


@pytest.mark.parametrize(("asked", "there"), [("word", "words"), ("segment", "segments")])
def test_verbose_json_has_what_was_asked_for(asked, there):
    found = transcripts.as_verbose_json(BOTH, [asked])
    assert found.keys() & {"words", "segments"} == {there}


def test_who_said_what_is_numbered_and_all_is_one_speakers_if_nobody_could_tell():
    found = TranscriptionDiarized.model_validate(transcripts.as_diarized_json(BOTH))
    assert [(s.id, s.speaker, s.text, s.start) for s in found.segments] == [
        ("seg_000", "A", "Hello,", 1.0),
        ("seg_001", "B", "you.", 1.65),
        ("seg_002", "A", "Grüße.", 3723.004),
    ]
    [later] = transcripts.speaker_segments([BYE], first=7)
    assert later["id"] == "seg_007"


def test_subtitles():
    assert transcripts.as_srt(BOTH) == (
        "1\n00:00:01,000 --> 00:00:02,500\nHello, you.\n\n"
        "2\n01:02:03,004 --> 01:02:04,000\nGrüße.\n\n"
    )
    assert transcripts.as_vtt(BOTH) == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nHello, you.\n\n"
        "01:02:03.004 --> 01:02:04.000\nGrüße.\n\n"
    )


def test_nothing_said_is_empty():
    empty = Transcript([], 500)
    assert transcripts.as_json(empty, logprobs=True) == {
        "text": "",
        "usage": {"type": "duration", "seconds": 1},
        "logprobs": [],
    }
    assert transcripts.as_srt(empty) == ""
    assert transcripts.as_vtt(empty) == "WEBVTT\n\n"


def test_tokens_add_up():
    tokens = Transcript([HELLO], 2_550).tokens
    assert tokens["input_tokens"] == tokens["input_token_details"]["audio_tokens"] == 26
    assert tokens["total_tokens"] == 26 + tokens["output_tokens"] == 29
