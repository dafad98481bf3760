from __future__ import annotations

import json
import socket

import aiohttp
import pytest
from aiohttp import web

from gateway import handshake
from gateway.client_secrets import Preset, new_secret
from gateway.shared import GATEWAY
from tests import wire
from tests.client import RealtimeClient
from tests.unit.gateway.keys import KEY, KEY_HASH

BEARER = {"Authorization": f"Bearer {KEY}"}
URL = "/v1/realtime?model=gpt-realtime"
BAD_KEY = "sk-abcdefghijklmnopqrstuvwxyz"
BETA = {"OpenAI-Beta": "realtime=v1"}


def golden_refusals():
    """Note, error and close of each case of transcript 09."""
    [file] = (wire.DATA / "golden").glob("09_*.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [
        pytest.param(error["event"]["error"], close["text"], id=note["text"])
        for note, error, close in zip(lines[::3], lines[1::3], lines[2::3], strict=True)
    ]


HOW = {
    "invalid_api_key": {"key": BAD_KEY},
    None: {"key": None},
    "invalid_model": {"query": "model=gpt-nope"},
    "missing_model": {"query": ""},
    "beta_api_shape_disabled": {"headers": BETA},
}


@pytest.fixture
async def http(gateway):
    return await gateway(strict_ga=True)


@pytest.mark.parametrize(("error", "close"), golden_refusals())
async def test_a_refused_handshake_is_one_error_and_a_close(connect, recorder, error, close):
    client = await connect(**HOW[error["code"]])
    assert (await client.next())["error"] == error
    code, reason = await client.closed()
    assert f'{code} "{reason}"' == close
    assert client.types() == ["error"]
    assert recorder.records == []


@pytest.mark.parametrize(
    ("query", "closes"),
    [
        ("session_id=sess_1&model=gpt-realtime", "4004 invalid_request_error.session_not_found"),
        ("call_id=rtc_1", "4004 invalid_request_error.session_not_found"),
        ("intent=transcription&model=gpt-realtime", "4000 invalid_request_error"),
        ("intent=nonsense", "4000 invalid_request_error.invalid_value"),
        ("model=whisper-1", "4000 invalid_request_error.invalid_model"),
    ],
)
async def test_what_cannot_be_opened_is_said_with_its_close(connect, query, closes):
    client = await connect(query=query)
    assert (await client.next())["type"] == "error"
    code, reason = await client.closed()
    assert f"{code} {reason}" == closes


async def test_a_session_can_be_for_transcription_only(connect):
    client = await connect(query="intent=transcription")
    session = (await client.next())["session"]
    assert session["type"] == "transcription"
    assert session["object"] == "realtime.transcription_session"
    assert "model" not in session
    await client.close()


@pytest.mark.parametrize(
    "url",
    [
        "/openai/v1/realtime?model=gpt-realtime",
        "/openai/realtime?api-version=2025-04-01-preview&deployment=gpt-realtime",
    ],
)
async def test_azures_addresses_and_header_are_taken(http, url):
    client = RealtimeClient(await http.ws_connect(url, headers={"api-key": KEY}))
    assert (await client.next())["session"]["model"] == "gpt-realtime"
    await client.close()


async def test_a_browser_offers_subprotocols_and_gets_ours_never_the_key(http):
    protocols = ["realtime", f"openai-insecure-api-key.{KEY}", "openai-agents-sdk.0.1"]
    ws = await http.ws_connect("/v1/realtime?model=gpt-realtime", protocols=protocols)
    assert ws.protocol == "realtime"
    client = RealtimeClient(ws)
    assert (await client.next())["type"] == "session.created"
    await client.close()


async def test_a_key_that_comes_as_the_only_subprotocol_is_not_logged(connect, caplog):
    client = await connect(key=None, protocols=[f"openai-insecure-api-key.{KEY}"])
    assert (await client.next())["type"] == "session.created"
    assert client._ws.protocol is None
    assert KEY not in caplog.text


async def test_the_kernel_holds_little_for_a_client(http):
    gateway = http.app[GATEWAY]
    ws = await http.ws_connect(URL, headers=BEARER)
    [open_] = gateway.open
    held = open_._req.transport.get_extra_info("socket")
    assert held.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * handshake.MOST_UNSENT
    await ws.close()


async def test_who_offers_no_subprotocol_gets_none(client):
    assert client._ws.protocol is None


