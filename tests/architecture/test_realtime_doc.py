"""docs/realtime.md says what the code does."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest

from gateway.realtime import client_events as ce
from gateway.realtime import server_events as ev
from gateway.realtime.codec import decode
from gateway.realtime.refusals import Refusal
from tests import golden, wire
from tests.architecture.tree import ROOT, sources

PAGE = (ROOT / "docs" / "realtime.md").read_text()
NOT_SAYERS = {
    Path("gateway/realtime/beta_out.py"): "says events otherwise",
    Path("gateway/realtime/dialects.py"): "says events otherwise",
    Path("gateway/delivery.py"): "knows what need not wait",
    Path("gateway/outbox.py"): "drops audio",
    Path("gateway/sessions/journal.py"): "reads what was said",
    Path("gateway/sessions/kept.py"): "reads what was said",
    Path("gateway/sessions/resume.py"): "reads what was said",
}


def section(title: str) -> str:
    """The page between this heading and the next of its kind."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def table(title: str) -> list[list[str]]:
    """The cells of a section's table, without its heading."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def by_event(title: str) -> dict[str, list[str]]:
    rows = table(title)
    found = {names(cells[0])[0]: cells[1:] for cells in rows}
    assert len(found) == len(rows), "an event is there twice"
    return found


CLIENT = by_event("What a client may send")
SERVER = by_event("What a client hears")


def server_classes() -> dict[str, type[ev.ServerEvent]]:
    """Every event that the gateway has a class for, by its name on the wire."""
    found: dict[str, type[ev.ServerEvent]] = {}
    pending = list(ev.ServerEvent.__subclasses__())
    while pending:
        cls = pending.pop()
        pending += cls.__subclasses__()
        if not cls.__name__.startswith("_"):
            found[str(cls.__struct_config__.tag)] = cls
    return found


@cache
def used_in(path: Path) -> set[str]:
    """What a module takes from `server_events`."""
    tree = ast.parse((ROOT / path).read_text())
    used: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="ev"), attr=name):
                used.add(name)
            case ast.ImportFrom(module=str(module)) if module.endswith("server_events"):
                used |= {alias.name for alias in node.names}
    return used


def test_all_client_events_are_there():
    assert set(CLIENT) == {event["type"] for event in wire.schema()["client"]}
    assert len(CLIENT) == 11


@pytest.mark.parametrize("type_", CLIENT)
def test_a_client_event_becomes_what_the_page_says(type_):
    """The codec knows it: with nothing but a type it is taken, or misses a field of its own."""
    status, becomes = CLIENT[type_]
    event = decode(json.dumps({"type": type_, "event_id": "mine"}))
    if status == "served":
        assert type_ in ce.KINDS
        [name] = names(becomes)
        assert type(event).__name__ == name or _misses_a_field(event)
        assert name in {cls.__name__ for cls in ce.ClientEvent.__args__}
        assert _makes(type_) == name
    else:
        assert status.startswith("WebRTC and SIP only")
        assert isinstance(event, Refusal)
        assert (event.code, event.param, event.event_id) == ("invalid_value", "type", "mine")


def _misses_a_field(event: object) -> bool:
    return isinstance(event, Refusal) and event.code == "missing_required_parameter"


OUTPUT = {"type": "function_call_output", "call_id": "c", "output": ""}
VALID = {
    "session.update": {"session": {"type": "realtime"}},
    "input_audio_buffer.append": {"audio": "AAAA"},
    "conversation.item.create": {"item": OUTPUT},
    "conversation.item.retrieve": {"item_id": "i"},
    "conversation.item.truncate": {"item_id": "i", "content_index": 0, "audio_end_ms": 0},
    "conversation.item.delete": {"item_id": "i"},
}


def _makes(type_: str) -> str:
    event = decode(json.dumps({"type": type_, **VALID.get(type_, {})}))
    return type(event).__name__


def test_all_server_events_are_there():
    assert set(SERVER) == {event["type"] for event in wire.schema()["server"]}
    assert len(SERVER) == 46


def test_what_is_served_has_a_class_and_what_has_a_class_is_served():
    served = {type_ for type_, (status, _) in SERVER.items() if status.startswith("served")}
    assert served == set(server_classes())


def test_what_is_not_served_says_why():
    why = {status for status, _ in SERVER.values() if not status.startswith("served")}
    assert why == {"WebRTC and SIP only", "SIP only", "beta only"}


@pytest.mark.parametrize("type_", [t for t, (status, _) in SERVER.items() if "served" in status])
def test_an_event_is_said_by_the_module_that_the_page_names(type_):
    wanted = server_classes()[type_].__name__
    gateway = [path for path in sources() if path.parts[0] == "gateway"]
    sayers = [path for path in gateway if wanted in used_in(path) and path not in NOT_SAYERS]
    assert names(SERVER[type_][1]) == [str(path.relative_to("gateway")) for path in sayers]


def test_the_beta_names_are_all_there():
    """What the beta calls otherwise, from its published events and ours."""
    rows = table("What a client of the beta hears")
    named = {name for cells in rows for name in names(cells[0])}
    ga = {event["type"] for event in wire.schema()["server"]} - {
        "conversation.created", "conversation.item.created",
    }  # fmt: skip
    published = {event["type"] for event in wire.schema()["beta"]["server"]}
    not_in_schema = {"transcription_session.created"}
    assert named == (published - ga) | not_in_schema
    assert {name for cells in rows for name in names(cells[1])} <= set(SERVER)


def test_every_setting_that_the_page_names_is_one():
    settings = (ROOT / "docs" / "settings.md").read_text()
    named = set(re.findall(r"`([A-Z]+_[A-Z_]+)(?:=\w+)?`", PAGE))
    assert named
    assert [name for name in named if f"`{name}`" not in settings] == []


def test_the_choices_are_explained():
    told = section("Choices where the contract is inferred or disputed")
    choices = re.findall(r"^\* \*\*(.+?)\*\*", told, re.MULTILINE)
    assert len(choices) > 25
    assert len(set(choices)) == len(choices)


def test_what_a_replay_may_differ_in_is_told():
    told = table("Where a replay of the published transcripts may differ")
    assert {cells[0].strip("`"): cells[1] for cells in told} == golden.EXCEPTIONS
