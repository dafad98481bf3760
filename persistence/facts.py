"""What the tier keeps, as values of its own: no wire, no SQL.

A fact is one thing that happened in a session. Times are aware and in UTC; ids and text
hold no NUL, which PostgreSQL cannot keep; "" stands for an id that was not given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A conversation began."""

    created_at: datetime
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One turn, tool call or tool result."""

    item_id: str
    conversation_id: str
    ordinal: int
    type: str
    """ "message", "function_call" or "function_call_output"."""
    role: str
    """ "user", "assistant", "system", "tool" or ""."""
    status: str
    """ "in_progress", "completed", "incomplete" or ""."""
    text: str
    tool_json: str
    response_id: str
    usage: Mapping[str, int]
    version: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """An item was removed."""

    item_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Responded:
    """A response ended."""

    response_id: str
    status: str
    reason: str
    usage: Mapping[str, int]
    item_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something else happened."""

    type: str
    data_json: str
    """Valid JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A session began."""

    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A session ended."""

    reason: str


Body = Started | Item | Deleted | Responded | Event | Opened | Closed


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that happened, and the bytes it came as."""

    record_id: UUID
    tenant_id: str
    session_id: str
    conversation_id: str
    occurred_at: datetime
    kind: str
    """Name of the body's field in persistence.v1.Record."""
    body: Body
    record: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A conversation as it is kept."""

    conversation_id: str
    created_at: datetime
    last_item_at: datetime | None
    item_count: int
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A fact as it came, for export."""

    occurred_at: datetime
    record_id: UUID
    record: bytes = field(repr=False)
