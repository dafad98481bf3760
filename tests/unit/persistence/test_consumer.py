"""From a real Redis into a real PostgreSQL: nothing lost, nothing twice, nobody held up."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import RedisError

from mesh.stream import ALL_FACT_STREAMS, RECORD, Group, connect, fact_stream
from persistence.config import Config
from persistence.consumer import DEAD_STREAM, GROUP, Consumer
from persistence.database import Database
from persistence.store import Store
from tests.records import deleted, event, item, one_of_each


def settings(**changed) -> Config:
    values = {"batch_wait_ms": 5, "claim_idle_s": 0.1, "claim_every_s": 0.1, **changed}
    return Config(database_url="", redis_url="", **values)


@pytest.fixture
async def redis(streams_url):
    redis = connect(streams_url, timeout_s=5)
    yield redis
    await redis.aclose()


@pytest.fixture
def consumer(redis, store):
    return Consumer(redis, store, settings())


async def send(redis, *records):
    for made in records:
        await redis.xadd(fact_stream(made.session.session_id), {RECORD: made.SerializeToString()})


async def waiting(redis) -> int:
    """Entries that are not stored: acknowledging deletes."""
    return sum([await redis.xlen(stream) for stream in ALL_FACT_STREAMS])


@asynccontextmanager
async def running(*consumers):
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(one.run(), name=f"consumer {one.name}") for one in consumers]
        yield
        for task in started:
            task.cancel()


async def until(condition, *, limit_s=15.0):
    """Ask until it is so. The consumer has nobody to tell."""
    async with asyncio.timeout(limit_s):
        while not await condition():
            await asyncio.sleep(0.01)


async def stored_all(redis) -> None:
    async def nothing_waits() -> bool:
        return not await waiting(redis)

    await until(nothing_waits)


async def texts(store, conversation="conv_1"):
    kept = await store.items("acme", conversation, ascending=True, limit=500)
    return [one.text for one in kept]


async def read_by(redis, name):
    """Deliver what is there to a consumer that then dies."""
    return await Group(redis, ALL_FACT_STREAMS, GROUP, name).read(100, 10)


async def test_facts_are_stored_and_then_gone_from_the_streams(redis, store, consumer):
    await send(redis, *one_of_each())
    async with running(consumer):
        await stored_all(redis)
    assert await texts(store) == ["What is the weather?"]


async def test_facts_sent_while_it_runs_are_stored(redis, store, consumer):
    async with running(consumer):
        for n in range(1, 40):
            await send(redis, item(str(n), ordinal=n, session=f"sess_{n}"))
        await stored_all(redis)
    assert await texts(store) == [str(n) for n in range(1, 40)]


async def test_more_than_a_batch_is_stored_in_batches(redis, store):
    await send(redis, *(item(str(n), ordinal=n) for n in range(25)))
    async with running(Consumer(redis, store, settings(batch_records=10))):
        await stored_all(redis)
    assert len(await texts(store)) == 25


async def test_dying_between_commit_and_acknowledgement_stores_nothing_twice(
    redis, store, consumer, write
):
    made = [item("one", ordinal=1), deleted("item_9"), event()]
    await send(redis, *made)
    await consumer.join()
    assert len(await read_by(redis, "dead")) == 3
    await write(*made)  # committed; and here it died
    async with running(consumer):
        await stored_all(redis)
    assert await texts(store) == ["one"]
    assert len(await store.records("acme", "conv_1", limit=10)) == 3


async def test_dying_before_the_commit_loses_nothing(redis, store, consumer):
    await send(redis, item("one"))
    await consumer.join()
    assert await read_by(redis, "dead")
    async with running(consumer):
        await stored_all(redis)
    assert await texts(store) == ["one"]


async def test_what_another_consumer_is_working_on_is_left_to_it(redis, store):
    await send(redis, item("one"))
    consumer = Consumer(redis, store, settings(claim_idle_s=60))
    await consumer.join()
    assert await read_by(redis, "busy")
    assert await consumer.turn() == 0  # claims
    assert await consumer.turn() == 0  # reads
    assert await waiting(redis) == 1


async def test_two_consumers_share_the_work(redis, store):
    await send(redis, *(item(str(n), ordinal=n, session=f"sess_{n}") for n in range(100)))
    both = [Consumer(redis, store, settings(batch_records=7)) for _ in range(2)]
    async with running(*both):
        await stored_all(redis)
    assert len(await texts(store)) == 100


class TestSetAside:
    """Facts of which nothing can be made."""

    async def dead(self, redis):
        return [fields for _, fields in await redis.xrange(DEAD_STREAM)]

    async def test_an_undecodable_one_is_set_aside_and_the_rest_is_stored(
        self, redis, store, consumer, caplog
    ):
        await send(redis, item("before", ordinal=1))
        await redis.xadd(fact_stream("sess_1"), {RECORD: b"\xff\xff"})
        await redis.xadd(fact_stream("sess_1"), {b"other": b"field"})
        await send(redis, item("after", ordinal=2))
        async with running(consumer):
            await stored_all(redis)
        assert await texts(store) == ["before", "after"]
        first, second = await self.dead(redis)
        assert first[RECORD] == b"\xff\xff"
        assert first[b"stream"] == fact_stream("sess_1").encode()
        assert first[b"reason"].startswith(b"undecodable: not a serialized")
        assert second[b"other"] == b"field"
        assert caplog.text.count("fact set aside") == 2

    async def test_one_that_postgres_refuses_is_set_aside_and_the_rest_is_stored(
        self, redis, store, consumer
    ):
        poison = event('{"a": "\\u0000"}')
        await send(redis, item("before", ordinal=1), poison, item("after", ordinal=2))
        async with running(consumer):
            await stored_all(redis)
        assert await texts(store) == ["before", "after"]
        [kept] = await self.dead(redis)
        assert kept[RECORD] == poison.SerializeToString()

    async def test_one_that_was_delivered_too_often_is_set_aside(self, redis, store):
        await send(redis, item("kills whoever reads it"))
        consumer = Consumer(redis, store, settings(max_deliveries=2))
        await consumer.join()
        await read_by(redis, "first to die")
        await Group(redis, ALL_FACT_STREAMS, GROUP, "second to die").claim(0)
        async with running(consumer):
            await stored_all(redis)
        [kept] = await self.dead(redis)
        assert kept[b"reason"].startswith(b"deliveries")
        assert await store.conversations("acme", limit=1) == []

    async def test_up_to_then_it_is_tried(self, redis, store):
        await send(redis, item("one"))
        consumer = Consumer(redis, store, settings(max_deliveries=3))
        await consumer.join()
        await read_by(redis, "first to die")
        await Group(redis, ALL_FACT_STREAMS, GROUP, "second to die").claim(0)
        async with running(consumer):
            await stored_all(redis)
        assert await texts(store) == ["one"]
        assert await self.dead(redis) == []

    async def test_a_fact_of_a_deleted_conversation_is_dropped_without_noise(
        self, redis, store, consumer, caplog
    ):
        await store.delete("acme", "conv_1")
        await send(redis, item("late"))
        async with running(consumer):
            await stored_all(redis)
        assert await self.dead(redis) == []
        assert "set aside" not in caplog.text


class TestOutages:
    async def test_postgres_restarts_in_the_middle_and_nothing_is_lost(
        self, redis, own_postgres, caplog
    ):
        async with Database(own_postgres.url) as database:
            await database.migrate()
            store = Store(database)
            async with running(Consumer(redis, store, settings())):
                await send(redis, item("before", ordinal=1))
                await stored_all(redis)
                own_postgres.stop()
                await send(redis, *(item("during", ordinal=n) for n in range(2, 5)))
                await until(lambda: self.said(caplog, "postgres is away"))
                own_postgres.start()
                await stored_all(redis)
                await send(redis, item("after", ordinal=5))
                await stored_all(redis)
            assert await texts(store) == ["before", *["during"] * 3, "after"]
            assert not await redis.exists(DEAD_STREAM)

    async def test_while_postgres_is_away_no_delivery_is_counted(self, redis, own_postgres):
        async with Database(own_postgres.url) as database:
            await database.migrate()
            consumer = Consumer(redis, Store(database), settings(claim_every_s=60))
            await consumer.join()
            await send(redis, item())
            [entry] = await read_by(redis, "dead")
            own_postgres.stop()
            assert await consumer.turn() == 0
            [pending] = await redis.xpending_range(entry.stream, GROUP, "-", "+", 10)
            assert pending["times_delivered"] == 1

    async def test_redis_restarts_in_the_middle_and_nothing_is_lost(self, own_redis, store, caplog):
        redis = connect(own_redis.url, timeout_s=5)
        async with running(Consumer(redis, store, settings())):
            await send(redis, item("before", ordinal=1))
            await stored_all(redis)
            own_redis.stop()
            await until(lambda: self.said(caplog, "redis is away"))
            own_redis.start()
            await send(redis, item("after", ordinal=2))
            await stored_all(redis)
        await redis.aclose()
        assert await texts(store) == ["before", "after"]

    async def test_a_redis_that_lost_its_data_gets_its_groups_again(self, redis, store, consumer):
        async with running(consumer):
            await send(redis, item("before", ordinal=1))
            await stored_all(redis)
            await redis.flushdb()
            await send(redis, item("after", ordinal=2))
            await stored_all(redis)
        assert await texts(store) == ["before", "after"]

    async def test_an_acknowledgement_that_fails_is_made_up_for(self, redis, store):
        class Deaf(Group):
            async def ack(self, entries):
                self.ack = super().ack
                raise RedisError("gone")

        consumer = Consumer(redis, store, settings())
        consumer._group = Deaf(redis, ALL_FACT_STREAMS, GROUP, consumer.name)
        await send(redis, item("one"))
        async with running(consumer):
            await stored_all(redis)
        assert await texts(store) == ["one"]

    @staticmethod
    async def said(caplog, words):
        return words in caplog.text


async def test_the_primary_of_a_shard_is_killed_and_nothing_is_lost(cluster_fleet, store):
    after = item("after", ordinal=2)
    async with connect(cluster_fleet.url, timeout_s=1) as redis:
        consumer = Consumer(redis, store, settings())
        async with running(consumer):
            await send(redis, item("before"))
            await stored_all(redis)
            stream = fact_stream(after.session.session_id)
            cluster_fleet.primary_of(stream).kill()

            async def sent() -> bool:
                try:
                    await send(redis, after)
                except RedisError:
                    return False
                return True

            await until(sent)
            await stored_all(redis)
    assert await texts(store) == ["before", "after"]
