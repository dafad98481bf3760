"""What all stores do is in tests/contract/test_store.py. Here: what only Redis can do."""

import asyncio
import time

import msgspec
import pytest
from redis.asyncio import Redis

from gateway.sessions.redis_store import RedisStore
from gateway.sessions.store import Meta, Outcome, Write
from mesh.errors import Unavailable

LIMIT_S = 20
SID = "sess_1"
META = Meta("acme", "ab12", "gpt-realtime", int(time.time()) + 3600, "conv_1")
IDS = [f"sess_{n}" for n in range(24)]  # some in every shard


def news(sid, *entries, first=0, state=None):
    return Write(sid, 1, first, entries, state)


@pytest.fixture
async def store(streams_url):
    store = RedisStore.at(streams_url, "gw-1", ttl_s=30)
    yield store
    await store.aclose()


@pytest.fixture
async def redis(streams_url):
    async with Redis.from_url(streams_url) as redis:
        yield redis


async def test_every_key_of_a_session_is_forgotten_by_itself(store, redis):
    await store.create(SID, META, b"state")
    await store.write([news(SID, b"a")])
    await store.write([news(SID, b"b", first=1, state=b"a")])
    await store.mark({SID: (1, b"mark")})
    keys = sorted(await redis.keys(f"ovos:{{{SID}}}:*"))
    assert len(keys) == 3
    for key in keys:
        assert 3600 < await redis.ttl(key) <= 7205
    assert 0 < await redis.ttl("ovos:gw:gw-1:marks") <= 120


async def test_a_session_without_end_is_forgotten_after_a_month(store, redis):
    endless = msgspec.structs.replace(META, expires_at_s=2**62)
    await store.create(SID, endless, b"state")
    assert 0 < await redis.ttl(f"ovos:{{{SID}}}:meta") <= 30 * 24 * 3600


async def test_what_is_closed_leaves_next_to_nothing(store, redis):
    await store.create(SID, META, b"state")
    await store.write([news(SID, b"a")])
    await store.mark({SID: (1, b"mark")})
    assert await store.close(SID, 1)
    assert await store.close(SID, 1), "its answer may have been lost"
    assert await redis.keys(f"ovos:{{{SID}}}:*") == [f"ovos:{{{SID}}}:meta".encode()]
    assert 0 < await redis.ttl(f"ovos:{{{SID}}}:meta") <= 60
    assert not await redis.exists("ovos:gw:gw-1:marks")
    assert await redis.keys("ovos:live:*") == []


async def test_a_redis_that_forgot_its_scripts_is_sent_them(store, redis):
    await store.create(SID, META, b"state")
    await store.write([news(SID, b"a")])
    await redis.script_flush()
    assert await store.write([news(SID, b"b", first=1), news("none", b"b")]) == [
        Outcome.KEPT,
        Outcome.GONE,
    ]
    await redis.script_flush()
    assert (await store.claim(SID, "acme")).entries == (b"a", b"b")


async def test_an_inbox_is_told_once_of_each_move(streams_url, store, redis):
    await store.create(SID, META, b"state")
    other = RedisStore.at(streams_url, "gw-2", ttl_s=30)
    await other.claim(SID, "acme")
    await other.claim(SID, "acme")
    await other.aclose()
    assert await redis.xlen("ovos:gw:gw-1:in") == 1


async def test_redis_that_is_away_is_said_so_by_all(own_redis):
    store = RedisStore.at(own_redis.url, "gw-1", ttl_s=30)
    await store.create(SID, META, b"state")
    own_redis.stop()
    calls = [
        lambda: store.create("sess_2", META, b"state"),
        lambda: store.claim(SID, "acme"),
        lambda: store.write([news(SID, b"a")]),
        lambda: store.close(SID, 1),
        lambda: store.mark({SID: (1, b"mark")}),
        lambda: store.beat([SID]),
        store.sweep,
        lambda: store.forgotten([SID]),
        lambda: store.owner(SID, "acme"),
        lambda: store.tell("gw-2", b"hello"),
        store.ping,
    ]
    for call in calls:
        with pytest.raises(Unavailable):
            await call()
    own_redis.start()
    assert await store.write([news(SID, b"a")]) == [Outcome.KEPT]
    await store.aclose()


