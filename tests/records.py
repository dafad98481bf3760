"""Records as a gateway would send them, for tests."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from ovos.persistence.v1 import persistence_pb2 as pb

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def uuid7() -> str:
    """A UUIDv7 of now."""
    random = int.from_bytes(os.urandom(10), "big")
    ms = time.time_ns() // 1_000_000
    return str(UUID(int=ms << 80 | 7 << 76 | (random >> 68) << 64 | 2 << 62 | random % (1 << 62)))


def record(
    kind: str,
    body: Any,
    *,
    tenant: str = "acme",
    session: str = "sess_1",
    conversation: str = "conv_1",
    at: datetime = NOON,
) -> pb.Record:
    made = pb.Record(record_id=uuid7(), **{kind: body})
    made.session.tenant_id = tenant
    made.session.session_id = session
    made.session.conversation_id = conversation
    made.occurred_at.FromDatetime(at)
    return made


def item(text: str = "Hello.", *, ordinal: int = 1, version: int = 1, **who: Any) -> pb.Record:
    """An item of the user; its id follows from its ordinal."""
    body = pb.Item(
        item_id=f"item_{ordinal}",
        ordinal=ordinal,
        role=pb.ITEM_ROLE_USER,
        status=pb.ITEM_STATUS_COMPLETED,
        type=pb.ITEM_TYPE_MESSAGE,
        text=text,
        version=version,
    )
    return record("item", body, **who)


def deleted(item_id: str, **who: Any) -> pb.Record:
    return record("item_deleted", pb.ItemDeleted(item_id=item_id), **who)


def event(data_json: str = "{}", *, type: str = "worker.failover", **who: Any) -> pb.Record:
    return record("event", pb.SessionEvent(type=type, data_json=data_json), **who)


def one_of_each(**who: Any) -> list[pb.Record]:
    """A short session, with a fact of every kind."""
    return [
        record("session_opened", pb.SessionOpened(model="gpt-realtime"), **who),
        record("conversation_started", pb.Conversation(metadata={"topic": "weather"}), **who),
        item("What is the weather?", ordinal=1, **who),
        item("Never mind.", ordinal=2, **who),
        record(
            "response_done",
            pb.ResponseDone(
                response_id="resp_1",
                status="cancelled",
                reason="turn_detected",
                item_ids=["item_2"],
            ),
            **who,
        ),
        deleted("item_2", **who),
        event('{"tier": "tts"}', **who),
        record("session_closed", pb.SessionClosed(reason="client_left"), **who),
    ]
