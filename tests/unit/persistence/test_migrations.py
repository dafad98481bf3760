"""Migrations on a real PostgreSQL: once, by one, in order, never changed."""

import asyncio
import dataclasses

import psycopg
import pytest

from persistence.migrations import MigrationError, migrate
from persistence.sql import Migration, migrations

NAMES = [migration.name for migration in migrations()]


def tables(url: str) -> set[str]:
    with psycopg.connect(url) as database:
        query = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        return {name for (name,) in database.execute(query)}


async def test_an_empty_database_is_brought_to_this_version(database_url):
    assert await migrate(database_url) == NAMES
    assert {"conversations", "items", "responses", "sessions", "session_events", "records"} <= (
        tables(database_url)
    )


async def test_a_second_start_changes_nothing(database_url):
    await migrate(database_url)
    assert await migrate(database_url) == []


async def test_processes_that_start_together_migrate_once(database_url):
    async with asyncio.TaskGroup() as tasks:
        starts = [tasks.create_task(migrate(database_url), name=f"start {n}") for n in range(4)]
    assert sorted(name for start in starts for name in start.result()) == NAMES


async def test_a_file_that_changed_after_it_was_applied_is_an_error_that_says_what_to_do(
    database_url,
):
    await migrate(database_url)
    changed = dataclasses.replace(migrations()[0], text=migrations()[0].text + "-- edited")
    with pytest.raises(MigrationError, match=f"{changed.name} was changed.*make a new migration"):
        await migrate(database_url, [changed, *migrations()[1:]])


async def test_a_missing_number_is_an_error_before_anything_is_applied(database_url):
    with pytest.raises(MigrationError, match=r"0003_c\.sql comes where 0002 should be"):
        await migrate(
            database_url,
            [Migration(1, "0001_a.sql", "SELECT 1"), Migration(3, "0003_c.sql", "SELECT 1")],
        )
    assert tables(database_url) == set()


async def test_a_file_that_fails_leaves_nothing_of_itself_and_keeps_those_before_it(database_url):
    bad = Migration(2, "0002_bad.sql", "CREATE TABLE b (x int); SELECT * FROM nowhere")
    with pytest.raises(MigrationError, match=r"0002_bad\.sql: relation \"nowhere\""):
        await migrate(database_url, [Migration(1, "0001_a.sql", "CREATE TABLE a (x int)"), bad])
    assert tables(database_url) == {"schema_migrations", "a"}


async def test_an_older_version_works_on_a_newer_database(database_url, caplog):
    newer = Migration(len(NAMES) + 1, "9999_newer.sql", "CREATE TABLE newer (x int)")
    await migrate(database_url, [*migrations(), newer])
    assert await migrate(database_url) == []
    assert "newer than this process" in caplog.text
