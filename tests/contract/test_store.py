"""What every store of sessions does: the fake, and Redis as one node and as a Cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
import pytest

from gateway.sessions.redis_store import RedisStore
from gateway.sessions.store import Found, Meta, Outcome, Store, Taken, Write
from mesh.errors import Unavailable
from tests.fakes.store import MemoryStore, World

LIMIT_S = 30  # a lease whose answer was lost lasts 10 s
TTL_S = 0.2
SID = "sess_1"
META = Meta(
    tenant="acme",
    key_hash="ab12",
    model="gpt-realtime",
    expires_at_s=4_000_000_000,
    conversation_id="conv_1",
)

Open = Callable[..., Store]


@asynccontextmanager
async def listening(store: Store) -> AsyncIterator[asyncio.Queue[bytes]]:
    """What comes into the inbox of a store, from now on."""
    messages = asyncio.Queue[bytes]()

    async def listen() -> None:
        async for message in store.inbox():
            messages.put_nowait(message)

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(listen(), name="inbox")
        async with asyncio.timeout(LIMIT_S):
            while messages.empty():  # it listens from its first look on
                await store.tell(store.gateway_id, b"ready?")
                await asyncio.sleep(0.01)
            await store.tell(store.gateway_id, b"ready.")
            while await messages.get() != b"ready.":
                pass
            yield messages
        task.cancel()


async def swept_by(store: Store) -> list[str]:
    """What is found once something is."""
    async with asyncio.timeout(LIMIT_S):
        while not (found := await store.sweep()):
            await asyncio.sleep(0.01)
    return [abandoned.session_id for abandoned in found]


@pytest.fixture(params=["fake", "redis", "cluster"])
async def stores(request) -> AsyncIterator[Open]:
    """Opens the store of a gateway: its name, and after how long of silence all is lost."""
    world = World()
    if request.param == "redis":
        url = request.getfixturevalue("streams_url")
    elif request.param == "cluster":
        url = request.getfixturevalue("cluster_fleet").url
    async with AsyncExitStack() as stack:

        def store(gateway_id: str, ttl_s: float = TTL_S) -> Store:
            if request.param == "fake":
                return MemoryStore(world, gateway_id, ttl_s)
            made = RedisStore.at(url, gateway_id, ttl_s=ttl_s)
            stack.push_async_callback(made.aclose)
            return made

        yield store


@pytest.fixture
def one(stores) -> Store:
    return stores("gw-1")


@pytest.fixture
def two(stores) -> Store:
    return stores("gw-2")


def news(first: int, *entries: bytes, epoch: int = 1, state: bytes | None = None, sid: str = SID):
    return Write(sid, epoch, first, entries, state)


async def found_by(store: Store, sid: str = SID) -> Found:
    found = await store.claim(sid, "acme")
    assert found is not None
    return found


async def test_what_was_kept_is_what_another_gateway_finds(one, two):
    await one.create(SID, META, b"state")
    assert await one.write([news(0, b"a", b"b")]) == [Outcome.KEPT]
    assert await one.write([news(2, b"c")]) == [Outcome.KEPT]
    found = await found_by(two)
    assert found == Found(META, 2, 0, b"state", (b"a", b"b", b"c"), None)


async def test_a_gateway_can_claim_its_own(one):
    await one.create(SID, META, b"state")
    assert (await found_by(one)).epoch == 2
    assert (await found_by(one)).epoch == 3


async def test_an_id_is_given_once(one, two):
    await one.create(SID, META, b"state")
    with pytest.raises(Taken):
        await two.create(SID, META, b"state")
    with pytest.raises(Taken):
        await one.create(SID, msgspec.structs.replace(META, conversation_id="conv_2"), b"other")


async def test_a_beginning_can_be_repeated_until_something_was_kept(one):
    await one.create(SID, META, b"state")
    await one.create(SID, META, b"state")
    await one.write([news(0, b"a")])
    with pytest.raises(Taken):
        await one.create(SID, META, b"state")


async def test_a_session_that_was_lost_begins_with_the_epoch_it_had(one, two):
    await one.create(SID, META, b"state", epoch=7)
    assert await one.write([news(0, b"a", epoch=7)]) == [Outcome.KEPT]
    assert (await found_by(two)).epoch == 8


async def test_who_lost_a_session_changes_nothing(one, two):
    await one.create(SID, META, b"state")
    await found_by(two)
    assert await one.write([news(0, b"late")]) == [Outcome.MOVED]
    assert await one.write([news(0, b"late", state=b"late")]) == [Outcome.MOVED]
    assert await one.write([news(0, b"guessed", epoch=2)]) == [Outcome.MOVED]
    assert not await one.close(SID, 1)
    assert not await one.close(SID, 2)
    assert await two.write([news(0, b"a", epoch=2)]) == [Outcome.KEPT]
    assert (await found_by(one)).entries == (b"a",)


async def test_an_older_epoch_of_our_own_changes_nothing(one):
    await one.create(SID, META, b"state")
    await found_by(one)
    assert await one.write([news(0, b"late")]) == [Outcome.MOVED]
    assert not await one.close(SID, 1)


async def test_nothing_is_kept_twice(one, two):
    await one.create(SID, META, b"state")
    for _ in range(2):
        assert await one.write([news(0, b"a", b"b")]) == [Outcome.KEPT]
    assert await one.write([news(1, b"b", b"c")]) == [Outcome.KEPT]
    assert await one.write([news(0, b"a")]) == [Outcome.KEPT]
    assert (await found_by(two)).entries == (b"a", b"b", b"c")


async def test_a_gap_is_told_and_a_state_fills_it(one, two):
    await one.create(SID, META, b"state")
    assert await one.write([news(0, b"a"), news(2, b"c")]) == [Outcome.KEPT, Outcome.MISSING]
    assert await one.write([news(2, b"c", state=b"a, b")]) == [Outcome.KEPT]
    found = await found_by(two)
    assert (found.first, found.state, found.entries) == (2, b"a, b", (b"c",))


async def test_a_state_takes_the_place_of_what_it_holds(one, two):
    await one.create(SID, META, b"state")
    await one.write([news(0, b"a", b"b", b"c")])
    for _ in range(2):
        assert await one.write([news(2, b"c", b"d", state=b"a, b")]) == [Outcome.KEPT]
    assert await one.write([news(1, b"b", b"c", state=b"a")]) == [Outcome.KEPT], "it came late"
    found = await found_by(two)
    assert (found.first, found.state, found.entries) == (2, b"a, b", (b"c", b"d"))


async def test_a_state_of_everything_leaves_no_entries(one, two):
    await one.create(SID, META, b"state")
    await one.write([news(0, b"a", b"b")])
    assert await one.write([news(2, state=b"a, b")]) == [Outcome.KEPT]
    assert await one.write([news(2, b"c")]) == [Outcome.KEPT]
    found = await found_by(two)
    assert (found.first, found.state, found.entries) == (2, b"a, b", (b"c",))


async def test_a_write_of_many_entries(one, two):
    entries = tuple(b"%d" % n for n in range(5000))
    await one.create(SID, META, b"state")
    assert await one.write([news(0, *entries)]) == [Outcome.KEPT]
    assert (await found_by(two)).entries == entries


async def test_news_of_many_sessions_go_in_one_write(one, two):
    ids = [f"sess_{n}" for n in range(50)]
    for sid in ids[:-1]:
        await one.create(sid, META, b"state")
    await found_by(two, ids[7])
    told = await one.write([news(0, sid.encode(), sid=sid) for sid in ids])
    assert told == [
        *[Outcome.KEPT] * 7, Outcome.MOVED, *[Outcome.KEPT] * 41, Outcome.GONE
    ]  # fmt: skip
    for sid in (ids[0], ids[48]):
        assert (await found_by(two, sid)).entries == (sid.encode(),)
    assert await one.write([]) == []


async def test_a_stranger_finds_nothing_and_changes_nothing(one, two):
    await one.create(SID, META, b"state")
    assert await two.claim(SID, "evil") is None
    assert await two.claim("sess_none", "acme") is None
    assert await two.owner(SID, "evil") is None
    assert await two.owner(SID, "acme") == "gw-1"
    assert await one.write([news(0, b"a")]) == [Outcome.KEPT], "it is still ours"
    await found_by(two)
    assert await one.owner(SID, "acme") == "gw-2"


async def test_a_session_whose_time_is_over_is_not_claimed(one, two):
    over = msgspec.structs.replace(META, expires_at_s=int(time.time()) - 1)
    await one.create(SID, over, b"state")
    assert await two.claim(SID, "acme") is None
    assert await one.close(SID, 1)


async def test_what_was_closed_is_gone(one, two):
    await one.create(SID, META, b"state")
    await one.write([news(0, b"a")])
    assert await one.close(SID, 1)
    assert await one.write([news(1, b"b")]) == [Outcome.GONE]
    assert await two.claim(SID, "acme") is None
    assert await two.owner(SID, "acme") is None
    assert not await two.close(SID, 1)
    await one.create(SID, META, b"again")
    assert (await found_by(two)).entries == ()


async def test_a_mark_comes_with_the_session(one, two, stores):
    await one.create(SID, META, b"state")
    await one.create("sess_2", META, b"state")
    await one.mark({SID: (1, b"old"), "sess_2": (1, b"of the other")})
    await one.mark({SID: (1, b"12 ms")})
    await one.mark({})
    assert (await found_by(two)).mark == b"12 ms"
    assert (await found_by(stores("gw-3"))).mark is None, "the last owner noted nothing"


async def test_a_mark_of_an_older_epoch_is_none(one, two):
    await one.create(SID, META, b"state")
    await one.mark({SID: (1, b"of the first")})
    await found_by(one)
    assert (await found_by(two)).mark is None


async def test_an_owner_is_told_that_its_session_moved(one, two):
    await one.create(SID, META, b"state")
    async with listening(one) as messages:
        await found_by(two)
        told = msgspec.msgpack.decode(await messages.get())
    assert told == {"kind": "moved", "session_id": SID, "epoch": 2}


async def test_messages_come_in_order_and_to_their_gateway(one, two):
    async with listening(one) as messages, listening(two) as theirs:
        for n in range(300):
            await two.tell("gw-1", b"%d" % n)
        await one.tell("gw-2", b"hello")
        assert [await messages.get() for _ in range(300)] == [b"%d" % n for n in range(300)]
        assert await theirs.get() == b"hello"


async def test_sessions_are_swept_when_nobody_says_that_they_live(one, two):
    await one.create(SID, META, b"state")
    await one.create("sess_2", META, b"state")
    found = []
    async with asyncio.timeout(LIMIT_S):
        while not found:
            await one.beat(["sess_2"])
            found = await two.sweep()
    assert [(a.session_id, a.meta) for a in found] == [(SID, META)]
    assert await two.claim(SID, "acme") is None
    assert await one.write([news(0, b"late")]) == [Outcome.GONE]
    assert not await one.close(SID, 1)
    assert await one.owner(SID, "acme") is None
    await two.forgotten([SID])
    await two.forgotten([])
    assert await one.write([news(0, b"late")]) == [Outcome.GONE]
    assert (await found_by(two, "sess_2")).epoch == 2


async def test_a_session_is_swept_by_one_of_many(one, two, stores):
    ids = {f"sess_{n}" for n in range(60)}
    for sid in ids:
        await one.create(sid, META, b"state")
    sweepers = [one, two, stores("gw-3")]
    found: list[str] = []

    async def sweep(store: Store) -> None:
        while len(found) < len(ids):
            found.extend(a.session_id for a in await store.sweep())
            await asyncio.sleep(0.005)

    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
        for store in sweepers:
            tasks.create_task(sweep(store), name="sweep")
    assert sorted(found) == sorted(ids)


async def test_a_session_that_was_claimed_is_not_swept(one, two, stores):
    await one.create(SID, META, b"state")
    await one.create("sess_2", META, b"state")
    patient = stores("gw-3", ttl_s=60)
    await found_by(patient)
    assert await swept_by(two) == ["sess_2"]
    assert await patient.write([news(0, b"a", epoch=2)]) == [Outcome.KEPT]


async def test_what_is_closed_is_not_swept(one, two):
    await one.create(SID, META, b"state")
    await one.close(SID, 1)
    await one.beat([SID])  # it was late
    await one.create("sess_2", META, b"state")
    assert await swept_by(two) == ["sess_2"]


async def test_who_just_began_to_look_sweeps_nothing(one, two, stores):
    """Perhaps nobody could say that sessions live."""
    await one.create(SID, META, b"state")
    await one.create("sess_2", META, b"state")
    late = stores("gw-3", ttl_s=60)
    assert len(await swept_by(two)) > 0
    assert await late.sweep() == []


async def test_a_store_that_is_there_says_so(one):
    await one.ping()


async def test_a_fake_that_is_away_says_so():
    store = MemoryStore(World(), "gw-1")
    store.is_away = True
    with pytest.raises(Unavailable):
        await store.ping()
