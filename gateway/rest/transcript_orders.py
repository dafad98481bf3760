"""What a client wants of a transcription: the form's fields, checked."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.realtime import checks as c
from gateway.realtime.effects import Listening
from gateway.realtime.refusals import missing, refuse, wrong_type
from gateway.realtime.settings import ServerVad
from gateway.rest.forms import Form
from gateway.rest.transcripts import FORMATS

MAX_PROMPT = 4096
MAX_KEYWORDS = 100

# Longer than in a conversation: nobody waits for an answer, and whole sentences are heard best.
_PAUSES = ServerVad(silence_duration_ms=700)
_VAD = {
    "threshold": c.number(0, 1),
    "prefix_padding_ms": c.integer(0, 5000),
    "silence_duration_ms": c.integer(0, 10_000),
}


@dataclass(frozen=True, slots=True)
class Order:
    file: io.BytesIO
    model: str
    form: str
    """One of FORMATS."""
    streams: bool
    how: Listening
    granularities: tuple[str, ...]


def order_of(form: Form) -> Order:
    """
    Raises:
        Refused: something is missing or wrong. What we do not know is passed over.
    """
    if form.file is None:
        raise missing("file")
    model = _text(form, "model", c.string(128, r"\S+"))
    if model is None:
        raise missing("model")
    format_ = _text(form, "response_format", c.one_of(*FORMATS)) or "json"
    _number(form, "temperature", c.number(0, 1))
    granularity = c.array(c.one_of("word", "segment"))
    asked = granularity(form.all("timestamp_granularities"), "timestamp_granularities")
    include = c.array(c.one_of("logprobs"))(form.all("include"), "include")
    how = Listening(
        turn_detection=_pauses(form),
        language=_language(form),
        prompt=_text(form, "prompt", c.string(MAX_PROMPT)),
        keywords=tuple(c.array(c.string(128), MAX_KEYWORDS)(form.all("keywords"), "keywords")),
        logprobs="logprobs" in include,
        speakers=format_ == "diarized_json",
    )
    streams = _text(form, "stream", c.one_of("true", "false", "True", "False", "1", "0"))
    return Order(
        file=form.file,
        model=model,
        form=format_,
        streams=streams in ("true", "True", "1"),
        how=how,
        granularities=tuple(asked) or ("segment",),
    )


def _text(form: Form, name: str, check: c.Check) -> str | None:
    value = form.one(name)
    return None if value is None else str(check(value, name))


def _number(form: Form, name: str, check: c.Check, read: Callable[[str], Any] = float) -> Any:
    value = form.one(name)
    if value is None:
        return None
    try:
        number = read(value)
    except ValueError:
        raise wrong_type(name, "a number", value) from None
    if not math.isfinite(number):
        raise wrong_type(name, "a number", value)
    return check(number, name)


def _language(form: Form) -> str | None:
    """`language`, or the only one of `languages`."""
    code = r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*"
    languages = c.array(c.string(16, code))(form.all("languages"), "languages")
    one = languages[0] if len(languages) == 1 else None
    return _text(form, "language", c.string(16, code)) or one


def _pauses(form: Form) -> ServerVad:
    """`chunking_strategy`: "auto", or an object, as JSON or as the stock clients flatten it."""
    name = "chunking_strategy"
    value = form.one(name)
    if value is not None and value != "auto":
        try:
            asked = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            c.one_of("auto", "server_vad")(value, name)
            asked = {"type": value}
        checked = c.obj({"type": c.one_of("server_vad")}, _VAD)(asked, name)
    else:
        types: dict[str, Callable[[str], Any]] = {"threshold": float}
        fields = {key: f"{name}[{key}]" for key in _VAD}
        checked = {
            key: _number(form, field, _VAD[key], types.get(key, int))
            for key, field in fields.items()
        }
        if kind := form.one(f"{name}[type]"):
            c.one_of("server_vad")(kind, f"{name}.type")
    given = {key: value for key, value in checked.items() if key != "type" and value is not None}
    if given.get("silence_duration_ms") == 0:
        message = "Invalid 'chunking_strategy.silence_duration_ms': it must be above 0."
        raise refuse("invalid_value", message, f"{name}.silence_duration_ms")
    return msgspec.structs.replace(_PAUSES, **given)
