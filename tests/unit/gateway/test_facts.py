from __future__ import annotations

from uuid import UUID

import pytest

from gateway.facts import Facts
from gateway.realtime import effects as do
from gateway.realtime.items import (
    FunctionCall,
    FunctionCallOutput,
    InputText,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpTools,
    Message,
)
from gateway.sessions.store import Meta
from ovos.common.v1 import common_pb2
from ovos.persistence.v1 import persistence_pb2 as pb

SESSION = common_pb2.SessionRef(tenant_id="acme", session_id="sess_1", conversation_id="conv_1")
META = Meta("acme", "hash", "gpt-realtime", 1_800_000_000, "conv_1")


class Kept:
    def __init__(self) -> None:
        self.records: list[pb.Record] = []

    def put(self, record: pb.Record) -> None:
        self.records.append(record)


@pytest.fixture
def kept():
    return Kept()


@pytest.fixture
def facts(kept):
    return Facts(
        kept,
        tenant_id="acme",
        session_id="sess_1",
        conversation_id="conv_1",
        expires_at_s=META.expires_at_s,
    )


def test_every_fact_says_whose_it_is_and_has_an_id_of_its_own(facts, kept):
    facts.opened("gpt-realtime")
    facts.closed("client_left")
    started, opened, closed = kept.records
    assert started.conversation_started.conversation_id == "conv_1"
    assert opened.session_opened.model == "gpt-realtime"
    assert closed.session_closed.reason == "client_left"
    for record in kept.records:
        assert record.session == SESSION
        assert record.HasField("occurred_at")
        assert UUID(record.record_id).version == 7
    assert len({record.record_id for record in kept.records}) == 3


def test_ids_are_of_the_sessions_time(facts, kept):
    facts.closed("client_left")
    assert UUID(kept.records[0].record_id).int >> 80 == META.expires_at_s * 1000


def tell_all(facts: Facts) -> None:
    facts.opened("gpt-realtime")
    for version in (1, 2):
        facts.keep(do.ItemKept(Message("item_1", "user", ()), "words", 7, version, ""))
    facts.keep(do.ItemKept(Message("item_2", "user", ()), "words", 8, 1, ""))
    facts.keep(do.ItemDropped("item_1"))
    facts.keep(do.ItemDropped("item_2"))
    facts.keep(do.ResponseKept("resp_1", "completed", "", (), 1, 2))
    facts.keep(do.ResponseKept("resp_2", "completed", "", (), 1, 2))
    facts.closed("client_left")


def test_another_gateway_that_tells_the_same_gives_the_same_ids(facts, kept):
    tell_all(facts)
    ours = [record.record_id for record in kept.records]
    assert len(set(ours)) == len(ours) == 10
    kept.records.clear()
    tell_all(Facts.of(kept, "sess_1", META))
    assert [record.record_id for record in kept.records] == ours


def test_another_session_that_tells_the_same_gives_others(facts, kept):
    tell_all(facts)
    tell_all(Facts.of(kept, "sess_2", META))
    assert len({record.record_id for record in kept.records}) == 20


def test_a_session_ends_once_whoever_says_so_and_why(facts, kept):
    facts.closed("client_left")
    Facts.of(kept, "sess_1", META).closed("abandoned")
    first, second = kept.records
    assert first.record_id == second.record_id


@pytest.mark.parametrize(
    ("item", "type_", "role", "tool"),
    [
        (
            Message("item_1", "user", (InputText("hi"),)),
            pb.ITEM_TYPE_MESSAGE,
            pb.ITEM_ROLE_USER,
            "",
        ),
        (
            FunctionCall("item_1", "f", "call_1", "{}"),
            pb.ITEM_TYPE_FUNCTION_CALL,
            pb.ITEM_ROLE_ASSISTANT,
            '{"name":"f","call_id":"call_1","arguments":"{}"}',
        ),
        (
            FunctionCallOutput("item_1", "call_1", "21"),
            pb.ITEM_TYPE_FUNCTION_CALL_OUTPUT,
            pb.ITEM_ROLE_TOOL,
            '{"call_id":"call_1","output":"21"}',
        ),
        (
            McpTools("item_1", "docs", ({"name": "search", "input_schema": {"type": "object"}},)),
            pb.ITEM_TYPE_MCP_LIST_TOOLS,
            pb.ITEM_ROLE_TOOL,
            '{"server_label":"docs","tools":["search"]}',
        ),
        (
            McpCall("item_1", "docs", "search", "{}", "mcpr_1", "3 hits"),
            pb.ITEM_TYPE_MCP_CALL,
            pb.ITEM_ROLE_ASSISTANT,
            '{"server_label":"docs","name":"search","arguments":"{}",'
            '"approval_request_id":"mcpr_1","output":"3 hits","error":null}',
        ),
        (
            McpApprovalRequest("item_1", "docs", "search", "{}"),
            pb.ITEM_TYPE_MCP_APPROVAL_REQUEST,
            pb.ITEM_ROLE_ASSISTANT,
            '{"server_label":"docs","name":"search","arguments":"{}"}',
        ),
        (
            McpApprovalResponse("item_1", "mcpr_1", True),
            pb.ITEM_TYPE_MCP_APPROVAL_RESPONSE,
            pb.ITEM_ROLE_USER,
            '{"approval_request_id":"mcpr_1","approve":true}',
        ),
    ],
)
def test_items_of_every_kind_are_kept(facts, kept, item, type_, role, tool):
    facts.keep(do.ItemKept(item, "words", 7, 2, "resp_1"))
    [record] = kept.records
    got = record.item
    assert (got.item_id, got.conversation_id, got.text) == ("item_1", "conv_1", "words")
    assert (got.ordinal, got.version, got.response_id) == (7, 2, "resp_1")
    assert (got.type, got.role, got.tool_json) == (type_, role, tool)
    assert got.status == pb.ITEM_STATUS_COMPLETED


def test_deletions_and_responses_are_kept(facts, kept):
    facts.keep(do.ItemDropped("item_1"))
    facts.keep(do.ResponseKept("resp_1", "cancelled", "turn_detected", ("item_2",), 3, 4))
    dropped, response = kept.records
    assert dropped.item_deleted.item_id == "item_1"
    done = response.response_done
    assert (done.response_id, done.status, done.reason) == ("resp_1", "cancelled", "turn_detected")
    assert list(done.item_ids) == ["item_2"]
    assert (done.usage.input_tokens, done.usage.output_tokens) == (3, 4)
