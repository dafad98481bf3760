"""How stores behave is in tests/contract/test_client_secrets.py."""

from __future__ import annotations

from redis.crc import key_slot

from gateway.client_secrets import PREFIX, Preset, RedisSecrets, new_secret
from mesh.stream import connect


def test_secrets_are_long_and_never_the_same():
    secrets = {new_secret() for _ in range(1000)}
    assert len(secrets) == 1000
    assert {len(secret) for secret in secrets} == {len(PREFIX) + 64}


async def test_redis_holds_no_secret_and_both_keys_in_one_slot(streams_url):
    redis = connect(streams_url)
    store, secret = RedisSecrets(redis), new_secret()
    await store.keep(secret, Preset("acme", 1, "gpt-realtime"), 60)
    keys = [key async for key in redis.scan_iter("ovos:secret*")]
    assert len(keys) == 2
    assert not any(secret.encode() in key for key in keys)
    assert len({key_slot(key) for key in keys}) == 1
    await store.close()
