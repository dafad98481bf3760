"""What is stored and what comes back, on a real PostgreSQL."""

import asyncio
import itertools
from datetime import timedelta

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from mesh.errors import Missing
from ovos.persistence.v1 import persistence_pb2 as pb
from persistence import rows
from persistence.sql import queries
from persistence.store import NEWEST, Outcome
from tests.records import NOON, deleted, event, item, one_of_each, record

STORED, DUPLICATE, DELETED = Outcome.STORED, Outcome.DUPLICATE, Outcome.DELETED

_LASTING = {"session_opened", "conversation_started", "item", "response_done"}


def all_rows(url: str, query: str, *tables: str) -> list[tuple]:
    """What the owner sees with psql."""
    with psycopg.connect(url) as database:
        statement = SQL(query).format(*map(Identifier, tables))
        return database.execute(statement).fetchall()


async def texts(store, tenant="acme", conversation="conv_1"):
    return [kept.text for kept in await store.items(tenant, conversation, limit=100)]


async def test_a_session_with_facts_of_every_kind_is_stored(write, store, database_url):
    made = one_of_each()
    assert await write(*made) == [STORED] * len(made)
    assert all_rows(database_url, "SELECT role, text FROM items ORDER BY ordinal") == [
        ("user", "What is the weather?"),
        ("user", ""),
    ]
    assert all_rows(database_url, "SELECT status, reason, item_ids FROM responses") == [
        ("cancelled", "turn_detected", ["item_2"])
    ]
    assert all_rows(database_url, "SELECT model, opened_at, closed_at, close_reason FROM sessions")[
        0
    ] == ("gpt-realtime", NOON, NOON, "client_left")
    assert all_rows(database_url, "SELECT type, data FROM session_events") == [
        ("worker.failover", {"tier": "tts"})
    ]
    found = await store.conversation("acme", "conv_1")
    assert (found.item_count, found.last_item_at, found.metadata) == (
        1,
        NOON,
        {"topic": "weather"},
    )


async def test_a_second_delivery_adds_nothing(write, store, database_url):
    made = one_of_each()
    await write(*made)
    before = all_rows(database_url, "SELECT count(*) FROM records")
    assert await write(*made) == [DUPLICATE] * len(made)
    assert all_rows(database_url, "SELECT count(*) FROM records") == before
    assert (await store.conversation("acme", "conv_1")).item_count == 1


async def test_what_is_told_again_under_another_record_id_changes_nothing(
    write, store, database_url
):
    """A sender that restores a session may not know what it has told."""
    tables = "conversations", "items", "responses", "sessions"
    await write(*one_of_each())
    before = [all_rows(database_url, "SELECT * FROM {}", table) for table in tables]
    again = [fact for fact in one_of_each(at=NOON) if fact.WhichOneof("body") != "event"]
    assert await write(*again) == [STORED] * len(again)
    assert [all_rows(database_url, "SELECT * FROM {}", table) for table in tables] == before
    later = one_of_each(at=NOON + timedelta(minutes=1))
    await write(*[fact for fact in later if fact.WhichOneof("body") in _LASTING])
    counts = [len(all_rows(database_url, "SELECT * FROM {}", table)) for table in tables]
    assert counts == [len(rows) for rows in before]
    assert all_rows(database_url, "SELECT opened_at FROM sessions") == [(NOON,)]
    assert all_rows(database_url, "SELECT done_at FROM responses") == [(NOON,)]
    assert all_rows(database_url, "SELECT DISTINCT created_at FROM items") == [(NOON,)]
    assert (await store.conversation("acme", "conv_1")).created_at == NOON


async def test_a_fact_twice_in_one_batch_is_stored_once(write):
    made = item()
    assert await write(made, made) == [STORED, DUPLICATE]


async def test_two_writers_of_the_same_facts_store_them_once(store):
    records = [item(ordinal=n, conversation=f"conv_{n % 3}") for n in range(60)]
    made = [rows.parse(record.SerializeToString()) for record in records]
    async with asyncio.TaskGroup() as tasks:
        writers = [tasks.create_task(store.write(order)) for order in (made, made[::-1])]
    outcomes = list(itertools.chain.from_iterable(writer.result() for writer in writers))
    assert (outcomes.count(STORED), outcomes.count(DUPLICATE)) == (60, 60)


async def test_the_same_record_id_of_two_tenants_is_two_facts(write):
    mine, theirs = item(), item(tenant="globex")
    theirs.record_id = mine.record_id
    assert await write(mine, theirs) == [STORED, STORED]


