"""Conformance passes what the transcripts have and nothing that differs in shape."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.conformance import Conformance, NonConforming
from tests import wire

Event = dict[str, Any]


def golden(*, beta: bool) -> list[Event]:
    """Every server event of the transcripts of one dialect."""
    files = [f for f in wire.GOLDEN.glob("*.jsonl") if f.name.startswith("13_") is beta]
    lines = [json.loads(line) for file in sorted(files) for line in file.read_text().splitlines()]
    return [line["event"] for line in lines if line["dir"] == "s2c" and "event" in line]


GA, BETA = golden(beta=False), golden(beta=True)


@pytest.mark.parametrize("beta", [False, True])
def test_the_transcripts_conform(beta):
    events = BETA if beta else GA
    assert len(events) > 15
    for event in events:
        Conformance(beta=beta).check(event)
        Conformance(beta=beta).check(json.dumps(event).encode())


def test_the_dialects_are_not_the_same():
    with pytest.raises(NonConforming, match="session"):
        Conformance(beta=True).check(next(e for e in GA if e["type"] == "session.created"))
    with pytest.raises(NonConforming, match="there is no event of type"):
        Conformance().check(next(e for e in BETA if e["type"] == "response.audio.delta"))


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in an event, the event itself left out."""
    steps = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for step, held in steps:
        found.append((*at, step))
        if isinstance(held, dict | list):
            found += paths(held, (*at, step))
    return found


FREE = ("metadata", "input_schema", "parameters", "annotations")
"""Keys whose content is anybody's."""


def inside(event: Event, path: tuple[Any, ...]) -> Any:
    held: Any = event
    for step in path:
        held = held[step]
    return held


@st.composite
def changed(draw: st.DrawFn, change: str) -> tuple[Event, str]:
    """An event of the transcripts with one change, and where it is."""
    event = copy.deepcopy(draw(st.sampled_from(GA)))
    places = [p for p in paths(event) if not set(FREE) & set(p) and isinstance(p[-1], str)]
    if change == "drop":
        places = [p for p in places if len(p) == 1 or (p[0] == "error" and len(p) == 2)]
    path = draw(st.sampled_from(places))
    holder = inside(event, path[:-1])
    match change:
        case "drop":
            del holder[path[-1]]
        case "type":
            holder[path[-1]] = draw(st.sampled_from([object_of_no_kind(), [[[]]]]))
        case "key":
            holder[f"{path[-1]}_of_ours"] = "x"
    return event, path[-1]


def object_of_no_kind() -> Event:
    return {"nobody": {"knows": ["this"]}}


OPTIONAL = {"obfuscation", "logprobs"}


@given(changed("drop"))
def test_an_event_that_lacks_a_key_is_found(drawn):
    event, key = drawn
    if key in OPTIONAL:
        Conformance().check(event)
        return
    with pytest.raises(NonConforming) as found:
        Conformance().check(event)
    assert found.value.where.endswith(key)


@given(changed("type"))
def test_a_value_of_another_type_is_found(drawn):
    event, key = drawn
    with pytest.raises(NonConforming) as found:
        Conformance().check(event)
    assert key in found.value.where or "type" in (key, found.value.where)


@given(changed("key"))
def test_a_key_that_nobody_knows_is_found(drawn):
    event, key = drawn
    with pytest.raises(NonConforming, match="nobody knows") as found:
        Conformance().check(event)
    assert found.value.where.endswith(f"{key}_of_ours")


CLEARED = {"type": "input_audio_buffer.cleared", "event_id": "event_1"}
DONE = next(e for e in GA if e["type"] == "response.done")
CREATED = next(e for e in GA if e["type"] == "session.created")


@pytest.mark.parametrize(
    ("message", "where"),
    [
        (b"[]", "type"),
        ({"event_id": "event_1"}, "type"),
        (CLEARED | {"event_id": None}, "input_audio_buffer.cleared.event_id"),
        (CLEARED | {"event_id": 7}, "input_audio_buffer.cleared.event_id"),
        (DONE | {"response": {}}, "response.done.response.object"),
        (
            DONE | {"response": DONE["response"] | {"status": "over"}},
            "response.done.response.status",
        ),
        (
            DONE | {"response": DONE["response"] | {"metadata": {"a": 1}}},
            "response.done.response.metadata.a",
        ),
        (
            DONE | {"response": DONE["response"] | {"output": [{"type": "message"}]}},
            "response.done.response.output[0].content",
        ),
        (
            CREATED | {"session": CREATED["session"] | {"max_output_tokens": True}},
            "session.created.session.max_output_tokens",
        ),
        (
            CREATED | {"session": CREATED["session"] | {"expires_at": "soon"}},
            "session.created.session.expires_at",
        ),
        (
            CREATED | {"session": CREATED["session"] | {"tool_choice": {"type": "function"}}},
            "session.created.session.tool_choice.name",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_says_where(message, where):
    with pytest.raises(NonConforming) as found:
        Conformance().check(message)
    assert found.value.where == where


def test_it_never_tells_what_was_said():
    secret = "my number is 12345"
    item = {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": [secret]}],
    }
    event = {"type": "conversation.item.done", "event_id": "e", "previous_item_id": None}
    with pytest.raises(NonConforming) as found:
        Conformance().check(event | {"item": item})
    assert found.value.where == "conversation.item.done.item.content[0].text"
    assert secret not in str(found.value)


def test_a_transcription_session_has_fewer_keys():
    """No model, no instructions: contract §4.3."""
    session = {"type": "transcription", "object": "realtime.transcription_session", "id": "sess_1"}
    session |= {"expires_at": 1, "audio": {"input": {"turn_detection": None}}, "include": None}
    Conformance().check({"type": "session.created", "event_id": "e", "session": session})


def test_what_the_beta_never_had_keeps_its_shape_there():
    """MCP events, with items that the beta's own model does not know."""
    conformance = Conformance(beta=True)
    for event in GA:
        if event["type"].startswith(("mcp_list_tools.", "response.mcp_call")):
            conformance.check(event)
    item = {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "docs", "tools": []}
    event = {"type": "conversation.item.created", "event_id": "e", "previous_item_id": None}
    conformance.check(event | {"item": item})
    with pytest.raises(NonConforming):
        conformance.check(event | {"item": item | {"server_label": 1}})
