"""Lists of MCP servers and approvals. Calls inside responses: test_calls.py."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.conversation import MAX_ITEMS
from gateway.realtime.mcp import DENIED, MAX_LIST, MAX_LISTED, MOST_SERVERS, UNANSWERED
from gateway.realtime.settings import Tool
from tests.script import Script, only, types
from tests.servers_of_tools import DOCS, SEARCH, SECRETS, World

LISTED = ["conversation.item.done", "mcp_list_tools.completed"]
DROPPED = ["conversation.item.done", "mcp_list_tools.failed"]
FAILED = [*DROPPED, "error"]


@pytest.fixture
def world() -> World:
    return World()


def test_a_new_server_is_listed_after_the_update_is_confirmed(world):
    effects = world.update(DOCS)
    told = types(world.sent(effects))
    assert told == ["session.updated", "conversation.item.added", "mcp_list_tools.in_progress"]
    [asked] = only(effects, do.ListTools)
    assert asked.server.server_url == DOCS["server_url"]
    assert asked.server.authorization == DOCS["authorization"]
    done, completed = world.hears(sig.ToolsListed(asked.item_id, (SEARCH,)))
    assert [done["type"], completed["type"]] == LISTED
    assert done["item"]["tools"] == [SEARCH]
    assert completed["item_id"] == asked.item_id


def test_a_server_of_the_preset_is_listed_when_the_session_opens():
    script = Script(preset={"type": "realtime", "tools": [DOCS]})
    effects = script.session.open()
    told = types(script.sent(effects))
    assert told == ["session.created", "conversation.item.added", "mcp_list_tools.in_progress"]
    assert len(only(effects, do.ListTools)) == 1


def test_what_tools_lack_is_filled_in_and_what_is_not_allowed_is_left_out(world):
    [asked] = only(world.update({**DOCS, "allowed_tools": ["a"]}), do.ListTools)
    bare = {"name": "a", "description": None, "input_schema": None, "annotations": "junk"}
    done, _ = world.hears(sig.ToolsListed(asked.item_id, (bare, SEARCH)))
    schema = {"type": "object"}
    assert done["item"]["tools"] == [
        {"name": "a", "description": "", "input_schema": schema, "annotations": None}
    ]


def test_a_server_that_does_not_answer_has_a_list_without_tools(world):
    [asked] = only(world.update(DOCS), do.ListTools)
    done, failed, why = world.hears(sig.ToolsNotListed(asked.item_id, "away"))
    assert [done["type"], failed["type"], why["type"]] == FAILED
    assert why["error"]["code"] == "mcp_list_tools_failed"
    assert "'docs'" in why["error"]["message"]
    assert "away" in why["error"]["message"]
    assert done["item"]["tools"] == []
    assert world.start().tools == ()


def test_a_server_that_failed_is_asked_again_when_tools_are_sent_again(world):
    [asked] = only(world.update(DOCS), do.ListTools)
    world.take(sig.ToolsNotListed(asked.item_id, "away"))
    assert only(world.send("session.update", session={"type": "realtime"}), do.ListTools) == []
    world.take(sig.ReplyEnded(world.respond(), sig.Tokens()))
    [again] = only(world.update(DOCS), do.ListTools)
    assert again.item_id != asked.item_id


def test_a_server_that_is_known_is_not_asked_again(world):
    world.listed(DOCS)
    assert only(world.update({**DOCS, "require_approval": "never"}), do.ListTools) == []
    assert only(world.update({**DOCS, "server_description": "all"}), do.ListTools) == []


@pytest.mark.parametrize(
    "change",
    [
        {"server_url": "https://other.example"},
        {"authorization": "another"},
        {"headers": {}},
        {"allowed_tools": ["search"]},
    ],
)
def test_a_changed_server_is_another_one(world, change):
    world.listed(DOCS)
    effects = world.update({**DOCS, **change})
    assert len(only(effects, do.ListTools)) == 1
    assert only(effects, do.DropTool) == []
    world.sent(effects)
    start = only(world.send("response.create"), do.StartReply)
    assert start == []  # it waits for the new list


def test_a_server_that_is_gone_is_forgotten_and_its_late_news_ignored(world):
    [asked] = only(world.update(DOCS), do.ListTools)
    effects = world.update()
    assert only(effects, do.DropTool) == [do.DropTool(asked.item_id)]
    assert types(world.sent(effects)) == ["session.updated", *DROPPED]
    assert world.take(sig.ToolsListed(asked.item_id, (SEARCH,))) == []
    assert world.start().tools == ()


def test_tools_are_gone_with_their_server(world):
    world.listed(DOCS)
    assert [tool.name for tool in world.start().tools] == ["search"]
    world.end()
    assert types(world.sent(world.update())) == ["session.updated"]
    assert world.start().tools == ()


def test_a_list_comes_once(world):
    [asked] = only(world.update(DOCS), do.ListTools)
    assert world.take(sig.ToolsListed(asked.item_id, (SEARCH,)))
    assert world.take(sig.ToolsListed(asked.item_id, (SEARCH,))) == []
    assert world.take(sig.ToolsNotListed(asked.item_id, "late")) == []
    assert world.take(sig.ToolReturned("nobody", "late")) == []


def test_without_its_item_a_server_is_asked_again(world):
    item_id = world.listed(DOCS)
    assert only(world.send("conversation.item.delete", item_id=item_id), do.DropTool) == []
    effects = world.send("response.create")
    assert len(only(effects, do.ListTools)) == 1
    assert only(effects, do.StartReply) == []


def test_deleting_the_item_gives_a_list_up(world):
    [asked] = only(world.update(DOCS), do.ListTools)
    world.send("response.create")
    effects = world.send("conversation.item.delete", item_id=asked.item_id)
    assert only(effects, do.DropTool) == [do.DropTool(asked.item_id)]
    assert len(only(effects, do.StartReply)) == 1  # nothing to wait for any more
    assert world.take(sig.ToolsListed(asked.item_id, (SEARCH,))) == []


# Responses.


def test_a_response_waits_for_the_list(world):
    [asked] = only(world.update(DOCS), do.ListTools)
    effects = world.send("response.create")
    assert types(world.sent(effects)) == ["response.created"]
    assert only(effects, do.StartReply) == []
    [start] = only(world.take(sig.ToolsListed(asked.item_id, (SEARCH,))), do.StartReply)
    assert start.tools == (Tool("search", SEARCH["description"], SEARCH["input_schema"]),)


def test_a_response_goes_on_without_a_server_that_does_not_answer(world):
    world.update(DOCS, {"type": "function", "name": "f"})
    [asked] = only(world.update(DOCS, {"type": "function", "name": "g"}), do.ListTools) or [None]
    assert asked is None  # the first update asked already
    world.send("response.create")
    [start] = only(world.take(sig.ToolsNotListed("mcpl_2", "away")), do.StartReply)
    assert start.tools == (Tool("g"),)


def test_a_response_that_waits_can_be_cancelled(world):
    [asked] = only(world.update(DOCS), do.ListTools)
    world.send("response.create")
    effects = world.send("response.cancel")
    assert only(effects, do.StopReply) == []
    assert only(world.take(sig.ToolsListed(asked.item_id, (SEARCH,))), do.StartReply) == []


def test_a_server_of_a_response_is_listed_and_stays_known(world):
    effects = world.send("response.create", response={"tools": [DOCS]})
    told = types(world.sent(effects))
    assert told == ["response.created", "conversation.item.added", "mcp_list_tools.in_progress"]
    [asked] = only(effects, do.ListTools)
    [start] = only(world.take(sig.ToolsListed(asked.item_id, (SEARCH,))), do.StartReply)
    assert [tool.name for tool in start.tools] == ["search"]
    world.end()
    assert world.start().tools == ()  # the session does not have it
    world.end()
    [start] = only(world.send("response.create", response={"tools": [DOCS]}), do.StartReply)
    assert [tool.name for tool in start.tools] == ["search"]


def test_an_answered_turn_waits_for_the_list_too(world):
    [asked] = only(world.update(DOCS), do.ListTools)
    assert only(world.utterance(), do.StartReply) == []
    assert len(only(world.take(sig.ToolsListed(asked.item_id, (SEARCH,))), do.StartReply)) == 1


def test_the_choice_of_a_server_is_the_choice_of_its_tools(world):
    world.listed(DOCS)
    choice = {"type": "mcp", "server_label": "docs"}
    f = {"type": "function", "name": "f"}
    world.send("session.update", session={"type": "realtime", "tools": [DOCS, f]})
    [start] = only(world.send("response.create", response={"tool_choice": choice}), do.StartReply)
    assert ([tool.name for tool in start.tools], start.tool_choice) == (["search"], "required")


def test_the_model_is_told_what_a_server_is(world):
    world.send("session.update", session={"type": "realtime", "instructions": "Be brief."})
    world.listed({**DOCS, "server_description": "All docs."})
    assert world.start().instructions == "Be brief.\n\nTools of 'docs': All docs."


# Limits.


def test_servers_have_a_limit(world):
    many = [{**DOCS, "server_label": f"s{n}"} for n in range(MOST_SERVERS + 1)]
    session = {"type": "realtime", "tools": many}
    assert world.error("session.update", session=session)["param"] == "session.tools"
    assert world.error("response.create", response={"tools": many})["param"] == "response.tools"
    assert only(world.update(*many[1:]), do.ListTools)


def test_a_full_conversation_has_no_room_for_lists(world):
    for _ in range(MAX_ITEMS):
        world.user_says("hi")
    error = world.error("session.update", session={"type": "realtime", "tools": [DOCS]})
    assert error["code"] == "conversation_full"


def test_a_list_that_no_event_can_carry_counts_as_failed(world):
    [asked] = only(world.update(DOCS), do.ListTools)
    huge = {**SEARCH, "description": "x" * MAX_LIST}
    assert types(world.hears(sig.ToolsListed(asked.item_id, (huge,)))) == FAILED


def test_a_session_keeps_only_so_many_lists(world):
    large = {**SEARCH, "description": "x" * (MAX_LIST - 1000)}
    told = []
    for n in range(MAX_LISTED // MAX_LIST + 2):
        [asked] = only(world.update({**DOCS, "server_label": f"s{n}"}), do.ListTools)
        told.append(types(world.hears(sig.ToolsListed(asked.item_id, (large,)))))
    assert told[0] == LISTED
    assert told[-1] == FAILED


def test_secrets_are_in_no_event_and_no_fact(world):
    world.listed({**DOCS, "require_approval": "never"})
    world.start()
    [tool] = only(world.call("search", "{}"), do.CallTool)
    world.take(sig.ToolReturned(tool.item_id, "3 hits"))
    world.end()
    facts = only(world.effects, do.Record)
    assert len(facts) == 3  # the list, the call, the response
    for secret in SECRETS:
        assert secret not in f"{world.heard} {facts}"


# Approval.


def _asked(world: World) -> str:
    """A call that waits for approval, its response done; the request's id."""
    world.listed(DOCS)
    world.start()
    world.call("search", '{"q":"vad"}')
    world.end()
    return str(world.last("response.done")["response"]["output"][0]["id"])


