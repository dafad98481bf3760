"""Brings the schema to this version: numbered files, forward only, each applied once.

Any number of processes may do this at the same moment; one does the work and the others
wait for it. A file that was applied must never change: its checksum is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from persistence.sql import Migration, migrations

_LOCK = 0x6F766F73_66616374  # "ovosfact": one of our own among the database's advisory locks

_TABLE = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        number integer PRIMARY KEY,
        name text NOT NULL,
        checksum text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )
"""

log = logging.getLogger(__name__)


class MigrationError(Exception):
    """The schema cannot be brought to this version. The message says what to do."""


async def migrate(url: str, wanted: Sequence[Migration] | None = None) -> list[str]:
    """Apply what is missing, each file in a transaction of its own.

    Args:
        wanted: Instead of this version's. For tests.

    Returns:
        Names of what was applied.

    Raises:
        MigrationError: an applied file has changed, a number is missing or taken twice, or
            PostgreSQL refuses a file.
        psycopg.OperationalError: PostgreSQL is away.
    """
    wanted = migrations() if wanted is None else wanted
    _in_sequence(wanted)
    applied: list[str] = []
    async with await AsyncConnection.connect(url, autocommit=True, connect_timeout=2) as database:
        for migration in wanted:
            async with database.transaction():
                if await _apply(database, migration):
                    applied.append(migration.name)
        await _newer(database, len(wanted))
    for name in applied:
        log.info("migration applied", extra={"migration": name})
    return applied


def _in_sequence(wanted: Sequence[Migration]) -> None:
    for number, migration in enumerate(wanted, start=1):
        if migration.number != number:
            raise MigrationError(
                f"migrations are numbered from 0001 without gaps; {migration.name} comes "
                f"where {number:04} should be"
            )


async def _apply(database: AsyncConnection[TupleRow], migration: Migration) -> bool:
    """Apply one file unless it was; inside the caller's transaction, which the lock ends with."""
    await database.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    await database.execute(_TABLE)
    cursor = await database.execute(
        "SELECT checksum FROM schema_migrations WHERE number = %s", [migration.number]
    )
    if known := await cursor.fetchone():
        if known[0] != migration.checksum:
            raise MigrationError(
                f"{migration.name} was changed after it was applied to this database: "
                "put the file back as it was and make a new migration for the change"
            )
        return False
    try:
        await database.execute(migration.text)
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        raise MigrationError(f"{migration.name}: {error}") from error
    await database.execute(
        "INSERT INTO schema_migrations (number, name, checksum) VALUES (%s, %s, %s)",
        [migration.number, migration.name, migration.checksum],
    )
    return True


async def _newer(database: AsyncConnection[TupleRow], known: int) -> None:
    """A newer version has been here: this one may go on, migrations only add."""
    cursor = await database.execute("SELECT max(number) FROM schema_migrations")
    row = await cursor.fetchone()
    if row and row[0] and row[0] > known:
        log.warning("database is newer than this process", extra={"at": row[0], "known": known})
