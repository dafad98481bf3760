"""PostgreSQL: connections, transactions, and its errors as ours.

* mesh.errors.Unavailable: it is away, or not as this version needs it. Try again.
* mesh.errors.TooSlow: it answers, too late.
* mesh.errors.Broken: it failed inside.
* Refused: it can never take these rows. Trying again cannot help.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Self

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from mesh.errors import Broken, MeshError, TooSlow, Unavailable
from persistence.migrations import migrate
from persistence.sql import queries

Connection = AsyncConnection[TupleRow]

# A server that is gone without a word is noticed by these, in about 5 s.
_LIVELY = {
    "connect_timeout": 2,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
}
_POOL_S = 2.0  # for a connection: a caller is told rather than kept waiting
_REFUSED = {"22", "23", "54"}  # bad data, a constraint, a limit: the rows are at fault
_NOT_NOW = {"25", "42"}  # a read-only standby, a schema or a right that is not there (yet)
_CANCELED = "57014"
_RETRY_S = 1.0


class Refused(Exception):
    """PostgreSQL will never take these rows. Its words may hold what people said: not kept."""


class Database:
    """A pool that checks a connection before it lends it, and gives it a tenant."""

    def __init__(self, url: str, *, connections: int = 8, statement_s: float = 10.0) -> None:
        """
        Args:
            url: With the password. Never logged.
            statement_s: How long one statement may take.
        """
        self._url = url
        self._timeout_ms = int(statement_s * 1000)
        self._act_for = queries()["act_for"].encode()
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            # Autocommit, with every transaction begun by us: the pool's check switches it on and,
            # if it is cancelled just then, leaves it on; a transaction would silently be none.
            kwargs={**_LIVELY, "application_name": "voicemesh persistence", "autocommit": True},
            min_size=1,
            max_size=connections,
            timeout=_POOL_S,
            check=AsyncConnectionPool.check_connection,
            # Then it gives up, and the next request makes it try at once: left to itself its
            # pauses double up to minutes.
            reconnect_timeout=_POOL_S,
            name="persistence",
            open=False,
        )

    async def __aenter__(self) -> Self:
        await self._pool.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def migrate(self) -> list[str]:
        """Bring the schema to this version.

        Raises:
            MigrationError: it cannot be.
            Unavailable: PostgreSQL is away.
        """
        with _asking():
            return await migrate(self._url)

    async def answers(self) -> bool:
        """Whether a transaction can be had now."""
        try:
            async with self.acting_for([]):
                return True
        except MeshError:
            return False

    @asynccontextmanager
    async def acting_for(
        self, tenant_ids: Iterable[str], *, page: bool = False
    ) -> AsyncIterator[Connection]:
        """A transaction that sees the rows of these tenants and no others; commits at its end.

        Args:
            page: Whether it reads a page, in the order of an index.
        """
        values = {
            "tenants": list(tenant_ids),
            "timeout_ms": str(self._timeout_ms),
            "sorting": "off" if page else "on",
        }
        with _asking():
            async with self._pool.connection() as connection, connection.transaction():
                try:
                    await connection.execute(self._act_for, values)
                except psycopg.DataError as error:  # "role does not exist": no row is at fault
                    raise Unavailable(
                        "PostgreSQL is not migrated", retry_after_s=_RETRY_S
                    ) from error
                yield connection


@contextmanager
def _asking() -> Iterator[None]:
    """Turn psycopg's errors into ours."""
    try:
        yield
    except psycopg.Error as error:
        raise _ours(error) from error


def _ours(error: psycopg.Error) -> MeshError | Refused:
    state = error.sqlstate or ""
    kind = f"{type(error).__name__} {state}".strip()
    if not state and isinstance(error, psycopg.OperationalError):
        kind = str(error).partition("\n")[0]  # of the connection: who, where; no row, no password
    if state[:2] in _REFUSED or (not state and isinstance(error, psycopg.DataError)):
        return Refused(kind)
    if state == _CANCELED:
        return TooSlow(f"PostgreSQL took too long ({kind})")
    if state[:2] in _NOT_NOW or isinstance(error, psycopg.OperationalError):
        return Unavailable(f"PostgreSQL is away ({kind})", retry_after_s=_RETRY_S)
    return Broken(f"PostgreSQL failed ({kind})")
