from __future__ import annotations

import pytest

from gateway.realtime.conversation import Entry
from gateway.realtime.items import McpTools
from gateway.realtime.mcp_listing import Listing, key, tool, why
from gateway.realtime.settings import McpTool
from tests.script import event_of

SERVER = McpTool("docs", "https://docs.example", authorization="hush", headers={"x": "secret"})


def test_a_list_is_open_until_it_comes_or_will_not():
    listing = Listing(SERVER, Entry(McpTools("i", "docs")), of_session=True)
    assert listing.is_open
    listing.tools = ()
    assert not listing.is_open
    listing.tools, listing.failed = None, True
    assert not listing.is_open


def test_the_error_says_which_server_and_why_and_no_secret():
    error = event_of(why(SERVER, "It is away.")).error
    assert (error.type, error.code) == ("server_error", "mcp_list_tools_failed")
    assert "'docs'" in error.message
    assert error.message.endswith("It is away.")
    assert "hush" not in error.message


def test_what_a_tool_lacks_is_filled_in():
    bare = {"name": "f", "description": None, "annotations": ["junk"], "more": 1}
    schema = {"type": "object"}
    assert tool(bare) == {
        "name": "f", "description": "", "input_schema": schema, "annotations": None,
    }  # fmt: skip
    whole = {"name": "f", "description": "d", "input_schema": {}, "annotations": {"a": 1}}
    assert tool(whole) == {**whole, "input_schema": schema}


@pytest.mark.parametrize(
    "other",
    [
        McpTool("other", "https://docs.example", authorization="hush", headers={"x": "secret"}),
        McpTool("docs", "https://b.example", authorization="hush", headers={"x": "secret"}),
        McpTool("docs", "https://docs.example", authorization="loud", headers={"x": "secret"}),
        McpTool("docs", "https://docs.example", authorization="hush", headers={"x": "other"}),
        McpTool("docs", "https://docs.example", allowed_tools=["a"], authorization="hush"),
    ],
)
def test_another_place_secret_or_choice_makes_another_server(other):
    assert key(other) != key(SERVER)


def test_what_a_server_is_for_does_not():
    described = McpTool(
        "docs", "https://docs.example", "About docs.", require_approval="never",
        authorization="hush", headers={"x": "secret"},
    )  # fmt: skip
    assert key(described) == key(SERVER)
