from __future__ import annotations

import os

import pytest

from gateway.auth import NO_KEY, Keyring
from gateway.realtime.refusals import Refused
from mesh import keys
from tests.unit.gateway.keys import KEY, keys_json


@pytest.fixture
def keyring(keys_file):
    return Keyring(keys_file)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer  {KEY} "},
        {"Sec-WebSocket-Protocol": f"realtime, openai-insecure-api-key.{KEY}, openai-agents-sdk.1"},
    ],
)
def test_a_key_names_its_tenant_however_it_comes(keyring, headers):
    assert keyring.tenant(headers) == "acme"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic abc"},
        {"Sec-WebSocket-Protocol": "realtime"},
    ],
)
def test_no_key_is_said_so(keyring, headers):
    with pytest.raises(Refused) as refused:
        keyring.tenant(headers)
    assert refused.value.refusal == NO_KEY


def test_an_unknown_key_is_shown_only_at_its_ends(keyring):
    with pytest.raises(Refused) as refused:
        keyring.tenant({"Authorization": "Bearer sk-abcdefghijklmnopqrstuvwxyz"})
    assert refused.value.refusal.code == "invalid_api_key"
    assert "provided: sk-ab***wxyz." in refused.value.refusal.message


def test_a_short_key_is_not_shown_at_all(keyring):
    with pytest.raises(Refused, match=r"provided: \*\*\*\."):
        keyring.tenant({"Authorization": "Bearer secret"})


def test_a_key_can_be_added_and_revoked_while_serving(keyring, keys_file):
    def write(text: str, at_ns: int) -> None:
        keys_file.write_text(text)
        os.utime(keys_file, ns=(at_ns, at_ns))

    other = "sk-other-0123456789"
    write(keys_json({other: "zen"}), 1)
    assert keyring.tenant({"Authorization": f"Bearer {other}"}) == "zen"
    with pytest.raises(Refused):
        keyring.tenant({"Authorization": f"Bearer {KEY}"})
    write("{ half", 2)
    assert keyring.tenant({"Authorization": f"Bearer {other}"}) == "zen"
    keys_file.unlink()
    assert keyring.tenant({"Authorization": f"Bearer {other}"}) == "zen"


def test_a_gateway_does_not_start_without_keys(tmp_path):
    with pytest.raises(keys.KeyFileError):
        Keyring(tmp_path / "none.json")


def test_a_key_that_is_not_ascii_is_an_unknown_one(keyring):
    # Header bytes that are no UTF-8 reach us as lone surrogates, which nothing can encode.
    with pytest.raises(Refused, match=r"provided: \*\*\*\."):
        keyring.tenant({"Authorization": "Bearer \udcff\udcfe" + "x" * 20})
