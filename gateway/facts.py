"""What a session leaves behind, as records for persistence.

A record's id follows from what it says: a session that another gateway restores says some
things again, two gateways may bury the same session, and all of them make the same id. So
each fact is stored once, whoever tells it and however often.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Any, Protocol, Self, assert_never

import msgspec

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
from gateway.sessions.store import Meta
from ovos.common.v1 import common_pb2
from ovos.persistence.v1 import persistence_pb2 as pb

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


class Sink(Protocol):
    """What takes records; the recorder."""

    def put(self, record: pb.Record) -> None: ...


class Facts:
    """What one session leaves behind."""

    __slots__ = ("_conversation_id", "_session_id", "_sink", "_stamp_ms", "_tenant_id")

    def __init__(
        self,
        sink: Sink,
        *,
        tenant_id: str,
        session_id: str,
        conversation_id: str,
        expires_at_s: int = 0,
    ) -> None:
        """
        Args:
            expires_at_s: The session's, unix time. It is in the records' ids, so all who speak
                for the session must give the same.
        """
        self._sink = sink
        self._tenant_id, self._session_id = tenant_id, session_id
        self._conversation_id = conversation_id
        self._stamp_ms = expires_at_s * 1000

    @classmethod
    def of(cls, sink: Sink, session_id: str, meta: Meta) -> Self:
        """Those of a session that is in the store."""
        return cls(
            sink,
            tenant_id=meta.tenant,
            session_id=session_id,
            conversation_id=meta.conversation_id,
            expires_at_s=meta.expires_at_s,
        )

    def opened(self, model: str) -> None:
        conversation = pb.Conversation(conversation_id=self._conversation_id)
        conversation.created_at.GetCurrentTime()
        self._put(pb.Record(conversation_started=conversation))
        self._put(pb.Record(session_opened=pb.SessionOpened(model=model)))

    def closed(self, reason: str) -> None:
        """Only the first one counts, of whichever gateway it is."""
        self._put(pb.Record(session_closed=pb.SessionClosed(reason=reason)))

    def keep(self, fact: do.Fact, *, again: bool = False) -> None:
        """
        Args:
            again: Another process may have told it.
        """
        match fact:
            case do.ItemKept():
                self._put(pb.Record(item=self._item(fact)), fact.item.id, str(fact.version))
            case do.ItemDropped(item_id):
                self._put(pb.Record(item_deleted=pb.ItemDeleted(item_id=item_id)), item_id)
            case do.ResponseKept():
                if not again:
                    metrics.REPLIES.labels(fact.status).inc()
                    ids = {"response_id": fact.response_id, "status": fact.status}
                    log.info("reply finished", extra={**ids, "reason": fact.reason})
                self._put(pb.Record(response_done=_response(fact)), fact.response_id)
            case _:
                assert_never(fact)

    def _item(self, fact: do.ItemKept) -> pb.Item:
        item = pb.Item(
            item_id=fact.item.id,
            conversation_id=self._conversation_id,
            ordinal=fact.ordinal,
            status=_STATUSES[getattr(fact.item, "status", "completed")],  # of MCP: only whole ones
            text=fact.text.replace("\0", ""),  # which PostgreSQL does not take
            response_id=fact.response_id,
            version=fact.version,
        )
        item.created_at.GetCurrentTime()
        _describe(item, fact.item)
        return item

    def _put(self, record: pb.Record, *which: str) -> None:
        """
        Args:
            which: Tells the record from others of its kind in the session.
        """
        told = (self._session_id, record.WhichOneof("body") or "", *which)
        record.record_id = _uuid7(self._stamp_ms, "\0".join(told))
        ref = common_pb2.SessionRef(
            tenant_id=self._tenant_id,
            session_id=self._session_id,
            conversation_id=self._conversation_id,
        )
        record.session.CopyFrom(ref)
        record.occurred_at.GetCurrentTime()
        self._sink.put(record)


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


def _uuid7(unix_ms: int, name: str) -> str:
    """RFC 9562 §5.7, with bits that follow from a name in the place of the random ones."""
    random = hashlib.blake2b(name.encode(), digest_size=10).digest()
    value = (unix_ms & (1 << 48) - 1) << 80 | int.from_bytes(random)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
