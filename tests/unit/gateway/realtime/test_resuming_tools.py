"""Tools when their session moves: lists are asked for again, calls are not made again."""

from __future__ import annotations

import pytest

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.mcp import UNANSWERED
from tests.moving_script import MovingScript
from tests.script import only, types
from tests.servers_of_tools import DOCS, SEARCH, SECRETS, TEXT

OPEN = {**DOCS, "require_approval": "never"}
FUNCTION = {"type": "function", "name": "look"}
GONE = "The server that called the tool is gone: it may or may not have run."


@pytest.fixture
def script() -> MovingScript:
    script = MovingScript()
    script.send("session.update", session={"type": "realtime", **TEXT})
    return script


def has(script: MovingScript, *tools: object) -> list[do.Effect]:
    session = {"type": "realtime", "tools": list(tools)}
    return script.send("session.update", session=session)


def listed(script: MovingScript, server: object) -> None:
    [asked] = only(has(script, server), do.ListTools)
    script.take(sig.ToolsListed(asked.item_id, (SEARCH,)))


def call(script: MovingScript, rid: str, name: str = "search") -> list[do.Effect]:
    return script.take(sig.ReplyCallDone(rid, "call_1", name, '{"q":"vad"}'))


def asked_for(script: MovingScript) -> str:
    """A call that the user has to approve, its response done; the request's id."""
    listed(script, DOCS)
    rid = script.respond()
    call(script, rid)
    done = script.hears(sig.ReplyEnded(rid, sig.Tokens()))[-2]
    return str(done["response"]["output"][0]["id"])


def approve(script: MovingScript, request_id: str) -> list[do.Effect]:
    kind = "mcp_approval_response"
    item = {"type": kind, "approval_request_id": request_id, "approve": True}
    return script.send("conversation.item.create", item=item)


# Lists.


@pytest.mark.parametrize("compacts", [False, True])
def test_a_server_that_has_not_answered_is_asked_again(script, compacts):
    asked = only(has(script, DOCS), do.ListTools)
    if compacts:
        script.compact()
    assert only(script.move(), do.ListTools) == asked
    events = script.hears(sig.ToolsListed(asked[0].item_id, (SEARCH,)))
    assert types(events) == ["conversation.item.done", "mcp_list_tools.completed"]


@pytest.mark.parametrize("compacts", [False, True])
def test_what_was_listed_is_known(script, compacts):
    listed(script, OPEN)
    if compacts:
        script.compact()
    assert only(script.move(), do.ListTools) == []
    [start] = only(script.send("response.create"), do.StartReply)
    assert [tool.name for tool in start.tools] == ["search"]


def test_a_server_that_failed_is_asked_when_tools_are_sent_again(script):
    [asked] = only(has(script, DOCS), do.ListTools)
    script.take(sig.ToolsNotListed(asked.item_id, "away"))
    script.compact()
    assert only(script.move(), do.ListTools) == []
    assert len(only(has(script, DOCS), do.ListTools)) == 1


def test_a_response_waits_for_the_list_elsewhere_too(script):
    [asked] = only(has(script, OPEN), do.ListTools)
    rid = script.respond()
    assert only(script.move(), do.StartReply) == []
    effects = script.take(sig.ToolsListed(asked.item_id, (SEARCH,)))
    assert [start.response_id for start in only(effects, do.StartReply)] == [rid]


# Calls.


def test_a_call_that_ran_has_an_unknown_end_and_the_reply_has_ended(script):
    listed(script, OPEN)
    rid = script.respond()
    [tool] = only(call(script, rid), do.CallTool)
    script.take(sig.ReplyEnded(rid, sig.Tokens(5, 0, 2)))
    effects = script.move()
    assert only(effects, do.CallTool) == []
    assert only(effects, do.StartReply) == []
    events = script.sent(effects)
    assert events[0]["type"] == "response.mcp_call.failed"
    done = next(event for event in events if event["type"] == "response.done")
    [item] = done["response"]["output"]
    assert (item["id"], item["error"]["message"]) == (tool.item_id, GONE)
    assert done["response"]["status"] == "completed"
    assert done["response"]["usage"]["input_tokens"] == 5
    assert script.take(sig.ToolReturned(tool.item_id, "late")) == []