def _answer(request_id: str, approve: bool, **more: Any) -> dict[str, Any]:
    return {
        "type": "mcp_approval_response", "approval_request_id": request_id, "approve": approve,
        **more,
    }  # fmt: skip


def test_a_call_is_made_once_it_is_approved(world):
    request_id = _asked(world)
    effects = world.send("conversation.item.create", item=_answer(request_id, True))
    added, done, call, began = world.sent(effects)
    assert added["item"] == done["item"]
    assert added["item"]["id"].startswith("mcpa_")
    assert added["previous_item_id"] == request_id
    assert call["previous_item_id"] == added["item"]["id"]
    call_id = call["item"]["id"]
    assert call["item"] == {
        "id": call_id, "type": "mcp_call", "server_label": "docs", "name": "search",
        "arguments": '{"q":"vad"}', "approval_request_id": request_id, "output": None,
        "error": None,
    }  # fmt: skip
    assert (began["type"], began["item_id"]) == ("response.mcp_call.in_progress", call_id)
    [tool] = only(effects, do.CallTool)
    assert (tool.item_id, tool.name, tool.arguments) == (call_id, "search", '{"q":"vad"}')
    assert tool.server.authorization == DOCS["authorization"]
    completed, done = world.hears(sig.ToolReturned(call_id, "3 hits"))
    assert completed["type"] == "response.mcp_call.completed"
    assert (completed["output_index"], done["item"]["output"]) == (0, "3 hits")
    assert [line.text for line in world.start().context if line.item.id == call_id] == ["3 hits"]


