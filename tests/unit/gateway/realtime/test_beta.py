from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from openai.types.beta.realtime import Session as SdkSession

from gateway.realtime import settings as s
from gateway.realtime.beta import (
    checked_session,
    response_from_beta,
    response_to_beta,
    session_from_beta,
    session_to_beta,
    told,
)
from gateway.realtime.refusals import Refusal, Refused
from gateway.realtime.settings import Settings, echo, merge


def ga(settings=None, kind="realtime"):
    """A session as GA shows it."""
    shown = echo(settings or Settings(), kind)
    session = {"type": kind, "object": "realtime.session", "id": "sess_1", "model": "m", **shown}
    return msgspec.json.decode(msgspec.json.encode(session))


def refusal(session, kind="realtime"):
    with pytest.raises(Refused) as refused:
        checked_session(session, kind)
    return refused.value.refusal


SAME_IN_GA = [
    ({"modalities": ["text", "audio"]}, {"output_modalities": ["audio"]}),
    ({"modalities": ["audio", "text"]}, {"output_modalities": ["audio"]}),
    ({"modalities": ["text"]}, {"output_modalities": ["text"]}),
    ({"modalities": None}, {"output_modalities": None}),
    ({"voice": "sage"}, {"audio": {"output": {"voice": "sage"}}}),
    ({"speed": 1.5}, {"audio": {"output": {"speed": 1.5}}}),
    (
        {"input_audio_format": "pcm16"},
        {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 24000}}}},
    ),
    (
        {"input_audio_format": "g711_ulaw", "output_audio_format": "g711_alaw"},
        {
            "audio": {
                "input": {"format": {"type": "audio/pcmu"}},
                "output": {"format": {"type": "audio/pcma"}},
            }
        },
    ),
    ({"input_audio_format": None}, {"audio": {"input": {"format": None}}}),
    ({"turn_detection": None}, {"audio": {"input": {"turn_detection": None}}}),
    (
        {"input_audio_transcription": {"model": "whisper-1"}},
        {"audio": {"input": {"transcription": {"model": "whisper-1"}}}},
    ),
    (
        {"input_audio_noise_reduction": {"type": "far_field"}},
        {"audio": {"input": {"noise_reduction": {"type": "far_field"}}}},
    ),
    ({"max_response_output_tokens": 4096}, {"max_output_tokens": 4096}),
    ({"temperature": 1}, {"temperature": 1.0}),
    ({"temperature": None}, {"temperature": None}),
    ({"instructions": "", "tools": [], "tool_choice": "none"},) * 2,
    ({"tracing": "auto", "include": None, "prompt": None},) * 2,
    ({"client_secret": None}, {}),
    ({"id": "sess_1", "object": "realtime.session", "expires_at": 1, "model": "m"},) * 2,
    ({"type": "realtime"}, {}),
]


@pytest.mark.parametrize(("beta", "expected"), SAME_IN_GA)
def test_every_key_has_its_place_in_ga(beta, expected):
    assert session_from_beta(beta) == {"type": "realtime", **expected}
    assert checked_session(beta) == {"type": "realtime", **expected}


def test_a_transcription_session_has_fewer_keys():
    beta = {"input_audio_format": "pcm16", "turn_detection": None, "modalities": ["text"]}
    audio = {"format": {"type": "audio/pcm", "rate": 24000}, "turn_detection": None}
    patch = checked_session({**beta, "include": None}, "transcription")
    assert patch == {"type": "transcription", "audio": {"input": audio}, "include": None}
    assert refusal({"voice": "sage"}, "transcription").param == "session.voice"


