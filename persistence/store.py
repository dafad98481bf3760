"""What is kept, in PostgreSQL: facts in, history out.

Every transaction names the tenants it is about, twice: in each statement, and to row
security. Errors are those of `database`; Missing says that a tenant has no such conversation.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from mesh.errors import Broken, Missing
from persistence import metrics, writing
from persistence.database import Connection, Database, Refused
from persistence.facts import Conversation, Fact, Item, Kept
from persistence.sql import queries

log = logging.getLogger(__name__)

NEWEST = (2**63 - 1, "\U0010ffff")
"""Position after every item. Positions are (ordinal, item id)."""
OLDEST = (-1, "")
"""Position before every item."""
LATEST = (datetime.max.replace(tzinfo=UTC), "\U0010ffff")
"""Position after every conversation: (created at, conversation id)."""
FIRST = (datetime.min.replace(tzinfo=UTC), UUID(int=0))
"""Position before every record: (occurred at, record id)."""


class Outcome(enum.Enum):
    """What became of a fact."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    """It had been stored before."""
    DELETED = "deleted"
    """Its conversation is deleted; the fact is dropped."""
    REFUSED = "refused"
    """It can never be stored."""
    FAILED = "failed"
    """PostgreSQL failed inside on this one; it may go another time."""


class Store:
    """The facts and the history in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = {name: text.encode() for name, text in queries().items()}

    async def answers(self) -> bool:
        """Whether PostgreSQL can be worked with now."""
        return await self._database.answers()

    async def write(self, facts: Sequence[Fact]) -> list[Outcome]:
        """Store facts, of any tenants; those that cannot be stored do not hold up the rest.

        Returns:
            What became of each, in order. All that is stored is committed.
        """
        with metrics.WRITE.time():
            outcomes = await self._write_apart(facts)
        for fact, outcome in zip(facts, outcomes, strict=True):
            metrics.FACTS.labels(fact.kind, outcome.value).inc()
        return outcomes

    async def conversation(self, tenant_id: str, conversation_id: str) -> Conversation:
        """
        Raises:
            Missing: there is none, or it is another tenant's, or it was deleted.
        """
        values = {"tenant_id": tenant_id, "conversation_id": conversation_id}
        async with (
            self._database.acting_for([tenant_id]) as connection,
            connection.cursor(row_factory=class_row(Conversation)) as cursor,
        ):
            await cursor.execute(self._sql["get_conversation"], values)
            found = await cursor.fetchone()
        if found is None:
            raise _missing()
        return found

    async def conversations(
        self,
        tenant_id: str,
        *,
        before: tuple[datetime, str] = LATEST,
        active_since: datetime | None = None,
        limit: int,
    ) -> list[Conversation]:
        """Newest first."""
        values = {
            "tenant_id": tenant_id,
            "before_at": before[0],
            "before_id": before[1],
            "active_since": active_since,
            "limit": limit,
        }
        async with (
            self._database.acting_for([tenant_id], page=True) as connection,
            connection.cursor(row_factory=class_row(Conversation)) as cursor,
        ):
            await cursor.execute(self._sql["list_conversations"], values)
            return await cursor.fetchall()

    async def items(
        self,
        tenant_id: str,
        conversation_id: str,
        *,
        ascending: bool = False,
        position: tuple[int, str] | None = None,
        limit: int,
    ) -> list[Item]:
        """Newest first, or oldest first.

        Args:
            position: Where the page before ended.

        Raises:
            Missing: there is no such conversation.
        """
        ordinal, item_id = position or (OLDEST if ascending else NEWEST)
        values = {
            "tenant_id": tenant_id,
            "conversation_id": conversation_id,
            "ordinal": ordinal,
            "item_id": item_id,
            "limit": limit,
        }
        name = "list_items_ascending" if ascending else "list_items_descending"
        async with self._database.acting_for([tenant_id], page=True) as connection:
            await self._find(connection, values)
            async with connection.cursor(row_factory=class_row(Item)) as cursor:
                await cursor.execute(self._sql[name], values)
                return await cursor.fetchall()

    async def records(
        self,
        tenant_id: str,
        conversation_id: str,
        *,
        after: tuple[datetime, UUID] = FIRST,
        limit: int,
    ) -> list[Kept]:
        """Facts as they came, oldest first.

        Raises:
            Missing: there is no such conversation.
        """
        values = {
            "tenant_id": tenant_id,
            "conversation_id": conversation_id,
            "occurred_at": after[0],
            "record_id": after[1],
            "limit": limit,
        }
        async with self._database.acting_for([tenant_id], page=True) as connection:
            await self._find(connection, values)
            async with connection.cursor(row_factory=class_row(Kept)) as cursor:
                await cursor.execute(self._sql["export_records"], values)
                return await cursor.fetchall()

    async def delete(self, tenant_id: str, conversation_id: str) -> None:
        """Remove a conversation and all that belongs to it, what is still on its way included."""
        values = {"tenant_id": tenant_id, "conversation_id": conversation_id}
        async with self._database.acting_for([tenant_id]) as connection:
            await connection.execute(self._sql["bury_conversation"], values)
            await connection.execute(self._sql["erase_conversation"], values)

    async def _find(self, connection: Connection, values: writing.Values) -> None:
        if not await self._fetch(connection, "find_conversation", values):
            raise _missing()

    async def _write_apart(self, facts: Sequence[Fact]) -> list[Outcome]:
        """All at once; if that cannot be, in halves, until the fact at fault is alone."""
        if not facts:
            return []
        try:
            return await self._write(facts)
        except (Refused, Broken) as error:
            if len(facts) == 1:
                about = {"record_id": str(facts[0].record_id), "kind": facts[0].kind}
                log.error("fact not stored", extra={**about, "error": str(error)})
                return [Outcome.REFUSED if isinstance(error, Refused) else Outcome.FAILED]
            half = len(facts) // 2
            first = await self._write_apart(facts[:half])
            return first + await self._write_apart(facts[half:])

    async def _write(self, facts: Sequence[Fact]) -> list[Outcome]:
        async with self._database.acting_for({fact.tenant_id for fact in facts}) as connection:
            deleted = await self._hold(connection, facts)
            kept = [f for f in facts if (f.tenant_id, f.conversation_id) not in deleted]
            found = await self._fetch(connection, "add_records", writing.recorded(kept))
            unseen = set(found)
            outcomes: list[Outcome] = []
            new: list[Fact] = []
            for fact in facts:
                key = (fact.tenant_id, fact.record_id)
                if (fact.tenant_id, fact.conversation_id) in deleted:
                    outcomes.append(Outcome.DELETED)
                elif key in unseen:
                    unseen.remove(key)  # a second one in the same batch is a duplicate
                    new.append(fact)
                    outcomes.append(Outcome.STORED)
                else:
                    outcomes.append(Outcome.DUPLICATE)
            await self._apply(connection, new)
        return outcomes

    async def _hold(self, connection: Connection, facts: Sequence[Fact]) -> set[tuple[str, str]]:
        """Keep the facts' conversations from being deleted meanwhile; say which already are."""
        values = writing.opened(facts)
        if not values["tenant_id"]:
            return set()
        await connection.execute(self._sql["open_conversations"], values)
        found = await self._fetch(connection, "hold_conversations", values)
        return {(tenant_id, conversation_id) for tenant_id, conversation_id, gone in found if gone}

    async def _apply(self, connection: Connection, new: Sequence[Fact]) -> None:
        async with connection.cursor() as cursor:
            for name, rows in writing.changes(new).items():
                if rows:
                    await cursor.executemany(self._sql[name], rows)
        touched = writing.of_items(new)
        if not touched["item_id"]:
            return
        await connection.execute(self._sql["note_items"], touched)
        if gone := await self._fetch(connection, "deleted_items", touched):
            names = ("tenant_id", "conversation_id", "item_id")
            async with connection.cursor() as cursor:
                rows = [dict(zip(names, row, strict=True)) for row in gone]
                await cursor.executemany(self._sql["blank_records"], rows)

    async def _fetch(self, connection: Connection, name: str, values: writing.Values) -> list[Any]:
        cursor = await connection.execute(self._sql[name], values)
        return await cursor.fetchall()


def _missing() -> Missing:
    return Missing("no such conversation", param="conversation_id")
