import pytest
from redis.exceptions import ResponseError

from mesh.redis import connect
from mesh.script import Call, Script, run, run_one

ADD = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")


@pytest.fixture(params=["redis", "cluster"])
async def redis(request):
    if request.param == "redis":
        url = request.getfixturevalue("streams_url")
    else:
        url = request.getfixturevalue("cluster_fleet").url
    async with connect(url) as redis:
        yield redis


async def test_scripts_run_whether_redis_knows_them_or_not(redis):
    calls = [Call(ADD, (f"key:{n}",), (n,)) for n in range(30)]
    assert await run(redis, calls) == list(range(30))
    assert await run(redis, calls) == [2 * n for n in range(30)]
    await redis.script_flush()
    assert await run(redis, calls) == [3 * n for n in range(30)]


async def test_one_that_fails_does_not_hold_up_the_others(redis):
    await redis.set("text", "no number")
    failed, one = await run(redis, [Call(ADD, ("text",), (1,)), Call(ADD, ("number",), (1,))])
    assert isinstance(failed, ResponseError)
    assert one == 1


async def test_one_alone_raises(redis):
    assert await run_one(redis, Call(ADD, ("number",), (5,))) == 5
    with pytest.raises(ResponseError):
        await run_one(redis, Call(ADD, ("number",), ("five",)))