@pytest.mark.parametrize(
    "options",
    [{"headers": BETA}, {"protocols": ["realtime", "openai-beta.realtime-v1"]}],
    ids=["header", "subprotocol"],
)
async def test_the_beta_dialect_is_spoken_to_who_asks_for_it(gateway, options):
    http = await gateway()
    options = {**options, "headers": {**BEARER, **options.get("headers", {})}}
    ws = await http.ws_connect(URL, **options)
    created = await ws.receive_json()
    assert created["session"]["modalities"] == ["audio", "text"]
    assert (await ws.receive_json())["type"] == "conversation.created"
    await ws.close()


async def test_a_strict_server_speaks_no_beta(connect):
    client = await connect(protocols=["realtime", "openai-beta.realtime-v1"])
    assert client._ws.protocol == "realtime"
    assert (await client.next())["error"]["code"] == "beta_api_shape_disabled"


async def test_unknown_query_keys_are_ignored(connect):
    client = await connect(query="model=gpt-realtime-mini&bogus=1")
    created = await client.next()
    assert created["session"]["model"] == "gpt-realtime-mini"
    await client.close()


async def test_a_name_brings_its_own_settings_and_its_own_engines(gateway, backends, tmp_path):
    file = tmp_path / "models.toml"
    file.write_text('[[model]]\nname = "kind"\nvoice = "echo"\ninstructions = "Be kind."')
    http = await gateway(models_file=file)
    client = RealtimeClient(await http.ws_connect("/v1/realtime?model=kind", headers=BEARER))
    session = (await client.next())["session"]
    assert session["instructions"] == "Be kind."
    assert session["audio"]["output"]["voice"] == "echo"
    assert [profile.name for profile in backends.profiles] == ["kind"]
    await client.close()


async def kept(secrets, ttl_s=600, **fields):
    """A client secret, and the headers of who has it."""
    secret = new_secret()
    preset = Preset(
        tenant="zen", expires_at_s=1, key_hash=KEY_HASH, **{"model": "gpt-realtime", **fields}
    )
    await secrets.keep(secret, preset, ttl_s)
    return secret, {"headers": {"Authorization": f"Bearer {secret}"}, "key": None}


async def test_a_client_secret_opens_sessions_that_start_as_it_says(connect, secrets, recorder):
    asked = {"type": "realtime", "instructions": "Hum.", "audio": {"output": {"voice": "marin"}}}
    _, how = await kept(secrets, kind="realtime", session=asked)
    for _ in range(2):
        client = await connect(query="", **how)
        session = (await client.next())["session"]
        assert session["instructions"] == "Hum."
        assert session["audio"]["output"]["voice"] == "marin"
        assert session["model"] == "gpt-realtime"
        await client.close()
    assert {record.session.tenant_id for record in recorder.records} == {"zen"}


async def test_a_browser_brings_its_secret_as_a_subprotocol(http, secrets, caplog):
    secret, _ = await kept(secrets)
    protocols = ["realtime", f"openai-insecure-api-key.{secret}"]
    ws = await http.ws_connect(URL, protocols=protocols)
    assert (await ws.receive_json())["type"] == "session.created"
    assert ws.protocol == "realtime"
    assert secret not in caplog.text
    await ws.close()


async def test_a_session_outlives_its_secret(connect, secrets):
    secret, how = await kept(secrets)
    client = await connect(**how)
    await client.until("session.created")
    secrets.expire(secret)
    await client.send("input_audio_buffer.clear")
    await client.until("input_audio_buffer.cleared")
    other = await connect(**how)
    error = (await other.next())["error"]
    assert (error["type"], error["code"]) == ("authentication_error", "token_expired")
    assert await other.closed() == (3000, "authentication_error.token_expired")
    await client.close()


async def test_secrets_that_cannot_be_looked_up_are_a_servers_failure(connect, secrets):
    _, how = await kept(secrets)
    secrets.is_away = True
    client = await connect(**how)
    assert (await client.next())["error"]["type"] == "server_error"
    assert await client.closed() == (1011, "server_error.service_unavailable")


async def test_a_full_server_says_when_to_come_back(gateway):
    http = await gateway(max_sessions=1)
    first = await http.ws_connect(URL, headers=BEARER)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(URL, headers=BEARER)
    assert refused.value.status == 503
    assert refused.value.headers["Retry-After"] == "1"
    await first.close()


async def test_a_request_that_is_no_websocket_is_refused(http):
    answer = await http.get("/v1/realtime?model=gpt-realtime", headers=BEARER)
    assert answer.status == web.HTTPBadRequest.status_code
