"""What a fact changes, as statements with their values. Nothing is executed here.

Facts are applied once each but not always in the order they happened: a conversation may
go through two sessions, and so through two streams. So every statement gives the same end
whichever fact comes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, assert_never

from psycopg.types.json import Jsonb

from persistence import facts
from persistence.facts import Fact

Values = dict[str, Any]

IN_ORDER = (
    "start_conversation",
    "put_item",
    "remove_item",
    "add_response",
    "add_event",
    "open_session",
    "close_session",
)
"""Statements that run once a row, in the order they run: what is removed was put before."""


def changes(new: Iterable[Fact]) -> dict[str, list[Values]]:
    """Rows by the name of the statement that writes them."""
    rows: dict[str, list[Values]] = {name: [] for name in IN_ORDER}
    for fact in new:
        name, values = _change(fact)
        rows[name].append(_whose(fact) | values)
    return rows


def opened(written: Iterable[Fact]) -> Values:
    """Values of open_conversations and hold_conversations: each conversation once."""
    earliest: dict[tuple[str, str], Any] = {}
    for fact in written:
        if fact.conversation_id:
            key = (fact.tenant_id, fact.conversation_id)
            earliest[key] = min(fact.occurred_at, earliest.get(key, fact.occurred_at))
    return {
        "tenant_id": [tenant_id for tenant_id, _ in earliest],
        "conversation_id": [conversation_id for _, conversation_id in earliest],
        "occurred_at": list(earliest.values()),
    }


def recorded(written: Sequence[Fact]) -> Values:
    """Values of add_records."""
    return {
        "tenant_id": [fact.tenant_id for fact in written],
        "record_id": [fact.record_id for fact in written],
        "session_id": [fact.session_id for fact in written],
        "conversation_id": [fact.conversation_id for fact in written],
        "item_id": [_item_id(fact) for fact in written],
        "kind": [fact.kind for fact in written],
        "occurred_at": [fact.occurred_at for fact in written],
        "record": [fact.record for fact in written],
    }


def of_items(new: Iterable[Fact]) -> Values:
    """Values of note_items and deleted_items: one row for each fact about an item."""
    about = [fact for fact in new if isinstance(fact.body, facts.Item | facts.Deleted)]
    return {
        "tenant_id": [fact.tenant_id for fact in about],
        "conversation_id": [fact.conversation_id for fact in about],
        "item_id": [_item_id(fact) for fact in about],
        "created_at": [
            fact.body.created_at if isinstance(fact.body, facts.Item) else None for fact in about
        ],
    }


def _whose(fact: Fact) -> Values:
    return {
        "tenant_id": fact.tenant_id,
        "conversation_id": fact.conversation_id,
        "session_id": fact.session_id,
        "occurred_at": fact.occurred_at,
    }


def _item_id(fact: Fact) -> str:
    return fact.body.item_id if isinstance(fact.body, facts.Item | facts.Deleted) else ""


def _change(fact: Fact) -> tuple[str, Values]:
    match fact.body:
        case facts.Started() as body:
            values = {"created_at": body.created_at, "metadata": Jsonb(dict(body.metadata))}
            return "start_conversation", values
        case facts.Item() as body:
            return "put_item", _item(body)
        case facts.Deleted() as body:
            return "remove_item", {"item_id": body.item_id}
        case facts.Responded() as body:
            return "add_response", _response(body)
        case facts.Event() as body:
            values = {"record_id": fact.record_id, "type": body.type, "data": body.data_json}
            return "add_event", values
        case facts.Opened() as body:
            return "open_session", {"model": body.model}
        case facts.Closed() as body:
            return "close_session", {"reason": body.reason}
        case _:
            assert_never(fact.body)


def _item(body: facts.Item) -> Values:
    return {
        "item_id": body.item_id,
        "ordinal": body.ordinal,
        "type": body.type,
        "role": body.role,
        "status": body.status,
        "text": body.text,
        "tool_json": body.tool_json,
        "response_id": body.response_id,
        "usage": Jsonb(dict(body.usage)),
        "version": body.version,
        "created_at": body.created_at,
    }


def _response(body: facts.Responded) -> Values:
    return {
        "response_id": body.response_id,
        "status": body.status,
        "reason": body.reason,
        "usage": Jsonb(dict(body.usage)),
        "item_ids": list(body.item_ids),
    }
