"""Facts to the Redis Stream, from where persistence takes them. Never delays a turn."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from contextlib import suppress
from typing import Any, assert_never

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway import metrics
from gateway.realtime import effects as do
from gateway.realtime.items import (
    FunctionCall,
    FunctionCallOutput,
    Item,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpTools,
    Message,
)
from mesh.stream import RECORD, fact_stream, stop_if_cancelled
from ovos.common.v1 import common_pb2
from ovos.persistence.v1 import persistence_pb2 as pb

MOST_WAITING = 20_000  # facts; some minutes of a busy process, some ten megabytes
_BATCH = 256
_AGAIN_S = 0.5
_LOOK_S = 1.0  # so that readiness is no older

_ROLES = {
    "system": pb.ITEM_ROLE_SYSTEM,
    "user": pb.ITEM_ROLE_USER,
    "assistant": pb.ITEM_ROLE_ASSISTANT,
}
_STATUSES = {
    "in_progress": pb.ITEM_STATUS_IN_PROGRESS,
    "completed": pb.ITEM_STATUS_COMPLETED,
    "incomplete": pb.ITEM_STATUS_INCOMPLETE,
}
_OF_MCP = {
    McpTools: (pb.ITEM_TYPE_MCP_LIST_TOOLS, pb.ITEM_ROLE_TOOL),
    McpCall: (pb.ITEM_TYPE_MCP_CALL, pb.ITEM_ROLE_ASSISTANT),
    McpApprovalRequest: (pb.ITEM_TYPE_MCP_APPROVAL_REQUEST, pb.ITEM_ROLE_ASSISTANT),
    McpApprovalResponse: (pb.ITEM_TYPE_MCP_APPROVAL_RESPONSE, pb.ITEM_ROLE_USER),
}

log = logging.getLogger(__name__)


class Recorder:
    """A bounded queue in front of Redis. Full, it drops the oldest facts and counts them."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: deque[tuple[str, bytes]] = deque(maxlen=MOST_WAITING)
        self._dropped = 0
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self.is_well = False
        """Whether Redis takes facts."""

    def put(self, record: pb.Record) -> None:
        if len(self._waiting) == MOST_WAITING:
            metrics.FACTS_DROPPED.inc()
            self._dropped += 1
        self._waiting.append((fact_stream(record.session.session_id), record.SerializeToString()))
        self._empty.clear()
        self._wake.set()

    async def run(self) -> None:
        """Write what comes, and try Redis now and then when nothing does."""
        try:
            while True:
                await self._write_or_wait()
                stop_if_cancelled()
        finally:
            await self._redis.aclose()

    async def flush(self, timeout_s: float) -> bool:
        """Wait until all has been written; returns whether it was."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            log.error("facts lost at exit", extra={"facts": len(self._waiting)})
            return False
        return True

    async def _write_or_wait(self) -> None:
        try:
            await self._redis.ping()
            self._says(well=True)
            await self._write_all()
        except (RedisError, OSError) as error:
            self._says(well=False, why=type(error).__name__)
            await asyncio.sleep(_AGAIN_S)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                await self._wake.wait()

    async def _write_all(self) -> None:
        self._wake.clear()
        while self._waiting:
            batch = [self._waiting[n] for n in range(min(_BATCH, len(self._waiting)))]
            dropped = self._dropped
            async with self._redis.pipeline(transaction=False) as pipe:
                for stream, record in batch:
                    pipe.xadd(stream, {RECORD: record})
                await pipe.execute()
            # Only now: a failed write is tried again, and consumers drop what comes twice.
            for _ in range(len(batch) - (self._dropped - dropped)):
                self._waiting.popleft()
            metrics.FACTS_WAITING.set(len(self._waiting))
        self._empty.set()

    def _says(self, *, well: bool, why: str = "") -> None:
        if well != self.is_well:
            self.is_well = well
            if well:
                log.info("redis takes facts")
            else:
                log.error("redis away", extra={"reason": why, "facts": len(self._waiting)})


class Facts:
    """What one session leaves behind."""

    def __init__(
        self, recorder: Recorder, *, tenant_id: str, session_id: str, conversation_id: str
    ) -> None:
        self._recorder = recorder
        self._session = common_pb2.SessionRef(
            tenant_id=tenant_id, session_id=session_id, conversation_id=conversation_id
        )

    def opened(self, model: str) -> None:
        conversation = pb.Conversation(conversation_id=self._session.conversation_id)
        conversation.created_at.GetCurrentTime()
        self._put(pb.Record(conversation_started=conversation))
        self._put(pb.Record(session_opened=pb.SessionOpened(model=model)))

    def closed(self, reason: str) -> None:
        self._put(pb.Record(session_closed=pb.SessionClosed(reason=reason)))

    def keep(self, fact: do.Fact) -> None:
        match fact:
            case do.ItemKept():
                self._put(pb.Record(item=self._item(fact)))
            case do.ItemDropped(item_id):
                self._put(pb.Record(item_deleted=pb.ItemDeleted(item_id=item_id)))
            case do.ResponseKept():
                self._put(pb.Record(response_done=_response(fact)))
            case _:
                assert_never(fact)

    def _item(self, fact: do.ItemKept) -> pb.Item:
        item = pb.Item(
            item_id=fact.item.id,
            conversation_id=self._session.conversation_id,
            ordinal=fact.ordinal,
            status=_STATUSES[getattr(fact.item, "status", "completed")],  # of MCP: only whole ones
            text=fact.text.replace("\0", ""),  # which PostgreSQL does not take
            response_id=fact.response_id,
            version=fact.version,
        )
        item.created_at.GetCurrentTime()
        _describe(item, fact.item)
        return item

    def _put(self, record: pb.Record) -> None:
        record.record_id = _uuid7()
        record.session.CopyFrom(self._session)
        record.occurred_at.GetCurrentTime()
        self._recorder.put(record)


def _describe(item: pb.Item, wire: Item) -> None:
    match wire:
        case Message(role=role):
            item.type, item.role = pb.ITEM_TYPE_MESSAGE, _ROLES[role]
        case FunctionCall(name=name, call_id=call_id, arguments=arguments):
            item.type, item.role = pb.ITEM_TYPE_FUNCTION_CALL, pb.ITEM_ROLE_ASSISTANT
            item.tool_json = _json(name=name, call_id=call_id, arguments=arguments)
        case FunctionCallOutput(call_id=call_id, output=output):
            item.type, item.role = pb.ITEM_TYPE_FUNCTION_CALL_OUTPUT, pb.ITEM_ROLE_TOOL
            item.tool_json = _json(call_id=call_id, output=output)
        case _:
            _describe_mcp(item, wire)


def _describe_mcp(
    item: pb.Item, wire: McpTools | McpCall | McpApprovalRequest | McpApprovalResponse
) -> None:
    """What an item of MCP says. None of them holds what a server is asked with."""
    item.type, item.role = _OF_MCP[type(wire)]
    fields = msgspec.to_builtins(wire)
    if isinstance(wire, McpTools):
        fields["tools"] = [tool["name"] for tool in wire.tools]
    del fields["type"], fields["id"]
    item.tool_json = _json(**fields)


def _json(**fields: Any) -> str:
    return msgspec.json.encode(fields).decode()


def _response(fact: do.ResponseKept) -> pb.ResponseDone:
    return pb.ResponseDone(
        response_id=fact.response_id,
        status=fact.status,
        reason=fact.reason,
        item_ids=fact.item_ids,
        usage=common_pb2.Usage(input_tokens=fact.input_tokens, output_tokens=fact.output_tokens),
    )


def _uuid7() -> str:
    """RFC 9562 §5.7: 48 bits of unix milliseconds, then random ones."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
