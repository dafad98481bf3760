"""Where appended facts are when they are acknowledged."""

import pytest

from mesh.errors import Unavailable
from mesh.stream import RECORD, connect, fact_stream
from persistence import rows
from persistence.intake import Buffered, Committed
from persistence.store import Outcome
from tests.records import item


@pytest.fixture
def facts():
    made = [item(ordinal=n, session=f"sess_{n}") for n in range(3)]
    return [rows.parse(record.SerializeToString()) for record in made]


async def test_committed_facts_are_in_postgres(store, facts):
    assert await Committed(store).take(facts) == [Outcome.STORED] * 3
    assert len(await store.items("acme", "conv_1", limit=10)) == 3
    assert await Committed(store).take(facts) == [Outcome.DUPLICATE] * 3


async def test_buffered_facts_are_in_the_stream_of_their_session(streams_url, facts):
    redis = connect(streams_url)
    assert await Buffered(redis).take(facts) == [Outcome.STORED] * 3
    for fact in facts:
        entries = await redis.xrange(fact_stream(fact.session_id))
        assert fact.record in [fields[RECORD] for _, fields in entries]
    await redis.aclose()


async def test_nothing_is_acknowledged_while_redis_is_away(facts):
    redis = connect("redis://127.0.0.1:1/0")
    with pytest.raises(Unavailable) as away:
        await Buffered(redis).take(facts)
    assert away.value.retry_after_s
    await redis.aclose()


async def test_no_facts_need_no_server():
    redis = connect("redis://127.0.0.1:1/0")
    assert await Buffered(redis).take([]) == []
    await redis.aclose()
