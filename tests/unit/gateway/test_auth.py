from __future__ import annotations

import os

import pytest

from gateway.auth import AWAY, EXPIRED, NO_KEY, Doorman, Keyring, Unauthorized, Unready, Who
from gateway.client_secrets import Preset, new_secret
from mesh import keys
from tests.unit.gateway.keys import KEY, KEY_HASH, keys_json

PRESET = Preset("zen", 1_900_000_000, "gpt-realtime", key_hash=KEY_HASH)


@pytest.fixture
def doorman(keys_file, secrets):
    return Doorman(Keyring(keys_file), secrets)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer  {KEY} "},
        {"api-key": KEY},
        {"Sec-WebSocket-Protocol": f"realtime, openai-insecure-api-key.{KEY}, openai-agents-sdk.1"},
        {
            "Sec-WebSocket-Protocol": f"realtime, openai-insecure-api-key.{KEY}, "
            "openai-organization.org-1, openai-project.proj_1, openai-beta.realtime-v1"
        },
    ],
)
async def test_a_key_names_its_tenant_however_it_comes(doorman, headers):
    assert await doorman.who(headers) == Who("acme", KEY_HASH)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic abc"},
        {"Sec-WebSocket-Protocol": "realtime"},
        {"OpenAI-Organization": "org-1"},
    ],
)
async def test_no_key_is_said_so(doorman, headers):
    with pytest.raises(Unauthorized) as refused:
        await doorman.who(headers)
    assert refused.value.refusal == NO_KEY


async def test_an_unknown_key_is_shown_only_at_its_ends(doorman):
    with pytest.raises(Unauthorized) as refused:
        await doorman.who({"Authorization": "Bearer sk-abcdefghijklmnopqrstuvwxyz"})
    assert refused.value.refusal.code == "invalid_api_key"
    assert "provided: sk-ab***wxyz." in refused.value.refusal.message


async def test_a_short_key_is_not_shown_at_all(doorman):
    with pytest.raises(Unauthorized, match=r"provided: \*\*\*\."):
        await doorman.who({"Authorization": "Bearer secret"})


async def test_a_key_that_is_not_ascii_is_an_unknown_one(doorman):
    # Header bytes that are no UTF-8 reach us as lone surrogates, which nothing can encode.
    with pytest.raises(Unauthorized, match=r"provided: \*\*\*\."):
        await doorman.who({"Authorization": "Bearer \udcff\udcfe" + "x" * 20})


async def test_a_client_secret_has_its_makers_tenant(doorman, secrets):
    secret = new_secret()
    await secrets.keep(secret, PRESET, 600)
    assert await doorman.who({"Authorization": f"Bearer {secret}"}) == Who("zen", KEY_HASH, PRESET)


async def test_a_client_secret_goes_with_the_key_that_made_it(doorman, secrets, keys_file):
    secret = new_secret()
    await secrets.keep(secret, PRESET, 600)
    keys_file.write_text(keys_json({"sk-other-0123456789": "zen"}))
    os.utime(keys_file, ns=(1, 1))
    with pytest.raises(Unauthorized) as refused:
        await doorman.who({"Authorization": f"Bearer {secret}"})
    assert refused.value.refusal.code == "invalid_api_key"


async def test_an_expired_client_secret_is_told_from_an_unknown_one(doorman, secrets):
    secret = new_secret()
    await secrets.keep(secret, PRESET, 600)
    secrets.expire(secret)
    with pytest.raises(Unauthorized) as refused:
        await doorman.who({"Authorization": f"Bearer {secret}"})
    assert refused.value.refusal == EXPIRED
    with pytest.raises(Unauthorized) as refused:
        await doorman.who({"Authorization": f"Bearer {new_secret()}"})
    assert refused.value.refusal.code == "invalid_api_key"


async def test_a_client_secret_that_cannot_be_looked_up_is_not_called_wrong(doorman, secrets):
    secrets.is_away = True
    with pytest.raises(Unready) as refused:
        await doorman.who({"Authorization": f"Bearer {new_secret()}"})
    assert refused.value.refusal == AWAY
    assert await doorman.who({"Authorization": f"Bearer {KEY}"}) == Who("acme", KEY_HASH)


def test_a_key_can_be_added_and_revoked_while_serving(keys_file):
    def write(text: str, at_ns: int) -> None:
        keys_file.write_text(text)
        os.utime(keys_file, ns=(at_ns, at_ns))

    keyring = Keyring(keys_file)
    other = "sk-other-0123456789"
    write(keys_json({other: "zen"}), 1)
    known = keyring.find(other)
    assert known is not None
    assert known.tenant == "zen"
    assert keyring.has(known.hash)
    assert keyring.find(KEY) is None
    assert not keyring.has(KEY_HASH)
    write("{ half", 2)
    assert keyring.find(other) == known
    keys_file.unlink()
    assert keyring.find(other) == known


def test_a_gateway_does_not_start_without_keys(tmp_path):
    with pytest.raises(keys.KeyFileError):
        Keyring(tmp_path / "none.json")
