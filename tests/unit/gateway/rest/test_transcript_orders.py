from __future__ import annotations

import io

import pytest

from gateway.realtime.refusals import Refused
from gateway.rest.forms import Form
from gateway.rest.transcript_orders import order_of

FILE = io.BytesIO()


def order(**fields: str | list[str]):
    """`a__b` is the field `a[b]`."""
    given = {"model": "m"} | fields
    named = {
        (f"{k.replace('__', '[', 1)}]" if "__" in k else k): v if isinstance(v, list) else [v]
        for k, v in given.items()
    }
    return order_of(Form(named, FILE))


def test_only_the_model_is_needed():
    found = order()
    assert (found.form, found.streams, found.granularities) == ("json", False, ("segment",))
    assert found.how.turn_detection.silence_duration_ms == 700
    assert not found.how.logprobs
    assert not found.how.speakers


@pytest.mark.parametrize(("said", "meant"), [("true", True), ("True", True), ("false", False)])
def test_streams(said, meant):
    assert order(stream=said).streams is meant


@pytest.mark.parametrize(
    "empty", ["language", "prompt", "response_format", "stream", "temperature"]
)
def test_empty_is_as_not_said(empty):
    assert order(**{empty: ""}) == order()


def test_one_language_of_several_is_not_chosen():
    assert order(languages=["de"]).how.language == "de"
    assert order(languages=["de", "en"]).how.language is None
    assert order(languages=["de"], language="fr-CH").how.language == "fr-CH"


@pytest.mark.parametrize(
    "fields",
    [
        {"chunking_strategy": '{"type": "server_vad", "threshold": 0.3, "prefix_padding_ms": 10}'},
        {
            "chunking_strategy__type": "server_vad",
            "chunking_strategy__threshold": "0.3",
            "chunking_strategy__prefix_padding_ms": "10",
        },
    ],
)
def test_pauses_as_the_clients_write_them(fields):
    vad = order(**fields).how.turn_detection
    assert (vad.threshold, vad.prefix_padding_ms, vad.silence_duration_ms) == (0.3, 10, 700)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"chunking_strategy": "[1"}, "chunking_strategy"),
        ({"chunking_strategy": "[]"}, "chunking_strategy"),
        ({"chunking_strategy": "[" * 60_000}, "chunking_strategy"),
        ({"chunking_strategy": '{"type": "client_vad"}'}, "chunking_strategy.type"),
        ({"chunking_strategy__type": "client_vad"}, "chunking_strategy.type"),
        ({"chunking_strategy__threshold": "2"}, "chunking_strategy[threshold]"),
        (
            {"chunking_strategy__silence_duration_ms": "0.5"},
            "chunking_strategy[silence_duration_ms]",
        ),
        ({"chunking_strategy__silence_duration_ms": "0"}, "chunking_strategy.silence_duration_ms"),
        ({"temperature": "nan"}, "temperature"),
        ({"keywords": ["a"] * 101}, "keywords"),
        ({"language": "x y"}, "language"),
        ({"model": "a b"}, "model"),
    ],
)
def test_what_makes_no_sense_is_refused(fields, param):
    with pytest.raises(Refused) as raised:
        order(**fields)
    assert raised.value.refusal.param == param
