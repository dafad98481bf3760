from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.realtime.mcp_tools import (
    MAX_OFFERED,
    MOST_OFFERED,
    Bound,
    allowed,
    needs_approval,
    offer,
    safe_name,
)
from gateway.realtime.settings import McpTool, Settings, Tool

URL = "https://mcp.example"


def tool(name: str, read_only: bool | None = None, **more: Any) -> dict[str, Any]:
    annotations = None if read_only is None else {"readOnlyHint": read_only}
    made = {"name": name, "description": f"does {name}", "input_schema": {"type": "object"}}
    return {**made, "annotations": annotations, **more}


READ, WRITE, UNKNOWN = tool("read", True), tool("write", False), tool("unknown")
ALL = (READ, WRITE, UNKNOWN)


def server(label: str = "docs", **fields: Any) -> McpTool:
    return McpTool(label, URL, **fields)


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (None, ["read", "write", "unknown"]),
        ([], []),
        (["write", "nope"], ["write"]),
        ({}, ["read", "write", "unknown"]),
        ({"tool_names": ["read", "write"]}, ["read", "write"]),
        ({"read_only": True}, ["read"]),
        ({"read_only": False}, ["write", "unknown"]),
        ({"tool_names": ["write"], "read_only": True}, []),
    ],
)
def test_the_model_has_what_the_client_allows(wanted, names):
    assert [t["name"] for t in allowed(server(allowed_tools=wanted), ALL)] == names


@pytest.mark.parametrize(
    ("wanted", "asked"),
    [
        (None, ["read", "write", "unknown"]),
        ("always", ["read", "write", "unknown"]),
        ("never", []),
        ({}, ["read", "write", "unknown"]),
        ({"never": {"read_only": True}}, ["write", "unknown"]),
        ({"never": {"tool_names": ["write"]}}, ["read", "unknown"]),
        ({"always": {"tool_names": ["write"]}}, ["read", "write", "unknown"]),
        (
            {"always": {"tool_names": ["read"]}, "never": {"tool_names": ["read", "write"]}},
            ["read", "unknown"],
        ),
        ({"never": {}}, ["read", "write", "unknown"]),
        ({"never": None, "always": None}, ["read", "write", "unknown"]),
    ],
)
def test_the_user_is_asked_unless_the_client_says_never(wanted, asked):
    ours = server(require_approval=wanted)
    assert [t["name"] for t in ALL if needs_approval(ours, t)] == asked


def test_tools_are_offered_as_functions_under_their_own_names():
    settings = Settings(tools=(Tool("f"), server(require_approval="never")))
    made = offer(settings, {"docs": (READ,)})
    schema = {"type": "object", "properties": {}}
    assert made.tools == (Tool("f"), Tool("read", "does read", schema))
    assert made.bound == {"read": Bound(settings.servers[0], "read", needs_approval=False)}
    assert (made.choice, made.notes) == ("auto", "")


def test_a_schema_stays_as_it_is():
    schema = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
    made = offer(Settings(tools=(server(),)), {"docs": (tool("a", input_schema=schema),)})
    assert made.tools[0].parameters == schema


def test_a_name_that_is_taken_gets_its_servers_before_it():
    settings = Settings(tools=(server("one"), Tool("read"), server("two"), server("t w")))
    made = offer(settings, {"one": (READ, WRITE), "two": (WRITE,), "t w": (WRITE, tool("write"))})
    assert [t.name for t in made.tools] == [
        "read", "one__read", "write", "two__write", "t_w__write", "t_w__write_2",
    ]  # fmt: skip
    assert made.bound["two__write"].name == "write"
    assert made.bound["two__write"].server.server_label == "two"


def test_names_are_such_as_models_take():
    assert safe_name("get weather/ü") == "get_weather__"
    long = "x" * 100
    made = offer(
        Settings(tools=(server("one"), server("two"), server("three"))),
        dict.fromkeys(("one", "two", "three"), (tool(long),)),
    )
    names = [t.name for t in made.tools]
    assert len(set(names)) == 3
    assert all(len(name) <= 64 for name in names)
    assert {bound.name for bound in made.bound.values()} == {long}


def test_an_offer_has_an_end():
    many = tuple(tool(f"t{n}") for n in range(MOST_OFFERED + 1))
    made = offer(Settings(tools=(Tool("f"), server())), {"docs": many})
    assert len(made.tools) == MOST_OFFERED
    assert len(made.bound) == MOST_OFFERED - 1
    large = tuple(tool(f"t{n}", description="x" * 100_000) for n in range(20))
    made = offer(Settings(tools=(server(),)), {"docs": large})
    assert 0 < len(msgspec.json.encode(made.tools)) <= MAX_OFFERED


@pytest.mark.parametrize(
    ("choice", "tools", "told"),
    [
        ("required", ["f", "read", "write"], "required"),
        ({"type": "function", "name": "f"}, ["f", "read", "write"], None),
        ({"type": "mcp", "server_label": "docs"}, ["read", "write"], "required"),
        ({"type": "mcp", "server_label": "docs", "name": None}, ["read", "write"], "required"),
        (
            {"type": "mcp", "server_label": "docs", "name": "write"},
            ["f", "read", "write"],
            {"type": "function", "name": "write"},
        ),
        ({"type": "mcp", "server_label": "docs", "name": "no"}, ["f", "read", "write"], "auto"),
        ({"type": "mcp", "server_label": "other"}, ["f", "read", "write"], "auto"),
    ],
)
def test_a_choice_among_servers_is_said_without_them(choice, tools, told):
    settings = Settings(tools=(Tool("f"), server(), server("other")), tool_choice=choice)
    made = offer(settings, {"docs": (READ, WRITE)})
    assert [t.name for t in made.tools] == tools
    assert made.choice == (told or choice)


def test_nothing_must_be_called_if_no_server_answered():
    settings = Settings(tools=(server(),), tool_choice="required")
    assert offer(settings, {}).choice == "auto"
    assert offer(Settings(tool_choice="required"), {}).choice == "required"


def test_the_model_is_told_what_a_server_is():
    settings = Settings(tools=(server(server_description="all docs"), server("b")))
    made = offer(settings, {"docs": (READ,), "b": (WRITE,)})
    assert made.notes == "Tools of 'docs': all docs"
    assert offer(settings, {"b": (WRITE,)}).notes == ""