def test_the_approval_goes_where_the_client_wants_it(world):
    request_id = _asked(world)
    later = world.user_says("go on")
    item = _answer(request_id, True, id="mine")
    effects = world.send("conversation.item.create", item=item, previous_item_id=request_id)
    added, _, call, _ = world.sent(effects)
    assert (added["previous_item_id"], call["previous_item_id"]) == (request_id, "mine")
    assert later not in {event["previous_item_id"] for event in (added, call)}


def test_an_approved_call_may_fail(world):
    item = _answer(_asked(world), True)
    [tool] = only(world.send("conversation.item.create", item=item), do.CallTool)
    error = {"type": "http_error", "code": 502, "message": "bad gateway"}
    failed, done = world.hears(sig.ToolFailed(tool.item_id, error))
    assert failed["type"] == "response.mcp_call.failed"
    assert (done["item"]["error"], done["item"]["output"]) == (error, None)


def test_a_response_waits_for_an_approved_call(world):
    item = _answer(_asked(world), True)
    [tool] = only(world.send("conversation.item.create", item=item), do.CallTool)
    assert only(world.send("response.create"), do.StartReply) == []
    assert len(only(world.take(sig.ToolReturned(tool.item_id, "3 hits")), do.StartReply)) == 1


def test_a_call_that_is_not_approved_is_not_made_and_the_model_learns_it(world):
    request_id = _asked(world)
    effects = world.send("conversation.item.create", item=_answer(request_id, False, reason="No!"))
    assert types(world.sent(effects)) == ["conversation.item.added", "conversation.item.done"]
    assert only(effects, do.CallTool) == []
    [line] = [line for line in world.start().context if line.item.id == request_id]
    assert line.text == f"{DENIED} No!"


