import pytest

from gateway import admission
from gateway.realtime.refusals import Refused

MODELS = ("gpt-realtime*", "ours")


def refused(query=(), headers=()):
    with pytest.raises(Refused) as error:
        admission.wanted_model(dict(query), dict(headers), MODELS)
    return error.value


@pytest.mark.parametrize("model", ["gpt-realtime", "gpt-realtime-2.1-mini", "ours"])
def test_every_name_that_a_pattern_takes_is_served(model):
    assert admission.wanted_model({"model": model}, {}, MODELS) == model


@pytest.mark.parametrize(
    ("query", "code", "close"),
    [
        ({}, "missing_model", 4000),
        ({"model": "gpt-nope"}, "invalid_model", 4000),
        ({"model": "gpt-realtime\0\n"}, "invalid_model", 4000),
        ({"intent": "transcription"}, "invalid_value", 4000),
        ({"session_id": "sess_1"}, "session_not_found", 4004),
        ({"call_id": "rtc_1"}, "session_not_found", 4004),
    ],
)
def test_what_cannot_be_served_is_refused_with_its_code(query, code, close):
    error = refused(query)
    assert error.refusal.code == code
    assert admission.close_code(error) == close


@pytest.mark.parametrize(
    "headers",
    [
        {"OpenAI-Beta": "realtime=v1"},
        {"Sec-WebSocket-Protocol": "realtime, openai-beta.realtime-v1"},
    ],
)
def test_the_beta_dialect_is_refused_as_the_live_service_does(headers):
    assert refused({"model": "ours"}, headers).refusal.code == "beta_api_shape_disabled"


def test_a_pattern_is_listed_by_a_name_it_takes():
    assert admission.names_of(("gpt-realtime*", "ours", "gpt-?x", "*")) == ["gpt-realtime", "ours"]
