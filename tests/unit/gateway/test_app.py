from __future__ import annotations

import asyncio
import json
import socket

import aiohttp
import pytest
from aiohttp import web

from gateway import app
from gateway.config import Config
from gateway.recorder import Recorder
from tests import wire
from tests.client import RealtimeClient
from tests.clock import Clock
from tests.unit.gateway.keys import KEY

BEARER = {"Authorization": f"Bearer {KEY}"}
URL = "/v1/realtime?model=gpt-realtime"
BAD_KEY = "sk-abcdefghijklmnopqrstuvwxyz"


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
    "beta_api_shape_disabled": {"headers": {"OpenAI-Beta": "realtime=v1"}},
}


@pytest.mark.parametrize(("error", "close"), golden_refusals())
async def test_a_refused_handshake_is_one_error_and_a_close(connect, recorder, error, close):
    client = await connect(**HOW[error["code"]])
    assert (await client.next())["error"] == error
    code, reason = await client.closed()
    assert f'{code} "{reason}"' == close
    assert client.types() == ["error"]
    assert recorder.records == []


@pytest.mark.parametrize(
    ("query", "code", "closes"),
    [
        ("session_id=sess_1&model=gpt-realtime", "session_not_found", 4004),
        ("call_id=rtc_1", "session_not_found", 4004),
        ("intent=transcription", "invalid_value", 4000),
    ],
)
async def test_kinds_of_session_that_are_not_served_yet_are_refused(connect, query, code, closes):
    client = await connect(query=query)
    assert (await client.next())["error"]["code"] == code
    assert await client.closed() == (closes, f"invalid_request_error.{code}")


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
    gateway = http.app[app.GATEWAY]
    ws = await http.ws_connect(URL, headers=BEARER)
    [open_] = gateway.open
    held = open_._req.transport.get_extra_info("socket")
    assert held.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * app.MOST_UNSENT
    await ws.close()


async def test_who_offers_no_subprotocol_gets_none(client):
    assert client._ws.protocol is None


async def test_a_beta_subprotocol_is_refused(connect):
    client = await connect(protocols=["realtime", "openai-beta.realtime-v1"])
    assert (await client.next())["error"]["code"] == "beta_api_shape_disabled"


async def test_unknown_query_keys_are_ignored(connect):
    client = await connect(query="model=gpt-realtime-mini&bogus=1")
    created = await client.next()
    assert created["session"]["model"] == "gpt-realtime-mini"
    await client.close()


async def test_a_session_starts_with_the_servers_settings(aiohttp_client, keys_file, backends):
    config = Config(keys_file=keys_file, instructions="Be kind.", voice="marin")
    http = await aiohttp_client(app.build(config, backends, QuietRecorder()))
    client = RealtimeClient(await http.ws_connect(URL, headers=BEARER))
    session = (await client.next())["session"]
    assert session["instructions"] == "Be kind."
    assert session["audio"]["output"]["voice"] == "marin"
    await client.close()


class QuietRecorder(Recorder):
    def __init__(self) -> None:
        pass

    def put(self, record: object) -> None:
        pass

    async def run(self) -> None:
        pass

    async def flush(self, timeout_s: float) -> bool:
        return True


async def test_a_full_server_says_when_to_come_back(aiohttp_client, keys_file, backends):
    config = Config(keys_file=keys_file, max_sessions=1)
    http = await aiohttp_client(app.build(config, backends, QuietRecorder()))
    first = await http.ws_connect(URL, headers=BEARER)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(URL, headers=BEARER)
    assert refused.value.status == 503
    assert refused.value.headers["Retry-After"] == "1"
    await first.close()


async def test_a_session_ends_when_its_time_is_over(connect, recorder):
    clock = Clock(asyncio.get_running_loop())
    client = await connect()
    await client.until("session.created")
    clock.advance(3600)
    expired = await client.until("error")
    sentence = "Your session hit the maximum duration of 60 minutes."
    assert expired["error"] == {
        "type": "invalid_request_error",
        "code": "session_expired",
        "message": sentence,
        "param": None,
        "event_id": None,
    }
    assert await client.closed() == (1001, sentence)


async def test_stopping_hangs_up_on_every_client(aiohttp_client, keys_file, backends):
    http = await aiohttp_client(app.build(Config(keys_file=keys_file), backends, QuietRecorder()))
    client = RealtimeClient(await http.ws_connect(URL, headers=BEARER))
    await client.until("session.created")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(http.server.close(), name="stop")
        assert await client.closed() == (1012, "service restart")


async def test_models_are_listed_for_those_with_a_key(http):
    answer = await http.get("/v1/models", headers=BEARER)
    assert answer.status == 200
    assert (await answer.json())["data"][0]["id"] == "gpt-realtime"
    refused = await http.get("/v1/models")
    assert refused.status == 401
    assert (await refused.json())["error"] == {
        "message": "Missing bearer or basic authentication in header",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


async def test_a_request_that_is_no_websocket_is_refused(http):
    answer = await http.get("/v1/realtime?model=gpt-realtime", headers=BEARER)
    assert answer.status == web.HTTPBadRequest.status_code


async def test_the_process_is_healthy_while_it_runs(http):
    assert (await http.get("/healthz")).status == 200


async def test_ready_means_that_a_whole_turn_can_be_served(http):
    gateway = http.server.app[app.GATEWAY]
    parts = {"stt": True, "tts": True, "llm": False, "redis": True}
    gateway.ready = lambda: parts
    answer = await http.get("/readyz")
    assert answer.status == 503
    assert await answer.json() == {"ready": False, "draining": False, **parts}
    parts["llm"] = True
    assert (await http.get("/readyz")).status == 200
    gateway.is_draining = True
    assert (await http.get("/readyz")).status == 503


async def test_metrics_are_served(http):
    answer = await http.get("/metrics")
    assert "gateway_sessions" in await answer.text()
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_ids_are_made_as_the_live_service_makes_them():
    assert len(app.new_id("item")) == len("item_") + 21
    assert len(app.new_id("call")) == len("call_") + 16
    ids = {app.new_id("resp") for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(made) <= 32 and made.replace("_", "").isalnum() for made in ids)
