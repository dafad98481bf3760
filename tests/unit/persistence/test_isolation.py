"""One tenant never sees or changes what is another's: in the store, and behind it."""

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from mesh.errors import Missing
from persistence.database import Database
from tests.records import item, one_of_each

ALL = SQL("SELECT * FROM {}")
GIVE_AWAY = SQL("UPDATE {} SET tenant_id = 'globex'")
DROP_ALL = SQL("DELETE FROM {}")
TABLES = ["conversations", "items", "responses", "sessions", "session_events", "records"]


@pytest.fixture
async def of_acme(write):
    await write(*one_of_each(tenant="acme"))


class TestStore:
    async def test_another_tenants_conversation_is_missing(self, of_acme, store):
        for ask in (
            store.conversation("globex", "conv_1"),
            store.items("globex", "conv_1", limit=1),
            store.records("globex", "conv_1", limit=1),
        ):
            with pytest.raises(Missing):
                await ask
        assert await store.conversations("globex", limit=10) == []

    async def test_deleting_another_tenants_conversation_leaves_it(self, of_acme, store):
        await store.delete("globex", "conv_1")
        assert (await store.conversation("acme", "conv_1")).item_count == 1

    async def test_the_same_ids_of_two_tenants_are_two_conversations(self, of_acme, write, store):
        await write(item("Theirs.", tenant="globex"))
        [kept] = await store.items("globex", "conv_1", limit=10)
        assert kept.text == "Theirs."
        assert (await store.conversation("acme", "conv_1")).item_count == 1

    async def test_a_tenants_name_cannot_name_a_second_tenant(self, of_acme, store):
        for name in ("acme,globex", "{acme}", 'x","acme', "%", ""):
            assert await store.conversations(name, limit=10) == []


class TestRowSecurity:
    """As if a statement had forgotten its tenant."""

    @pytest.fixture
    async def connection(self, of_acme, database):
        async with database.acting_for(["globex"]) as connection:
            yield connection

    @pytest.mark.parametrize("table", TABLES)
    async def test_other_tenants_rows_are_not_there(self, connection, table):
        cursor = await connection.execute(ALL.format(Identifier(table)))
        assert await cursor.fetchall() == []

    @pytest.mark.parametrize("table", TABLES)
    async def test_nor_can_they_be_changed_or_deleted(self, connection, table):
        for statement in (GIVE_AWAY, DROP_ALL):
            changed = await connection.execute(statement.format(Identifier(table)))
            assert changed.rowcount == 0

    async def test_nor_can_rows_be_given_to_another_tenant(self, connection):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            await connection.execute(
                "INSERT INTO conversations (tenant_id, conversation_id, created_at) "
                "VALUES ('acme', 'conv_2', now())"
            )

    async def test_without_a_tenant_nothing_is_there(self, of_acme, database):
        async with database.acting_for([]) as connection:
            assert await (await connection.execute("SELECT * FROM items")).fetchall() == []

    async def test_a_connection_forgets_its_tenant_after_each_transaction(
        self, of_acme, database_url
    ):
        async with Database(database_url, connections=1) as database:
            async with database.acting_for(["acme"]) as connection:
                assert await (await connection.execute("SELECT * FROM items")).fetchall()
            async with database.acting_for([]) as connection:
                assert not await (await connection.execute("SELECT * FROM items")).fetchall()


class TestOwner:
    """Whoever looks with psql, with the URL the tier has."""

    async def test_sees_what_was_said_with_a_plain_select(self, of_acme, database_url):
        with psycopg.connect(database_url) as database:
            found = database.execute("SELECT role, text FROM items WHERE ordinal = 1").fetchall()
        assert found == [("user", "What is the weather?")]

    @pytest.mark.parametrize("table", TABLES)
    async def test_may_change_nothing(self, of_acme, database_url, table):
        with psycopg.connect(database_url) as database:
            for statement in (GIVE_AWAY, DROP_ALL):
                assert database.execute(statement.format(Identifier(table))).rowcount == 0

    async def test_is_no_superuser_here_so_that_these_tests_mean_something(self, database_url):
        with psycopg.connect(database_url) as database:
            query = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
            assert database.execute(query).fetchone() == (False,)