REFUSED = [
    ({"bogus": 1}, "unknown_parameter", "session.bogus"),
    ({"output_modalities": ["text"]}, "unknown_parameter", "session.output_modalities"),
    ({"audio": {}}, "unknown_parameter", "session.audio"),
    ({"truncation": "auto"}, "unknown_parameter", "session.truncation"),
    ({"modalities": ["audio"]}, "invalid_value", "session.modalities"),
    ({"modalities": ["text", "text"]}, "invalid_value", "session.modalities"),
    ({"modalities": []}, "invalid_value", "session.modalities"),
    ({"modalities": ["nope"]}, "invalid_value", "session.modalities[0]"),
    ({"modalities": "text"}, "invalid_type", "session.modalities"),
    ({"input_audio_format": "mp3"}, "invalid_value", "session.input_audio_format"),
    ({"input_audio_format": {}}, "invalid_type", "session.input_audio_format"),
    ({"output_audio_format": 1}, "invalid_type", "session.output_audio_format"),
    ({"temperature": 0.5}, "decimal_below_min_value", "session.temperature"),
    ({"temperature": 1.3}, "decimal_above_max_value", "session.temperature"),
    ({"temperature": "hot"}, "invalid_type", "session.temperature"),
    (
        {"max_response_output_tokens": 0},
        "integer_below_min_value",
        "session.max_response_output_tokens",
    ),
    ({"voice": 1}, "invalid_type", "session.voice"),
    ({"speed": 2}, "decimal_above_max_value", "session.speed"),
    ({"turn_detection": {}}, "missing_required_parameter", "session.turn_detection.type"),
    ({"turn_detection": {"type": "x"}}, "invalid_value", "session.turn_detection.type"),
    (
        {"turn_detection": {"type": "server_vad", "threshold": 5}},
        "decimal_above_max_value",
        "session.turn_detection.threshold",
    ),
    (
        {"input_audio_transcription": {"bogus": 1}},
        "unknown_parameter",
        "session.input_audio_transcription.bogus",
    ),
    ({"input_audio_noise_reduction": 1}, "invalid_type", "session.input_audio_noise_reduction"),
    ({"tools": [{}]}, "missing_required_parameter", "session.tools[0].type"),
    ({"type": "nope"}, "invalid_value", "session.type"),
]


@pytest.mark.parametrize(("beta", "code", "param"), REFUSED)
def test_an_error_names_the_place_as_the_client_knows_it(beta, code, param):
    wrong = refusal(beta)
    assert (wrong.code, wrong.param) == (code, param)
    assert code in ("invalid_value",) or f"'{param}'" in wrong.message
    assert "audio." not in wrong.message


def test_an_error_lists_the_values_of_the_beta():
    formats = refusal({"input_audio_format": "audio/pcm"}).message
    assert formats.endswith("are: 'pcm16', 'g711_ulaw', and 'g711_alaw'.")
    modalities = refusal({"modalities": ["audio"]}).message
    assert modalities == (
        "Invalid modalities: ['audio']. Supported combinations are: ['text'] and ['audio', 'text']."
    )


def test_the_answer_to_no_session_at_all_is_an_error():
    assert refusal([]).code == "invalid_type"


def test_a_session_is_shown_flat_with_every_key():
    shown = session_to_beta({**ga(), "expires_at": 1})
    assert shown == {
        "id": "sess_1",
        "object": "realtime.session",
        "model": "m",
        "expires_at": 1,
        "modalities": ["audio", "text"],
        "instructions": "",
        "voice": "alloy",
        "turn_detection": {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 200,
            "create_response": True,
            "interrupt_response": True,
        },
        "input_audio_format": "pcm16",
        "output_audio_format": "pcm16",
        "input_audio_transcription": None,
        "input_audio_noise_reduction": None,
        "tool_choice": "auto",
        "temperature": 0.8,
        "max_response_output_tokens": "inf",
        "speed": 1.0,
        "tracing": None,
        "tools": [],
        "client_secret": None,
        "include": None,
        "prompt": None,
    }


def test_a_transcription_session_is_shown_without_what_it_has_not():
    shown = session_to_beta(ga(kind="transcription"))
    assert shown["object"] == "realtime.transcription_session"
    assert shown["turn_detection"].keys() == {
        "type", "threshold", "prefix_padding_ms", "silence_duration_ms",
    }  # fmt: skip
    assert shown.keys() == {
        "id", "object", "expires_at", "modalities", "input_audio_format", "turn_detection",
        "input_audio_transcription", "input_audio_noise_reduction", "include", "client_secret",
    }  # fmt: skip


def test_an_idle_timeout_is_shown_to_who_asked_for_it():
    vad = s.ServerVad(idle_timeout_ms=6000)
    settings = Settings(audio=s.Audio(s.AudioInput(turn_detection=vad)))
    assert session_to_beta(ga(settings))["turn_detection"]["idle_timeout_ms"] == 6000


names = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=10)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
formats = st.sampled_from([s.Pcm(), s.Pcmu(), s.Pcma()])
unset = st.just(UNSET)
server_vad = st.builds(
    s.ServerVad,
    threshold=st.floats(0, 1),
    prefix_padding_ms=st.integers(0, 5000),
    silence_duration_ms=st.integers(0, 60_000),
    idle_timeout_ms=st.none() | st.integers(5_000, 30_000),
    create_response=st.booleans(),
    interrupt_response=st.booleans(),
)
settings_of_ga = st.builds(
    Settings,
    output_modalities=st.sampled_from([("text",), ("audio",)]),
    instructions=texts,
    tools=st.lists(
        st.builds(
            s.Tool,
            name=names,
            description=st.none() | texts,
            parameters=st.none() | st.dictionaries(texts, texts, max_size=2),
        ),
        max_size=2,
    ).map(tuple),
    tool_choice=st.sampled_from(["none", "auto", "required"])
    | names.map(lambda name: {"type": "function", "name": name}),
    max_output_tokens=st.just("inf") | st.integers(1, 4096),
    tracing=st.sampled_from([None, "auto", {"workflow_name": "w"}]),
    prompt=st.none() | st.builds(s.Prompt, id=names, version=st.none() | names),
    include=st.sampled_from([None, (), (s.LOGPROBS,)]),
    temperature=st.floats(0.6, 1.2),
    audio=st.builds(
        s.Audio,
        input=st.builds(
            s.AudioInput,
            format=formats,
            transcription=st.none()
            | st.builds(
                s.Transcription,
                model=st.none() | names,
                language=st.none() | names,
                prompt=st.none() | texts,
                keywords=unset | st.lists(names, max_size=2).map(tuple),
                delay=unset | st.sampled_from(["minimal", "xhigh"]),
            ),
            noise_reduction=st.none()
            | st.builds(
                s.NoiseReduction,
                type=st.sampled_from(["near_field", "far_field"]),
                strength=unset | st.floats(0, 1),
            ),
            turn_detection=st.none()
            | server_vad
            | st.builds(s.SemanticVad, eagerness=st.sampled_from(["low", "auto", "high"])),
        ),
        output=st.builds(s.AudioOutput, format=formats, voice=names, speed=st.floats(0.25, 1.5)),
    ),
)


@given(settings_of_ga)
def test_what_a_client_is_shown_it_can_send_back_and_nothing_changes(settings):
    beta = msgspec.json.decode(msgspec.json.encode(session_to_beta(ga(settings))))
    assert merge(Settings(), checked_session(beta), Settings()) == settings
    if isinstance(beta["tool_choice"], str):  # the SDK knows no other, the service did
        SdkSession.model_validate({**beta, "model": None}, strict=True)


def test_a_response_is_translated_like_a_session():
    item = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "a"}]}
    given_ = {
        "modalities": ["text"], "voice": "sage", "output_audio_format": "g711_ulaw",
        "temperature": 0.7, "max_response_output_tokens": 5, "conversation": "none",
        "metadata": {"a": "b"}, "input": [item],
    }  # fmt: skip
    translated = response_from_beta(given_)
    assert translated.pop("input")[0]["content"] == [{"type": "output_text", "text": "a"}]
    assert translated == {
        "output_modalities": ["text"],
        "audio": {"output": {"voice": "sage", "format": {"type": "audio/pcmu"}}},
        "temperature": 0.7,
        "max_output_tokens": 5,
        "conversation": "none",
        "metadata": {"a": "b"},
    }
    assert response_from_beta({"max_output_tokens": 7}) == {"max_output_tokens": 7}


@pytest.mark.parametrize("key", ["bogus", "output_modalities", "audio", "turn_detection", "speed"])
def test_a_response_has_no_other_keys(key):
    with pytest.raises(Refused) as refused:
        response_from_beta({key: None})
    assert refused.value.refusal.message == f"Unknown parameter: 'response.{key}'."


def test_a_response_shows_its_own_temperature_or_that_of_the_session():
    response = {"output": [], "output_modalities": ["text"], "audio": {}}
    assert response_to_beta(response, 0.9)["temperature"] == 0.9
    assert response_to_beta({**response, "temperature": 1.1}, 0.9)["temperature"] == 1.1


@pytest.mark.parametrize(
    ("param", "beta"),
    [
        ("session.audio.output.voice", "session.voice"),
        ("response.audio.output.voice", "response.voice"),
        ("session.audio.input.format.type", "session.input_audio_format"),
        ("session.audio.input.turn_detection.threshold", "session.turn_detection.threshold"),
        ("session.output_modalities[0]", "session.modalities[0]"),
        ("session.max_output_tokens", "session.max_response_output_tokens"),
        ("response.max_output_tokens", "response.max_output_tokens"),
        ("session.tools[0].name", "session.tools[0].name"),
        ("item.audio.output.voice", "item.audio.output.voice"),
        (None, None),
    ],
)
def test_places_in_errors_get_their_beta_names(param, beta):
    refusal = Refusal("code", f"Invalid '{param}'.", param, "evt_1")
    assert told(refusal) == Refusal("code", f"Invalid '{beta}'.", beta, "evt_1")
