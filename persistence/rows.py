"""Wire messages ↔ what the tier keeps.

* BadRecord: a record that can never be stored; trying again cannot help.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from ovos.common.v1 import common_pb2
from ovos.persistence.v1 import persistence_pb2 as pb
from persistence import facts

MAX_ID_CHARS = 200  # a key of three of them stays far below what an index can hold
MAX_COUNT = 2**63 - 1  # PostgreSQL has no unsigned integers

_ROLES: dict[int, str] = {
    pb.ITEM_ROLE_UNSPECIFIED: "",
    pb.ITEM_ROLE_SYSTEM: "system",
    pb.ITEM_ROLE_USER: "user",
    pb.ITEM_ROLE_ASSISTANT: "assistant",
    pb.ITEM_ROLE_TOOL: "tool",
}
_STATUSES: dict[int, str] = {
    pb.ITEM_STATUS_UNSPECIFIED: "",
    pb.ITEM_STATUS_IN_PROGRESS: "in_progress",
    pb.ITEM_STATUS_COMPLETED: "completed",
    pb.ITEM_STATUS_INCOMPLETE: "incomplete",
}
_TYPES: dict[int, str] = {
    pb.ITEM_TYPE_MESSAGE: "message",
    pb.ITEM_TYPE_FUNCTION_CALL: "function_call",
    pb.ITEM_TYPE_FUNCTION_CALL_OUTPUT: "function_call_output",
    pb.ITEM_TYPE_MCP_LIST_TOOLS: "mcp_list_tools",
    pb.ITEM_TYPE_MCP_CALL: "mcp_call",
    pb.ITEM_TYPE_MCP_APPROVAL_REQUEST: "mcp_approval_request",
    pb.ITEM_TYPE_MCP_APPROVAL_RESPONSE: "mcp_approval_response",
}
_NEEDS_CONVERSATION = {"conversation_started", "item", "item_deleted"}


class BadRecord(Exception):
    """A record that cannot be stored. Never holds what people said."""

    def __init__(self, detail: str, param: str = "") -> None:
        """
        Args:
            param: Path of the field at fault.
        """
        self.detail, self.param = detail, param
        super().__init__(f"{param}: {detail}" if param else detail)


def parse(raw: bytes) -> facts.Fact:
    """The fact in a serialized Record.

    Raises:
        BadRecord: it is none, or breaks the contract.
    """
    try:
        record = pb.Record.FromString(raw)
    except DecodeError as error:
        raise BadRecord("not a serialized ovos.persistence.v1.Record") from error
    return fact(record, raw)


def fact(record: pb.Record, raw: bytes) -> facts.Fact:
    """
    Args:
        raw: The record, serialized.

    Raises:
        BadRecord: it breaks the contract.
    """
    kind = record.WhichOneof("body")
    if kind is None:
        raise BadRecord("empty, or of a kind that this version does not know", "body")
    tenant_id = id_of(record.session.tenant_id, "session.tenant_id", required=True)
    session_id = id_of(record.session.session_id, "session.session_id", required=True)
    occurred_at = time_of(record.occurred_at, "occurred_at")
    return facts.Fact(
        record_id=_record_id(record.record_id),
        tenant_id=tenant_id,
        session_id=session_id,
        conversation_id=_conversation_id(record, kind),
        occurred_at=occurred_at,
        kind=kind,
        body=_BODIES[kind](getattr(record, kind), occurred_at),
        record=raw,
    )


def item(kept: facts.Item) -> pb.Item:
    """An item for the wire."""
    return pb.Item(
        item_id=kept.item_id,
        conversation_id=kept.conversation_id,
        ordinal=kept.ordinal,
        role=_number(_ROLES, kept.role),
        status=_number(_STATUSES, kept.status),
        type=_number(_TYPES, kept.type),
        text=kept.text,
        tool_json=kept.tool_json,
        created_at=_timestamp(kept.created_at),
        response_id=kept.response_id,
        usage=common_pb2.Usage(**kept.usage) if kept.usage else None,
        version=kept.version,
    )


def conversation(kept: facts.Conversation) -> pb.Conversation:
    """A conversation for the wire."""
    return pb.Conversation(
        conversation_id=kept.conversation_id,
        created_at=_timestamp(kept.created_at),
        last_item_at=_timestamp(kept.last_item_at) if kept.last_item_at else None,
        item_count=kept.item_count,
        metadata=dict(kept.metadata),
    )


def record(kept: facts.Kept) -> pb.Record:
    """A record for the wire, as it came."""
    return pb.Record.FromString(kept.record)


def id_of(text: str, param: str, *, required: bool = False) -> str:
    """
    Raises:
        BadRecord: it cannot be an id of anything kept here.
    """
    if required and not text:
        raise BadRecord("is required", param)
    if len(text) > MAX_ID_CHARS or "\0" in text:
        raise BadRecord(f"more than {MAX_ID_CHARS} characters, or a NUL in it", param)
    return text


def time_of(stamp: Timestamp, param: str, otherwise: datetime | None = None) -> datetime:
    """
    Args:
        otherwise: What an absent time means; None means that it is required.

    Raises:
        BadRecord: it is required, or no time.
    """
    if not stamp.ListFields():
        if otherwise is None:
            raise BadRecord("is required", param)
        return otherwise
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise BadRecord("not a time between the years 1 and 9999", param) from error


def _conversation_id(record: pb.Record, kind: str) -> str:
    """Whose conversation it is: the session's, which an item may repeat but not contradict."""
    of_session = id_of(record.session.conversation_id, "session.conversation_id")
    named = of_session
    if kind == "item":
        named = id_of(record.item.conversation_id, "item.conversation_id") or of_session
    elif kind == "conversation_started":
        started = record.conversation_started.conversation_id
        named = id_of(started, "conversation_started.conversation_id") or of_session
    if of_session and named != of_session:
        raise BadRecord("not the conversation of its session", f"{kind}.conversation_id")
    if kind in _NEEDS_CONVERSATION and not named:
        raise BadRecord("is required", "session.conversation_id")
    return named


