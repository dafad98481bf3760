"""What every store of client secrets does: the fake and the one in Redis."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from gateway.client_secrets import Expired, Preset, RedisSecrets, Secrets, new_secret
from mesh.errors import Unavailable
from mesh.redis import connect
from tests.fakes.secrets import FakeSecrets

PRESET = Preset(
    tenant="acme",
    expires_at_s=1_900_000_000,
    model="gpt-realtime",
    is_bound=True,
    kind="realtime",
    session={"type": "realtime", "audio": {"output": {"speed": 1.25}}, "instructions": "Hallöchen"},
)


@pytest.fixture(params=["fake", "redis", "cluster"])
async def secrets(request):
    if request.param == "fake":
        yield FakeSecrets()
        return
    if request.param == "redis":
        url = request.getfixturevalue("streams_url")
    else:
        url = request.getfixturevalue("cluster_fleet").url
    store = RedisSecrets(connect(url))
    yield store
    await store.close()


async def test_a_secret_opens_what_it_was_made_for_as_often_as_one_likes(secrets):
    secret = new_secret()
    await secrets.keep(secret, PRESET, 600)
    assert await secrets.find(secret) == PRESET
    assert await secrets.find(secret) == PRESET


async def test_a_preset_may_say_next_to_nothing(secrets):
    secret, preset = new_secret(), Preset("acme", 1, "")
    await secrets.keep(secret, preset, 600)
    assert await secrets.find(secret) == preset


async def test_an_unknown_secret_is_none(secrets):
    await secrets.keep(new_secret(), PRESET, 600)
    assert await secrets.find(new_secret()) is None
    assert await secrets.find("ek_" + "0" * 1_000_000) is None
    assert await secrets.find("ek_*") is None


async def test_an_expired_secret_is_still_known_as_one(secrets):
    secret = new_secret()
    await secrets.keep(secret, PRESET, 0.02)
    with pytest.raises(Expired):
        await _look_until_it_is_gone(secrets, secret)


async def _look_until_it_is_gone(secrets: Secrets, secret: str) -> None:
    async with asyncio.timeout(10):
        while await secrets.find(secret) is not None:
            await asyncio.sleep(0)


async def test_redis_has_no_secret_and_forgets_in_time(streams_url):
    store = RedisSecrets(connect(streams_url))
    secret = new_secret()
    await store.keep(secret, PRESET, 600)
    async with Redis.from_url(streams_url) as redis:
        keys = await redis.keys()
        assert len(keys) == 2
        values = [await redis.get(key) for key in keys]
        lives_s = sorted([await redis.ttl(key) for key in keys])
    assert secret.removeprefix("ek_").encode() not in b"".join([*keys, *values])
    assert lives_s == [pytest.approx(600, abs=5), pytest.approx(87_000, abs=5)]
    await store.close()


async def test_redis_that_is_away_is_said_so(own_redis):
    store = RedisSecrets(connect(own_redis.url))
    await store.keep(new_secret(), PRESET, 600)
    own_redis.stop()
    with pytest.raises(Unavailable):
        await store.keep(new_secret(), PRESET, 600)
    with pytest.raises(Unavailable):
        await store.find(new_secret())
    await store.close()


def test_secrets_are_long_and_all_different():
    made = {new_secret() for _ in range(1000)}
    assert len(made) == 1000
    assert all(len(secret) == 67 and secret.startswith("ek_") for secret in made)
