"""The queue of recordings, on a real Redis: one node, and a cluster."""

import msgspec
import pytest
from redis.asyncio import Redis

from mesh.errors import Overloaded, Unavailable
from mesh.redis import connect
from mesh.turns import (
    OVER,
    QUEUED,
    SIZES,
    STREAM,
    Heard,
    State,
    Turn,
    Turns,
    audio_key,
    keys_of,
    tell,
    turn_key,
)
from tests.ports import free_ports


@pytest.fixture
async def redis(streams_url):
    redis = connect(streams_url, timeout_s=5)
    yield redis
    await redis.aclose()


def turn(id_="t1", tenant="acme", **fields) -> Turn:
    return Turn(tenant=tenant, id=id_, config=b"how", **{"patience_s": 60, **fields})


async def queue(turns: Turns, *which: Turn) -> None:
    for one in which:
        await turns.add(one.tenant, one.id, 0, b"\1\0" * 50)
        await turns.put(one)


async def entries(redis: Redis) -> list[dict[bytes, bytes]]:
    return [fields for _, fields in await redis.xrange(STREAM)]


async def test_a_turn_is_queued_with_its_audio(redis):
    turns = Turns(redis)
    await turns.add("acme", "t1", 0, b"ab")
    await turns.add("acme", "t1", 1, b"cd")
    assert await turns.look("acme", "t1") is None
    await turns.put(turn())
    assert await turns.look("acme", "t1") == State(QUEUED, 0, b"")
    assert await redis.lrange(audio_key("acme/t1"), 0, -1) == [b"ab", b"cd"]
    assert await entries(redis) == [{b"tenant": b"acme", b"turn": b"t1"}]
    assert (await turns.waiting())[0] == 1


async def test_what_is_asked_twice_is_done_once(redis):
    turns = Turns(redis)
    for _ in range(2):
        await turns.add("acme", "t1", 0, b"ab")
    await turns.put(turn(inbox="in 1"))
    await turns.put(turn(inbox="in 2"))
    assert await redis.lrange(audio_key("acme/t1"), 0, -1) == [b"ab"]
    assert await redis.hget(SIZES, "acme/t1") == b"2"
    assert len(await entries(redis)) == 1
    assert await redis.hget(turn_key("acme/t1"), "inbox") == b"in 2", "where it was put last"


async def test_a_tenant_sees_its_own_turns_only(redis):
    turns = Turns(redis)
    await queue(turns, turn())
    assert await turns.look("other", "t1") is None


async def test_a_recording_whose_beginning_is_gone_is_not_queued(redis):
    turns = Turns(redis)
    with pytest.raises(Unavailable):
        await turns.add("acme", "t1", 1, b"cd")
    with pytest.raises(Unavailable):
        await turns.put(turn())
    assert await entries(redis) == []


async def test_the_queue_has_a_bound_in_bytes_and_a_tenant_half_of_it(redis):
    turns = Turns(redis, all_bytes=400)
    await queue(turns, turn("t1"), turn("t2"))
    with pytest.raises(Overloaded) as full:
        await turns.add("acme", "t3", 0, b"ab")
    assert full.value.retry_after_s
    await queue(turns, turn("t1", "b"), turn("t2", "b"))
    with pytest.raises(Overloaded):
        await turns.add("c", "t1", 0, b"ab")


async def test_the_queue_has_a_bound_in_turns_and_a_tenant_half_of_it(redis):
    turns = Turns(redis, all_turns=4)
    await queue(turns, turn("t1"), turn("t2"))
    with pytest.raises(Overloaded):
        await turns.add("acme", "t3", 0, b"ab")
    await queue(turns, turn("t1", "acme2"), turn("t2", "acme2"))
    with pytest.raises(Overloaded):
        await turns.add("c", "t1", 0, b"ab")


async def test_what_expired_takes_no_room(redis):
    turns = Turns(redis, all_turns=2)
    await queue(turns, turn("t1"))
    await redis.zadd("{ovos:stt:turns}:due", {"acme/t1": 1})
    await queue(turns, turn("t2"))
    assert await redis.hkeys(SIZES) == [b"acme/t2"]


async def test_a_turn_that_nobody_took_in_time_is_over(redis):
    turns = Turns(redis)
    await queue(turns, turn(patience_s=0.001))
    while (state := await turns.look("acme", "t1")).stage != OVER:
        pass
    assert state.result == b""


async def test_every_key_has_an_end(redis):
    await queue(Turns(redis), turn())
    for key in (audio_key("acme/t1"), turn_key("acme/t1")):
        assert await redis.pttl(key) > 0


async def test_a_gateway_is_told_in_its_inbox(redis):
    heard = Heard("sess_1", "acme", "u1", b"words")
    await tell(redis, "ovos:gw:g1:in", "t1", heard)
    [(_, fields)] = await redis.xrange("ovos:gw:g1:in")
    assert fields[b"id"] == b"t1"
    assert msgspec.msgpack.decode(fields[b"message"], type=Heard) == heard
    assert await redis.pttl("ovos:gw:g1:in") > 0


async def test_without_redis_it_says_so():
    [port] = free_ports(1)
    redis = connect(f"redis://127.0.0.1:{port}/0")
    with pytest.raises(Unavailable):
        await Turns(redis).look("acme", "t1")
    await redis.aclose()


async def test_on_a_cluster_all_keys_of_the_queue_are_in_one_slot(cluster_fleet):
    redis = connect(cluster_fleet.url, timeout_s=5)
    turns = Turns(redis)
    await queue(turns, turn())
    assert await turns.look("acme", "t1") == State(QUEUED, 0, b"")
    assert len({redis.keyslot(key) for key in keys_of("acme/t1")}) == 1
    await tell(redis, "ovos:gw:g1:in", "t1", Heard("sess_1", "acme", "u1", b"words"))
    await redis.aclose()