def _started(body: pb.Conversation, occurred_at: datetime) -> facts.Started:
    created_at = time_of(body.created_at, "conversation_started.created_at", occurred_at)
    metadata = {_text(key): _text(value) for key, value in body.metadata.items()}
    return facts.Started(created_at=created_at, metadata=metadata)


def _item(body: pb.Item, occurred_at: datetime) -> facts.Item:
    return facts.Item(
        item_id=id_of(body.item_id, "item.item_id", required=True),
        conversation_id=id_of(body.conversation_id, "item.conversation_id"),
        ordinal=_count(body.ordinal, "item.ordinal"),
        type=_TYPES.get(body.type, "message"),
        role=_ROLES.get(body.role, ""),
        status=_STATUSES.get(body.status, ""),
        text=_text(body.text),
        tool_json=_text(body.tool_json),
        response_id=id_of(body.response_id, "item.response_id"),
        usage=_usage(body.usage),
        version=body.version,
        created_at=time_of(body.created_at, "item.created_at", occurred_at),
    )


def _deleted(body: pb.ItemDeleted, _: datetime) -> facts.Deleted:
    return facts.Deleted(item_id=id_of(body.item_id, "item_deleted.item_id", required=True))


def _responded(body: pb.ResponseDone, _: datetime) -> facts.Responded:
    return facts.Responded(
        response_id=id_of(body.response_id, "response_done.response_id", required=True),
        status=_text(body.status),
        reason=_text(body.reason),
        usage=_usage(body.usage),
        item_ids=tuple(id_of(item_id, "response_done.item_ids") for item_id in body.item_ids),
    )


def _event(body: pb.SessionEvent, _: datetime) -> facts.Event:
    data_json = body.data_json or "{}"
    try:
        json.loads(data_json, parse_constant=_not_json)
    except (ValueError, RecursionError) as error:
        raise BadRecord("not JSON", "event.data_json") from error
    return facts.Event(type=_text(body.type), data_json=data_json)


def _not_json(constant: str) -> None:
    raise ValueError(constant)  # NaN and Infinity, which only Python takes for JSON


_BODIES: dict[str, Callable[[Any, datetime], facts.Body]] = {
    "conversation_started": _started,
    "item": _item,
    "event": _event,
    "item_deleted": _deleted,
    "response_done": _responded,
    "session_opened": lambda body, _: facts.Opened(model=_text(body.model)),
    "session_closed": lambda body, _: facts.Closed(reason=_text(body.reason)),
}


def _record_id(text: str) -> UUID:
    try:
        found = UUID(text)
    except ValueError as error:
        raise BadRecord("not a UUID", "record_id") from error
    if found.version != 7:
        raise BadRecord("not a UUID of version 7", "record_id")
    return found


def _text(text: str) -> str:
    """PostgreSQL cannot keep NUL; the record itself, kept as bytes, still has it."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _count(number: int, param: str) -> int:
    if number > MAX_COUNT:
        raise BadRecord("too large", param)
    return number


def _usage(usage: common_pb2.Usage) -> dict[str, int]:
    return {field.name: value for field, value in usage.ListFields()}


def _timestamp(time: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def _number(names: Mapping[int, str], name: str) -> Any:
    """The enum's number of a name; the stubs give every enum a type of its own."""
    return next((number for number, known in names.items() if known == name), 0)
