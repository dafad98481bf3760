from __future__ import annotations

import pytest

from gateway import admission
from gateway.allowance import too_many
from gateway.backends import Profile
from gateway.client_secrets import Preset
from gateway.models import Models
from gateway.realtime.refusals import Refused

SUPPORT = Profile("support", voice="echo")
MODELS = Models((SUPPORT,), ("gpt-realtime*", "ours"))


def wanted(query, headers=(), preset=None, strict=False):
    return admission.wanted(dict(query), dict(headers), MODELS, preset, strict=strict)


def refused(query, headers=(), preset=None, strict=False):
    with pytest.raises(Refused) as error:
        wanted(query, headers, preset, strict)
    return error.value


def preset(**fields):
    return Preset(tenant="acme", expires_at_s=1, **{"model": "ours", **fields})


@pytest.mark.parametrize("model", ["gpt-realtime", "gpt-realtime-2.1-mini", "ours"])
def test_every_name_that_a_pattern_takes_is_served(model):
    assert wanted({"model": model}) == admission.Wanted("realtime", model, MODELS.find(model))


def test_a_name_brings_its_profile():
    assert wanted({"model": "support"}).profile == SUPPORT


def test_azure_calls_the_model_a_deployment():
    assert wanted({"deployment": "ours", "api-version": "2025-04-01-preview"}).model == "ours"


@pytest.mark.parametrize(
    ("query", "code", "close"),
    [
        ({}, "missing_model", 4000),
        ({"model": ""}, "missing_model", 4000),
        ({"model": "gpt-nope"}, "invalid_model", 4000),
        ({"model": "gpt-realtime\0\n"}, "invalid_model", 4000),
        ({"model": "gpt-4o-mini-transcribe"}, "invalid_model", 4000),
        ({"intent": "translation"}, "invalid_value", 4000),
        ({"intent": "transcription", "model": "ours"}, None, 4000),
    ],
)
def test_what_cannot_be_served_is_refused_with_its_code(query, code, close):
    error = refused(query)
    assert error.refusal.code == code
    assert admission.close_code(error) == close


def test_closes_are_those_of_the_contract():
    assert admission.close_code(Refused(admission.NO_SESSION)) == 4004
    assert admission.close_code(Refused(too_many(1.0))) == 1013
    assert admission.close_code(Refused(admission.NO_BETA)) == 4000


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ({"session_id": "sess_1"}, {}),
        ({"conversation_id": "sess_1"}, {}),
        ({}, {"X-Session-Id": "sess_1"}),
        ({"session_id": "sess_1"}, {"X-Session-Id": "sess_2"}),
        ({"session_id": "sess_1", "conversation_id": "sess_2"}, {}),
    ],
)
def test_a_session_to_go_on_with_is_named_in_the_query_or_in_a_header(query, headers):
    assert admission.resumption(query, headers) == admission.Resumption("sess_1")


def test_who_goes_on_may_say_what_was_heard_last():
    asked = admission.resumption({"session_id": "sess_1", "last_event_id": "event_1"}, {})
    assert asked == admission.Resumption("sess_1", "event_1")


def test_an_empty_name_is_no_new_session():
    assert admission.resumption({"session_id": "", "model": "ours"}, {}) is not None
    assert admission.resumption({"model": "ours"}, {}) is None


def test_names_that_are_too_long_are_cut():
    query = {"session_id": "s" * 1000, "last_event_id": "e" * 1000}
    asked = admission.resumption(query, {})
    assert asked is not None
    assert (len(asked.session_id), len(asked.last_event_id)) == (128, 128)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("sess_0123456789abcdefABCDE", True),
        ("sess_0123456789abcdef", True),
        ("sess_short", False),
        ("sess_0123456789abcdef{}", False),
        ("call_0123456789abcdef", False),
        ("sess_" + "a" * 65, False),
        ("", False),
    ],
)
def test_a_balancers_name_has_the_form_of_ours(name, is_one):
    found = admission.session_id_of({"X-New-Session-Id": name})
    assert found == (name if is_one else None)
    assert admission.session_id_of({"X-Session-Id": name}) is None


@pytest.mark.parametrize(
    "model",
    ["gpt-4o-mini-transcribe", "gpt-4o-transcribe-diarize", "whisper-1", "gpt-realtime-whisper"],
)
def test_a_model_that_only_transcribes_is_no_realtime_model(model):
    models = Models((), ("gpt-realtime",))
    with pytest.raises(Refused) as error:
        admission.wanted({"model": model}, {}, models)
    assert error.value.refusal.message == f'Model "{model}" is not supported in Realtime API'


def test_a_session_can_be_for_transcription_only():
    assert wanted({"intent": "transcription"}) == admission.Wanted("transcription", "", Profile())
    message = refused({"intent": "transcription", "model": "ours"}).refusal.message
    assert message == "You must not provide a model parameter for transcription sessions"


@pytest.mark.parametrize(
    "headers",
    [
        {"OpenAI-Beta": "realtime=v1"},
        {"OpenAI-Beta": "assistants=v2, realtime=v1"},
        {"Sec-WebSocket-Protocol": "realtime, openai-beta.realtime-v1"},
    ],
)
def test_the_handshake_marks_the_beta_dialect(headers):
    assert wanted({"model": "ours"}, headers).beta
    error = refused({"model": "ours"}, headers, strict=True)
    assert error.refusal.code == "beta_api_shape_disabled"


def test_no_other_protocol_marks_it():
    headers = {"Sec-WebSocket-Protocol": "realtime, openai-beta.realtime-v10"}
    assert not wanted({"model": "ours"}, headers, strict=True).beta


def test_a_secret_names_the_model_of_who_names_none():
    assert wanted({}, (), preset()).model == "ours"


def test_a_secret_that_was_made_for_a_model_opens_no_other():
    assert wanted({"model": "support"}, (), preset()).model == "support"
    assert wanted({"model": "support"}, (), preset(is_bound=True)).model == "ours"


def test_a_secret_that_was_made_for_one_kind_of_session_opens_no_other():
    assert wanted({"intent": "transcription"}, (), preset()).kind == "transcription"
    bound = preset(kind="transcription", model="")
    assert wanted({}, (), bound).kind == "transcription"
    assert refused({"model": "ours"}, (), bound).refusal.code is None
    error = refused({"intent": "transcription"}, (), preset(kind="realtime"))
    assert error.refusal.code is None


@pytest.mark.parametrize(
    ("query", "headers", "expected"),
    [
        ({"model": "gpt-realtime"}, {}, True),
        ({"session_id": "sess_1"}, {}, False),
        ({"conversation_id": "sess_1"}, {}, False),
        ({"call_id": "sess_1"}, {}, False),
        ({}, {"X-Session-Id": "sess_1"}, False),
        ({}, {"X-New-Session-Id": "sess_1"}, True),
    ],
)
def test_who_names_no_session_wants_a_new_one(query, headers, expected):
    assert admission.begins(query, headers) is expected