class TestItems:
    async def test_a_higher_version_replaces_and_a_lower_or_equal_one_is_ignored(
        self, write, store
    ):
        await write(item("all of it", version=1))
        await write(item("all of", version=2))
        await write(item("late", version=1), item("again", version=2))
        [kept] = await store.items("acme", "conv_1", limit=10)
        assert (kept.text, kept.version) == ("all of", 2)

    async def test_versions_in_one_batch_end_with_the_highest(self, write, store):
        await write(item("b", version=2), item("c", version=3), item("a", version=1))
        assert await texts(store) == ["c"]

    async def test_an_item_stays_when_it_was_first_added(self, write, store):
        await write(item(version=1, at=NOON))
        await write(item(version=2, at=NOON + timedelta(hours=1)))
        [kept] = await store.items("acme", "conv_1", limit=10)
        assert kept.created_at == NOON

    async def test_a_deleted_item_is_kept_out_of_history_and_its_text_is_gone_everywhere(
        self, write, store, database_url
    ):
        await write(item("keep", ordinal=1), item("forget me", ordinal=2))
        await write(deleted("item_2"))
        assert await texts(store) == ["keep"]
        exported = await store.records("acme", "conv_1", limit=10)
        assert b"forget me" not in b"".join(kept.record for kept in exported)
        assert len(exported) == 2
        assert all_rows(database_url, "SELECT text FROM items WHERE item_id = 'item_2'") == [("",)]

    async def test_a_deletion_that_overtakes_its_item_still_deletes_it(
        self, write, store, database_url
    ):
        await write(deleted("item_1"))
        assert await write(item("forget me")) == [STORED]
        assert await texts(store) == []
        kept = all_rows(database_url, "SELECT record FROM records WHERE kind = 'item'")
        assert kept == [(None,)]

    async def test_a_newer_version_does_not_bring_a_deleted_item_back(self, write, store):
        await write(item(version=1), deleted("item_1"))
        await write(item("back?", version=9))
        assert await texts(store) == []


class TestConversations:
    async def test_facts_may_come_before_the_start_of_their_conversation(self, write, store):
        await write(item(at=NOON + timedelta(seconds=5)))
        started = pb.Conversation(metadata={"a": "b"})
        started.created_at.FromDatetime(NOON)
        await write(record("conversation_started", started))
        found = await store.conversation("acme", "conv_1")
        assert (found.created_at, found.metadata, found.item_count) == (NOON, {"a": "b"}, 1)

    async def test_a_session_that_closes_before_it_opened_has_both(self, write, database_url):
        opened, *_, closed = one_of_each()
        await write(closed)
        await write(opened)
        assert all_rows(database_url, "SELECT model, close_reason FROM sessions") == [
            ("gpt-realtime", "client_left")
        ]

    async def test_they_are_listed_newest_first_page_by_page(self, write, store):
        for n in range(5):
            await write(item(conversation=f"conv_{n}", at=NOON + timedelta(minutes=n)))
        first = await store.conversations("acme", limit=3)
        assert [c.conversation_id for c in first] == ["conv_4", "conv_3", "conv_2"]
        last = (first[-1].created_at, first[-1].conversation_id)
        rest = await store.conversations("acme", before=last, limit=3)
        assert [c.conversation_id for c in rest] == ["conv_1", "conv_0"]

    async def test_active_since_leaves_out_what_had_no_item_since(self, write, store):
        await write(item(conversation="old", at=NOON))
        await write(item(conversation="new", at=NOON + timedelta(hours=1)))
        await write(event(conversation="silent", at=NOON + timedelta(hours=2)))
        since = NOON + timedelta(minutes=30)
        found = await store.conversations("acme", active_since=since, limit=10)
        assert [c.conversation_id for c in found] == ["new"]

    async def test_one_that_is_not_there_is_missing(self, store):
        with pytest.raises(Missing):
            await store.items("acme", "conv_1", limit=1)


