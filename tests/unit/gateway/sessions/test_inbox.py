import asyncio
from contextlib import asynccontextmanager

import pytest

from gateway.sessions import inbox
from mesh.redis import connect, each

LIMIT_S = 20


@asynccontextmanager
async def listening(url, gateway_id="gw-1"):
    """A queue of what comes."""
    messages = asyncio.Queue()

    async def listen(reader):
        async for message in inbox.told(reader, gateway_id):
            messages.put_nowait(message)

    async with (
        connect(url, timeout_s=inbox.BLOCK_MS / 1000 + 0.5) as reader,
        asyncio.timeout(LIMIT_S),
        asyncio.TaskGroup() as tasks,
    ):
        task = tasks.create_task(listen(reader), name="inbox")
        yield messages
        task.cancel()


async def tell(redis, message, gateway_id="gw-1"):
    [*answers] = await each(redis, inbox.telling(gateway_id, message))
    assert not any(isinstance(answer, Exception) for answer in answers)


async def tell_until_heard(redis, messages, text=b"ready?"):
    while messages.empty():
        await tell(redis, text)
        await asyncio.sleep(0.01)
    await tell(redis, b"end of " + text)
    while await messages.get() != b"end of " + text:
        pass


async def test_what_was_told_before_is_not_news(streams_url):
    async with connect(streams_url) as redis:
        await tell(redis, b"before")
        async with listening(streams_url) as messages:
            first = None
            while first is None:
                await tell(redis, b"now")
                await asyncio.sleep(0.01)
                first = None if messages.empty() else messages.get_nowait()
            assert first == b"now"


async def test_both_protocols_say_the_same(streams_url):
    for protocol in (2, 3):
        url = f"{streams_url}?protocol={protocol}"
        async with connect(url) as redis, listening(url, f"gw-{protocol}") as messages:
            while messages.empty():
                await tell(redis, b"hello", f"gw-{protocol}")
                await asyncio.sleep(0.01)
            assert messages.get_nowait() == b"hello"


async def test_a_message_that_was_put_there_twice_comes_once(streams_url):
    async with connect(streams_url) as redis, listening(streams_url) as messages:
        await tell_until_heard(redis, messages)
        repeated = inbox.telling("gw-1", b"once")
        await each(redis, repeated)
        await each(redis, repeated)
        await tell(redis, b"end")
        assert [await messages.get(), await messages.get()] == [b"once", b"end"]


async def test_it_goes_on_when_redis_was_away(own_redis):
    """The connection breaks, the place in the stream stays, and nothing told is lost."""
    async with connect(own_redis.url) as redis, listening(own_redis.url) as messages:
        await tell_until_heard(redis, messages)
        own_redis.stop()
        own_redis.start()
        for n in range(3):
            await tell(redis, b"%d" % n)
        assert [await messages.get() for _ in range(3)] == [b"0", b"1", b"2"]


async def test_it_may_begin_before_redis_is_there(own_redis):
    own_redis.stop()
    async with listening(own_redis.url) as messages:
        await asyncio.sleep(0)
        own_redis.start()
        async with connect(own_redis.url) as redis:
            await tell_until_heard(redis, messages)


async def test_an_inbox_that_nobody_reads_does_not_stay(streams_url):
    async with connect(streams_url) as redis:
        await tell(redis, b"to a dead process")
        assert 0 < await redis.pttl(inbox.key("gw-1")) <= 600_000


async def test_it_goes_on_when_the_primary_of_its_shard_is_killed(cluster_fleet):
    async with connect(cluster_fleet.url) as redis, listening(cluster_fleet.url) as messages:
        await tell_until_heard(redis, messages)
        cluster_fleet.primary_of(inbox.key("gw-1")).kill()
        for n in range(3):
            while not await _is_told(redis, b"%d" % n):
                await asyncio.sleep(0.02)
        assert [await messages.get() for _ in range(3)] == [b"0", b"1", b"2"]


async def _is_told(redis, message):
    answers = await each(redis, inbox.telling("gw-1", message))
    return not any(isinstance(answer, Exception) for answer in answers)


@pytest.mark.parametrize("protocol", [2, 3])
async def test_it_needs_no_other_shard(cluster_fleet, protocol):
    """Whichever node the client asks for what every node knows."""
    url = f"{cluster_fleet.url}?protocol={protocol}"
    own = cluster_fleet.primary_of(inbox.key("gw-1"))
    async with connect(url) as redis, listening(url) as messages:
        await tell_until_heard(redis, messages)
        for node in cluster_fleet.nodes:
            if node is not own and node.role() == "master":
                node.kill()
        await tell(redis, b"still here")
        assert await messages.get() == b"still here"
