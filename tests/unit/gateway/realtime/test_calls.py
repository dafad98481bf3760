"""The calls of a response. Function calls alone: test_response.py."""

from __future__ import annotations

import msgspec
import pytest

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.calls import MAX_OUTPUT, fitting
from tests.script import only, types
from tests.servers_of_tools import DOCS, World

R, ITEM = "response", "conversation.item"
FREE = {**DOCS, "require_approval": "never"}
F = {"type": "function", "name": "f"}
HTTP = {"type": "http_error", "code": 502, "message": "bad gateway"}


@pytest.fixture
def world() -> World:
    """A session with an MCP server and a function; a response runs."""
    world = World()
    world.listed(FREE, F)
    world.start()
    return world


def called(world: World, arguments: str = '{"q":"vad"}') -> str:
    """The model calls the server's tool; the item's id."""
    [tool] = only(world.call("search", arguments), do.CallTool)
    return str(tool.item_id)


def test_the_ladder_of_a_call(world):
    effects = world.call("search", '{"q":"vad"}')
    assert types(world.sent(effects)) == [
        f"{R}.output_item.added",
        f"{ITEM}.added",
        f"{R}.mcp_call_arguments.delta",
        f"{R}.mcp_call_arguments.delta",
        f"{R}.mcp_call_arguments.done",
        f"{R}.mcp_call.in_progress",
    ]
    [tool] = only(effects, do.CallTool)
    assert (tool.name, tool.arguments) == ("search", '{"q":"vad"}')
    assert tool.server.headers == DOCS["headers"]
    done = world.hears(sig.ToolReturned(tool.item_id, "3 hits"))
    assert types(done) == [f"{R}.mcp_call.completed", f"{ITEM}.done", f"{R}.output_item.done"]
    assert done[1]["item"] == done[2]["item"]
    assert (done[1]["item"]["output"], done[1]["item"]["error"]) == ("3 hits", None)
    assert types(world.sent(world.end())) == [f"{R}.done", "rate_limits.updated"]


def test_deltas_are_padded_with_a_text_as_one_client_needs(world):
    world.call("search", "{}")
    assert world.last(f"{R}.mcp_call_arguments.delta")["obfuscation"] == ""


@pytest.mark.parametrize(
    "error",
    [
        HTTP,
        {"type": "protocol_error", "code": -32602, "message": "no such tool"},
        {"type": "tool_execution_error", "message": "the shelf is empty"},
    ],
)
def test_the_ladder_of_a_call_that_fails(world, error):
    item_id = called(world)
    failed = world.hears(sig.ToolFailed(item_id, error))
    assert types(failed) == [f"{R}.mcp_call.failed", f"{ITEM}.done", f"{R}.output_item.done"]
    assert (failed[2]["item"]["error"], failed[2]["item"]["output"]) == (error, None)
    world.end()
    assert world.last(f"{R}.done")["response"]["status"] == "completed"
    assert world.start().context[-1].text == error["message"]


def test_a_response_is_done_when_its_calls_are(world):
    first, second = called(world), called(world)
    assert world.end() == []
    assert types(world.hears(sig.ToolReturned(second, "b")))[-1] == f"{R}.output_item.done"
    assert types(world.hears(sig.ToolReturned(first, "a")))[-2:] == [
        f"{R}.done", "rate_limits.updated",
    ]  # fmt: skip
    response = world.last(f"{R}.done")["response"]
    assert [item["output"] for item in response["output"]] == ["a", "b"]
    assert response["usage"]["total_tokens"] == 12


def test_what_was_said_is_closed_before_the_calls_return(world):
    world.take(sig.ReplyText(world.rid, "One moment."))
    item_id = called(world)
    assert types(world.sent(world.end())) == [
        f"{R}.output_text.done",
        f"{R}.content_part.done",
        f"{ITEM}.done",
        f"{R}.output_item.done",
    ]
    world.take(sig.ToolReturned(item_id, "3 hits"))
    assert len(world.last(f"{R}.done")["response"]["output"]) == 2


def test_functions_and_servers_are_called_side_by_side(world):
    item_id = called(world)
    assert only(world.call("f", "{}"), do.CallTool) == []
    assert world.last(f"{R}.output_item.done")["item"]["type"] == "function_call"
    world.end()
    world.take(sig.ToolReturned(item_id, "3 hits"))
    kinds = [item["type"] for item in world.last(f"{R}.done")["response"]["output"]]
    assert kinds == ["mcp_call", "function_call"]


def test_a_call_without_arguments_has_an_empty_object(world):
    [tool] = only(world.call("search", ""), do.CallTool)
    assert tool.arguments == "{}"
    assert world.last(f"{R}.mcp_call_arguments.done")["arguments"] == "{}"


def test_a_name_that_was_made_for_the_model_is_not_what_the_server_is_called_with():
    world = World()
    world.listed({"type": "function", "name": "search"}, FREE)
    world.start()
    [tool] = only(world.call("docs__search", "{}"), do.CallTool)
    assert tool.name == "search"
    assert world.last(f"{R}.output_item.added")["item"]["name"] == "search"
    assert only(world.call("search", "{}"), do.CallTool) == []


def test_nothing_goes_on_by_itself(world):
    item_id = called(world)
    world.end()
    assert only(world.take(sig.ToolReturned(item_id, "3 hits")), do.StartReply) == []
    [line] = world.start().context[1:]
    assert (line.item.id, line.text) == (item_id, "3 hits")