class TestPages:
    @pytest.fixture
    async def five(self, write):
        await write(*(item(str(n), ordinal=n) for n in range(1, 6)))

    async def test_items_come_newest_first(self, five, store):
        first = await store.items("acme", "conv_1", limit=3)
        assert [kept.text for kept in first] == ["5", "4", "3"]
        last = (first[-1].ordinal, first[-1].item_id)
        rest = await store.items("acme", "conv_1", position=last, limit=3)
        assert [kept.text for kept in rest] == ["2", "1"]

    async def test_or_oldest_first(self, five, store):
        first = await store.items("acme", "conv_1", ascending=True, limit=3)
        assert [kept.text for kept in first] == ["1", "2", "3"]
        last = (first[-1].ordinal, first[-1].item_id)
        rest = await store.items("acme", "conv_1", ascending=True, position=last, limit=3)
        assert [kept.text for kept in rest] == ["4", "5"]

    async def test_records_come_oldest_first_as_they_were_sent(self, write, store):
        made = [item(ordinal=n, at=NOON + timedelta(seconds=n)) for n in range(1, 6)]
        await write(*reversed(made))
        first = await store.records("acme", "conv_1", limit=3)
        last = (first[-1].occurred_at, first[-1].record_id)
        rest = await store.records("acme", "conv_1", after=last, limit=3)
        sent = [made_.SerializeToString() for made_ in made]
        assert [kept.record for kept in (*first, *rest)] == sent

    async def test_a_page_of_a_conversation_that_grew_fast_is_read_without_sorting_all_of_it(
        self, write, database, database_url
    ):
        await write(*(item(conversation=f"short_{n}") for n in range(200)))
        with psycopg.connect(database_url, autocommit=True) as owner:
            owner.execute("ANALYZE items")  # as if every conversation were short
        await write(*(item(ordinal=n) for n in range(1000)))
        values = {"tenant_id": "acme", "conversation_id": "conv_1", "limit": 100}
        position = dict(zip(("ordinal", "item_id"), NEWEST, strict=True))
        async with database.acting_for(["acme"], page=True) as connection:
            statement = f"EXPLAIN {queries()['list_items_descending']}".encode()
            plan = await (await connection.execute(statement, values | position)).fetchall()
        assert "items_in_order" in str(plan)
        assert "Sort" not in str(plan)


class TestDeletion:
    async def test_nothing_of_a_deleted_conversation_is_left(self, write, store, database_url):
        await write(*one_of_each(), *one_of_each(session="sess_2", conversation="other"))
        await store.delete("acme", "conv_1")
        for table in ("items", "responses", "sessions", "session_events", "records"):
            kept = all_rows(database_url, "SELECT DISTINCT conversation_id FROM {}", table)
            assert kept == [("other",)], table
        with pytest.raises(Missing):
            await store.conversation("acme", "conv_1")
        assert [c.conversation_id for c in await store.conversations("acme", limit=9)] == ["other"]

    async def test_it_can_be_repeated(self, write, store):
        await write(item())
        await store.delete("acme", "conv_1")
        await store.delete("acme", "conv_1")

    async def test_late_facts_do_not_bring_it_back(self, write, store, database_url):
        await write(item())
        await store.delete("acme", "conv_1")
        late = [item(ordinal=2), *one_of_each()]
        assert await write(*late, item(conversation="other")) == [DELETED] * len(late) + [STORED]
        assert all_rows(database_url, "SELECT conversation_id FROM records") == [("other",)]

    async def test_facts_that_come_after_the_deletion_of_a_conversation_nobody_saw_are_dropped(
        self, write, store
    ):
        await store.delete("acme", "conv_1")
        assert await write(item()) == [DELETED]

    async def test_whoever_writes_at_the_same_moment_leaves_nothing(self, write, store):
        async def keep_writing() -> None:
            for n in itertools.count(1):
                if await write(item(ordinal=n)) == [DELETED]:
                    return

        async with asyncio.TaskGroup() as tasks:
            for n in range(3):
                tasks.create_task(keep_writing(), name=f"writer {n}")
            await store.delete("acme", "conv_1")
        with pytest.raises(Missing):
            await store.conversation("acme", "conv_1")

    async def test_a_session_without_a_conversation_is_not_touched(
        self, write, store, database_url
    ):
        await write(event(conversation=""))
        await store.delete("acme", "conv_1")
        assert all_rows(database_url, "SELECT count(*) FROM session_events") == [(1,)]


async def test_a_row_postgres_refuses_does_not_hold_up_the_rest(write, store):
    poison = event('{"a": "\\u0000"}')  # JSON, but not for jsonb
    outcomes = await write(item(ordinal=1), poison, item(ordinal=2))
    assert outcomes == [STORED, Outcome.REFUSED, STORED]
    assert await texts(store) == ["Hello.", "Hello."]