def test_the_model_is_not_asked_to_make_a_call_again(script):
    """It has called, and had not ended: what else it wanted is given up."""
    listed(script, OPEN)
    rid = script.respond()
    call(script, rid)
    effects = script.move()
    assert only(effects, do.CallTool) == []
    [start] = only(effects, do.StartReply)
    assert start.begun.ended == sig.ReplyEnded(rid, sig.Tokens())
    events = script.hears(start.begun.ended)
    assert "response.done" in types(events)


def test_an_approved_call_has_an_unknown_end_and_what_waits_for_it_goes_on(script):
    request_id = asked_for(script)
    [tool] = only(approve(script, request_id), do.CallTool)
    rid = script.respond()
    effects = script.move()
    assert types(script.sent(effects)) == ["response.mcp_call.failed", "conversation.item.done"]
    assert only(effects, do.CallTool) == []
    [start] = only(effects, do.StartReply)
    assert start.response_id == rid
    assert [line.text for line in start.context if line.item.id == tool.item_id] == [GONE]


@pytest.mark.parametrize("compacts", [False, True])
def test_a_call_that_waits_for_approval_waits_on(script, compacts):
    request_id = asked_for(script)
    if compacts:
        script.compact()
    assert script.sent(script.move()) == []
    [start] = only(script.send("response.create"), do.StartReply)
    assert [line.text for line in start.context] == ["", UNANSWERED]
    script.send("response.cancel")
    [tool] = only(approve(script, request_id), do.CallTool)
    assert (tool.name, tool.arguments) == ("search", '{"q":"vad"}')
    assert (tool.server.authorization, tool.server.headers) == (SECRETS[0], DOCS["headers"])


def test_what_was_approved_stays_approved(script):
    request_id = asked_for(script)
    [tool] = only(approve(script, request_id), do.CallTool)
    script.take(sig.ToolReturned(tool.item_id, "3 hits"))
    script.compact()
    script.move()
    [error] = script.sent(approve(script, request_id))
    assert "already answered" in error["error"]["message"]


# Functions, which the client runs.


def test_a_call_with_half_its_arguments_is_given_up_and_the_reply_goes_on(script):
    has(script, FUNCTION)
    rid = script.respond()
    script.take(sig.ReplyText(rid, "Let me see."))
    script.take(sig.ReplyCall(rid, "call_1", "look", '{"a'))
    effects = script.move()
    done, closed = script.sent(effects)
    assert types([done, closed]) == ["conversation.item.done", "response.output_item.done"]
    assert closed["item"]["status"] == "incomplete"
    [start] = only(effects, do.StartReply)
    assert (start.begun.text, start.begun.ended) == ("Let me see.", None)
    [delta] = script.hears(sig.ReplyText(rid, " Hm."))
    assert delta["delta"] == " Hm."
    script.take(sig.ReplyCallDone(rid, "call_1", "look", "{}"))
    ended = script.hears(sig.ReplyEnded(rid, sig.Tokens()))
    done = next(event for event in ended if event["type"] == "response.done")
    calls = [item for item in done["response"]["output"] if item["type"] == "function_call"]
    assert [item["status"] for item in calls] == ["incomplete", "completed"]


def test_a_call_that_was_whole_is_the_end_of_what_the_model_says(script):
    has(script, FUNCTION)
    rid = script.respond()
    call(script, rid, "look")
    effects = script.move()
    assert script.sent(effects) == []
    [start] = only(effects, do.StartReply)
    assert start.begun.ended == sig.ReplyEnded(rid, sig.Tokens())


@pytest.mark.parametrize("compacts", [False, True])
def test_the_client_can_answer_a_call_elsewhere(script, compacts):
    has(script, FUNCTION)
    rid = script.respond()
    call(script, rid, "look")
    script.take(sig.ReplyEnded(rid, sig.Tokens()))
    if compacts:
        script.compact()
    script.move()
    item = {"type": "function_call_output", "call_id": "call_1", "output": "42"}
    assert types(script.says("conversation.item.create", item=item))[0].endswith("item.added")
    [start] = only(script.send("response.create"), do.StartReply)
    assert [line.text for line in start.context][-1] == "42"
