"""What happens to facts is counted where an operator looks."""

from prometheus_client import REGISTRY

from mesh.stream import RECORD, connect, fact_stream
from persistence.config import Config
from persistence.consumer import Consumer
from tests.records import item


def value(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_facts_are_counted_by_what_became_of_them(write):
    def counted():
        return [
            value("persistence_facts_total", kind="item", outcome=outcome)
            for outcome in ("stored", "duplicate")
        ]

    before = counted()
    made = item()
    await write(made, made, item(ordinal=2))
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [2, 1]


async def test_lag_backlog_and_dead_letters_are_measured(streams_url, store):
    redis = connect(streams_url, timeout_s=5)
    for record in (item().SerializeToString(), b"\xff"):
        await redis.xadd(fact_stream("sess_1"), {RECORD: record})
    consumer = Consumer(redis, store, Config(database_url="", redis_url="", claim_every_s=60))
    await consumer.join()
    lags = value("persistence_lag_seconds_count")
    dead = value("persistence_dead_letters_total", reason="undecodable")
    await consumer.turn()  # looks for what others left, and measures
    assert value("persistence_backlog_facts") == 2
    await consumer.turn()
    assert value("persistence_lag_seconds_count") == lags + 1
    assert value("persistence_dead_letters_total", reason="undecodable") == dead + 1
    await redis.aclose()