async def test_a_claim_that_was_not_answered_can_be_repeated(own_redis):
    """The client of redis-py repeats it, too: then it must not be a second claim."""
    one = RedisStore.at(own_redis.url, "gw-1", ttl_s=30)
    two = RedisStore.at(own_redis.url, "gw-2", ttl_s=30)
    await one.create(SID, META, b"state")
    await one.mark({SID: (1, b"mark")})
    async with Redis.from_url(own_redis.url) as redis:
        # Writes are held back, longer than the store waits; then they are done.
        await redis.execute_command("CLIENT", "PAUSE", 2000, "WRITE")
        with pytest.raises(Unavailable):
            await two.claim(SID, "acme")
        await redis.set("after", "the pause", px=1)  # waits as they do
        found = await two.claim(SID, "acme")
    assert (found.epoch, found.mark) == (2, b"mark")
    assert await one.write([news(SID, b"late")]) == [Outcome.MOVED]
    await one.aclose()
    await two.aclose()


async def test_after_an_outage_sessions_are_given_time_to_say_that_they_live(own_redis):
    ttl_s = 1.0
    store = RedisStore.at(own_redis.url, "gw-1", ttl_s=ttl_s)
    await store.create(SID, META, b"state")
    over_s = time.monotonic() + ttl_s
    own_redis.stop()
    while time.monotonic() < over_s:
        with pytest.raises(Unavailable):
            await store.ping()
    own_redis.start()
    assert await store.sweep() == [], "its time is over, and nobody could have said otherwise"
    async with asyncio.timeout(LIMIT_S):
        while not (found := await store.sweep()):
            await asyncio.sleep(0.01)
    assert [abandoned.session_id for abandoned in found] == [SID]
    await store.aclose()


async def test_marks_of_sessions_that_left_do_not_stay(store, redis):
    await store.mark({SID: (1, b"mark"), "sess_2": (1, b"mark")})
    await store.beat([SID])
    assert await redis.hlen("ovos:gw:gw-1:marks") == 2, "who took it over may not have read it"
    store._marked["sess_2"] -= 3600  # an hour ago
    await store.beat([SID])
    assert await redis.hkeys("ovos:gw:gw-1:marks") == [SID.encode()]


@pytest.mark.parametrize("how", ["kill", "hang"])
async def test_where_one_shard_is_away_the_others_go_on(cluster_fleet, how):
    store = RedisStore.at(cluster_fleet.url, "gw-1", ttl_s=30)
    for sid in IDS:
        await store.create(sid, META, b"state")
    await store.write([news(sid, b"a") for sid in IDS])
    away = cluster_fleet.primary_of("{" + SID + "}")
    there = [s for s in IDS if cluster_fleet.primary_of("{" + s + "}") is not away]
    assert 0 < len(there) < len(IDS)
    getattr(away, how)()
    started_s = time.monotonic()
    first = dict(zip(IDS, await store.write([news(s, b"b", first=1) for s in IDS]), strict=True))
    assert {s for s, outcome in first.items() if outcome is Outcome.KEPT} == set(there)
    assert {first[s] for s in IDS if s not in there} == {Outcome.AWAY}
    async with asyncio.timeout(LIMIT_S):
        while Outcome.AWAY in await store.write([news(s, b"b", first=1) for s in IDS]):
            await asyncio.sleep(0.02)
    took_s = time.monotonic() - started_s
    print(f"writes resumed after {took_s:.1f} s")  # noqa: T201 - with -s, for whoever measures
    assert took_s < 10
    found = [await store.claim(sid, "acme") for sid in IDS]
    assert {f.entries for f in found} == {(b"a", b"b")}
    await store.aclose()
