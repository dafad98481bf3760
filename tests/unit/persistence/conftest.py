"""A database of this version and a store on it, for the tests of this tier."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from ovos.persistence.v1 import persistence_pb2 as pb
from persistence import rows
from persistence.database import Database
from persistence.store import Outcome, Store


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, connections=4) as database:
        await database.migrate()
        yield database


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


@pytest.fixture
def write(store: Store) -> Callable[..., Awaitable[list[Outcome]]]:
    """Writes records and says what became of each."""

    async def write(*records: pb.Record) -> list[Outcome]:
        return await store.write([rows.parse(made.SerializeToString()) for made in records])

    return write
