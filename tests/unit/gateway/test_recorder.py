from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from redis.exceptions import ConnectionError as RedisAway

from gateway import recorder as module
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
from gateway.recorder import Facts, Recorder
from mesh.stream import RECORD, connect, fact_stream
from ovos.common.v1 import common_pb2
from ovos.persistence.v1 import persistence_pb2 as pb
from tests.clock import Clock

SESSION = common_pb2.SessionRef(tenant_id="acme", session_id="sess_1", conversation_id="conv_1")


class FakeRedis:
    """The few calls a recorder makes; `away` fails them, `gate` holds writes back."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, dict[bytes, bytes]]] = []
        self.away = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.writing = asyncio.Event()
        self.tried = asyncio.Event()
        self.closed = False

    async def ping(self) -> None:
        self.tried.set()
        if self.away:
            raise RedisAway

    def pipeline(self, transaction: bool) -> _Pipeline:
        assert not transaction
        return _Pipeline(self)

    async def aclose(self) -> None:
        self.closed = True


class _Pipeline:
    def __init__(self, redis: FakeRedis) -> None:
        self._redis, self._batch = redis, []

    async def __aenter__(self) -> _Pipeline:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def xadd(self, stream: str, fields: dict[bytes, bytes]) -> None:
        self._batch.append((stream, fields))

    async def execute(self) -> None:
        self._redis.writing.set()
        await self._redis.gate.wait()
        if self._redis.away:
            raise RedisAway
        self._redis.entries += self._batch


@asynccontextmanager
async def running(recorder: Recorder) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(recorder.run(), name="recorder")
        yield
        task.cancel()


def fact(n: int) -> pb.Record:
    return pb.Record(record_id=str(n), session=SESSION)


def read(redis: FakeRedis) -> list[str]:
    return [pb.Record.FromString(fields[RECORD]).record_id for _, fields in redis.entries]


@pytest.fixture
async def redis():
    return FakeRedis()


@pytest.fixture
def recorder(redis):
    return Recorder(redis)


async def test_facts_go_to_their_sessions_stream_in_order(recorder, redis):
    async with running(recorder):
        for n in range(600):
            recorder.put(fact(n))
        assert await recorder.flush(timeout_s=5)
    assert read(redis) == [str(n) for n in range(600)]
    assert {stream for stream, _ in redis.entries} == {fact_stream("sess_1")}
    assert redis.closed


async def test_real_redis_takes_them(streams_url):
    redis = connect(streams_url)
    recorder = Recorder(redis)
    async with running(recorder):
        recorder.put(fact(1))
        assert await recorder.flush(timeout_s=5)
        [(_, fields)] = await redis.xrange(fact_stream("sess_1"))
    assert pb.Record.FromString(fields[RECORD]) == fact(1)


async def test_facts_wait_while_redis_is_away_and_none_is_lost(recorder, redis):
    clock = Clock(asyncio.get_running_loop())
    redis.away = True
    recorder.put(fact(1))
    async with running(recorder):
        await redis.tried.wait()
        assert not recorder.is_well
        redis.away = False
        recorder.put(fact(2))
        clock.advance(1)
        assert await recorder.flush(timeout_s=5)
        assert recorder.is_well
    assert read(redis) == ["1", "2"]


async def test_a_write_that_failed_is_made_again(recorder, redis):
    clock = Clock(asyncio.get_running_loop())
    redis.gate.clear()
    recorder.put(fact(1))
    async with running(recorder):
        await redis.writing.wait()
        redis.away = True
        redis.tried.clear()
        redis.gate.set()
        clock.advance(1)
        await redis.tried.wait()
        redis.away = False
        clock.advance(1)
        assert await recorder.flush(timeout_s=5)
    assert read(redis) == ["1"]


async def test_a_full_queue_drops_the_oldest_and_counts(recorder, redis):
    def dropped() -> float:
        return REGISTRY.get_sample_value("gateway_facts_dropped_total") or 0

    before = dropped()
    for n in range(module.MOST_WAITING + 5):
        recorder.put(fact(n))
    async with running(recorder):
        assert await recorder.flush(timeout_s=5)
    assert dropped() == before + 5
    assert read(redis) == [str(n) for n in range(5, module.MOST_WAITING + 5)]


async def test_dropping_while_a_write_is_on_its_way_loses_nothing_else(recorder, redis):
    redis.gate.clear()
    for n in range(module.MOST_WAITING):
        recorder.put(fact(n))
    async with running(recorder):
        await redis.writing.wait()  # the first batch is on its way
        for n in range(10):
            recorder.put(fact(module.MOST_WAITING + n))
        redis.gate.set()
        assert await recorder.flush(timeout_s=5)
    assert read(redis) == [str(n) for n in range(module.MOST_WAITING + 10)]


async def test_flushing_gives_up_in_time(recorder, redis):
    redis.away = True
    recorder.put(fact(1))
    async with running(recorder):
        assert not await recorder.flush(timeout_s=0.01)


class Kept(Recorder):
    def __init__(self) -> None:
        self.records: list[pb.Record] = []

    def put(self, record: pb.Record) -> None:
        self.records.append(record)


@pytest.fixture
def kept():
    return Kept()


@pytest.fixture
def facts(kept):
    return Facts(kept, tenant_id="acme", session_id="sess_1", conversation_id="conv_1")


def test_every_fact_says_whose_it_is_and_has_an_id_that_sorts_by_time(facts, kept):
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
    stamps = [UUID(record.record_id).int >> 80 for record in kept.records]
    assert stamps == sorted(stamps)


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