@pytest.mark.parametrize("ended", [False, True])
def test_cancelling_gives_calls_up(world, ended):
    item_id = called(world)
    if ended:
        world.end()
    effects = world.send("response.cancel")
    assert only(effects, do.DropTool) == [do.DropTool(item_id)]
    assert bool(only(effects, do.StopReply)) is not ended
    assert types(world.sent(effects))[:3] == [
        f"{R}.mcp_call.failed", f"{ITEM}.done", f"{R}.output_item.done",
    ]  # fmt: skip
    [item] = world.last(f"{R}.done")["response"]["output"]
    assert item["error"]["type"] == "tool_execution_error"
    assert world.take(sig.ToolReturned(item_id, "late")) == []
    assert world.start().context[-1].text == item["error"]["message"]


def test_speaking_over_the_wait_ends_it(world):
    item_id = called(world)
    world.end()
    effects = world.take(sig.SpeechStarted("u1", 100))
    assert only(effects, do.DropTool) == [do.DropTool(item_id)]
    details = world.last(f"{R}.done")["response"]["status_details"]
    assert details["reason"] == "turn_detected"


def test_a_failed_reply_gives_calls_up(world):
    item_id = called(world)
    effects = world.take(sig.ReplyFailed(world.rid, "llm_unavailable", "?"))
    assert only(effects, do.DropTool) == [do.DropTool(item_id)]
    assert world.last(f"{R}.done")["response"]["status"] == "failed"


def test_a_call_that_was_cut_off_is_not_made(world):
    world.take(sig.ReplyCall(world.rid, "call_1", "search", '{"q'))
    effects = world.end("max_output_tokens")
    assert only(effects, do.CallTool) == only(effects, do.DropTool) == []
    assert f"{R}.mcp_call.failed" not in types(world.sent(effects))
    [item] = world.last(f"{R}.done")["response"]["output"]
    assert (item["arguments"], item["error"]["type"]) == ('{"q', "tool_execution_error")
    assert world.last(f"{R}.done")["response"]["status"] == "incomplete"


def test_an_incomplete_reply_still_waits_for_its_calls(world):
    item_id = called(world)
    world.take(sig.ReplyText(world.rid, "I am"))
    assert world.sent(world.end("max_output_tokens"))[-1]["item"]["status"] == "incomplete"
    world.take(sig.ToolReturned(item_id, "3 hits"))
    assert world.last(f"{R}.done")["response"]["status"] == "incomplete"


def test_a_request_for_approval_ends_the_response(world):
    world.end()
    world.update(DOCS)
    world.start()
    effects = world.call("search", '{"q":"vad"}')
    assert only(effects, do.CallTool) == []
    assert types(world.sent(effects)) == [
        f"{R}.output_item.added",
        f"{ITEM}.added",
        f"{R}.mcp_call_arguments.done",
        f"{ITEM}.done",
        f"{R}.output_item.done",
    ]
    assert types(world.sent(world.end())) == [f"{R}.done", "rate_limits.updated"]
    [item] = world.last(f"{R}.done")["response"]["output"]
    assert (item["type"], item["arguments"]) == ("mcp_approval_request", '{"q":"vad"}')


def test_a_request_that_was_cut_off_cannot_be_approved(world):
    world.end()
    world.update(DOCS)
    world.start()
    world.take(sig.ReplyCall(world.rid, "call_1", "search", '{"q'))
    world.end("max_output_tokens")
    [item] = world.last(f"{R}.done")["response"]["output"]
    answer = {"type": "mcp_approval_response", "approve": True, "approval_request_id": item["id"]}
    world.error("conversation.item.create", item=answer)


def test_calls_outside_the_conversation_are_not_kept():
    world = World()
    world.listed(FREE)
    world.start(conversation="none")
    effects = world.call("search", "{}")
    [tool] = only(effects, do.CallTool)
    assert f"{ITEM}.added" not in types(world.sent(effects))
    assert types(world.hears(sig.ToolReturned(tool.item_id, "3 hits"))) == [
        f"{R}.mcp_call.completed", f"{R}.output_item.done",
    ]  # fmt: skip
    world.end()


def test_a_response_outside_waits_for_a_call_of_the_conversation(world):
    item_id = called(world)
    aside = world.send("response.create", response={"conversation": "none"})
    assert only(aside, do.StartReply) == []
    [start] = only(world.take(sig.ToolReturned(item_id, "3 hits")), do.StartReply)
    assert start.context[-1].text == "3 hits"


def test_a_running_call_that_is_given_up_lets_others_go_on(world):
    rid = world.rid
    called(world)
    world.send("response.create", response={"conversation": "none"})
    [start] = only(world.send("response.cancel", response_id=rid), do.StartReply)
    assert start.response_id != rid


def test_outputs_fit_into_events(world):
    for _ in range(4):
        item_id = called(world)
        world.take(sig.ToolReturned(item_id, "\n" * 200_000))
    world.end()
    response = world.last(f"{R}.done")["response"]
    assert len(msgspec.json.encode(response)) < 1 << 20
    assert "cut off" in response["output"][-1]["output"]


def test_an_output_that_is_too_long_is_cut():
    assert fitting("x" * (MAX_OUTPUT - 2), MAX_OUTPUT) == "x" * (MAX_OUTPUT - 2)
    cut = fitting("\0" * MAX_OUTPUT, MAX_OUTPUT)
    assert len(msgspec.json.encode(cut)) < MAX_OUTPUT + 100
    assert cut.endswith(f"(The rest of {MAX_OUTPUT} characters was cut off.)")
    assert fitting("xyz", 0).startswith("\n(The rest")