def test_the_model_knows_what_was_not_answered_yet(world):
    request_id = _asked(world)
    [line] = [line for line in world.start().context if line.item.id == request_id]
    assert line.text == UNANSWERED


def test_only_what_was_asked_can_be_answered_and_once(world):
    request_id = _asked(world)
    error = world.error("conversation.item.create", item=_answer("mcpr_9", True))
    assert (error["code"], error["param"]) == ("invalid_value", "item.approval_request_id")
    world.send("conversation.item.create", item=_answer(request_id, False))
    error = world.error("conversation.item.create", item=_answer(request_id, True))
    assert error["message"] == f"Approval request with id '{request_id}' was already answered."
    assert (error["code"], error["param"]) == ("invalid_value", "item.approval_request_id")


def test_a_refused_approval_can_be_sent_again(world):
    request_id = _asked(world)
    item = _answer(request_id, True)
    world.error("conversation.item.create", item=item, previous_item_id="nope")
    assert only(world.send("conversation.item.create", item=item), do.CallTool)


def test_what_was_asked_is_gone_with_its_item_or_its_server(world):
    request_id = _asked(world)
    world.send("conversation.item.delete", item_id=request_id)
    world.error("conversation.item.create", item=_answer(request_id, True))
    request_id = _asked(world)
    world.update()
    world.error("conversation.item.create", item=_answer(request_id, True))


def test_an_approved_call_takes_the_newest_secrets(world):
    request_id = _asked(world)
    world.update({**DOCS, "authorization": "fresh"})
    item = _answer(request_id, True)
    [tool] = only(world.send("conversation.item.create", item=item), do.CallTool)
    assert tool.server.authorization == "fresh"


def test_deleting_an_approved_call_gives_it_up(world):
    item = _answer(_asked(world), True)
    [tool] = only(world.send("conversation.item.create", item=item), do.CallTool)
    effects = world.send("conversation.item.delete", item_id=tool.item_id)
    assert only(effects, do.DropTool) == [do.DropTool(tool.item_id)]
    assert world.take(sig.ToolReturned(tool.item_id, "late")) == []
