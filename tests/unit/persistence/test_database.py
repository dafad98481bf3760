"""PostgreSQL's absence and its errors, as ours."""

import pytest
from psycopg.pq import TransactionStatus

from mesh.errors import Broken, TooSlow, Unavailable
from persistence.database import Database, Refused
from voicemesh.servers import EmbeddedPostgres


async def test_it_answers_only_once_it_is_migrated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("postgres")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o711)  # root's server runs as nobody and must get in
    with EmbeddedPostgres(folder / "new") as server:  # one that has never seen our role
        async with Database(server.url) as database:
            assert not await database.answers()
            with pytest.raises(Unavailable, match="not migrated"):
                await database.acting_for(["acme"]).__aenter__()
            await database.migrate()
            assert await database.answers()


async def test_a_server_that_is_away_is_unavailable_with_a_time_to_try_again(own_postgres):
    async with Database(own_postgres.url) as database:
        await database.migrate()
        own_postgres.stop()
        assert not await database.answers()
        with pytest.raises(Unavailable) as away:
            async with database.acting_for(["acme"]):
                pass
        assert away.value.retry_after_s
        own_postgres.start()
        async with database.acting_for(["acme"]) as connection:
            await connection.execute("SELECT 1")


async def test_a_server_that_goes_away_in_a_transaction_is_unavailable(own_postgres):
    async with Database(own_postgres.url) as database:
        await database.migrate()

        async def cut_off() -> None:
            async with database.acting_for(["acme"]) as connection:
                own_postgres.stop()
                await connection.execute("SELECT 1")

        with pytest.raises(Unavailable):
            await cut_off()


async def test_migrating_without_a_server_is_unavailable_and_says_where_it_looked():
    async with Database("postgresql://u:hush@127.0.0.1:1/d") as database:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1") as away:
            await database.migrate()
    assert "hush" not in str(away.value)


STATEMENTS = {
    "SELECT 'x'::int": Refused,
    "INSERT INTO items (tenant_id) VALUES ('acme')": Refused,
    "SELECT * FROM nowhere": Unavailable,
    "SELECT pg_sleep(5)": TooSlow,
    "DO $$ BEGIN RAISE SQLSTATE 'XX000'; END $$": Broken,
}


@pytest.mark.parametrize("statement", STATEMENTS)
async def test_every_error_of_postgres_is_one_of_ours(statement, database_url):
    async with Database(database_url, statement_s=0.1) as database:
        await database.migrate()
        with pytest.raises(STATEMENTS[statement]):
            async with database.acting_for(["acme"]) as connection:
                await connection.execute(statement.encode())


async def test_what_postgres_says_of_a_value_is_not_repeated(database):
    with pytest.raises(Refused) as refused:
        async with database.acting_for(["acme"]) as connection:
            await connection.execute("SELECT %s::int", ["my secret"])
    assert "secret" not in str(refused.value)


async def test_an_error_undoes_the_whole_transaction(database):
    async def fail_after_a_row() -> None:
        async with database.acting_for(["acme"]) as connection:
            await connection.execute(
                "INSERT INTO conversations (tenant_id, conversation_id, created_at) "
                "VALUES ('acme', 'conv_1', now())"
            )
            await connection.execute("SELECT 'x'::int")

    with pytest.raises(Refused):
        await fail_after_a_row()
    async with database.acting_for(["acme"]) as connection:
        cursor = await connection.execute("SELECT * FROM conversations")
        assert await cursor.fetchall() == []


async def test_transactions_are_begun_by_us_so_that_a_cancelled_check_cannot_switch_them_off(
    database,
):
    """The pool's check toggles autocommit, and leaves it on if cancelled between the two."""
    async with database.acting_for(["acme"]) as connection:
        assert connection.autocommit
        assert connection.info.transaction_status is TransactionStatus.INTRANS
