"""Nobody but its tenant can reach a session, or learn that there is one, whatever path is taken.

Tenant B tries every path that takes an id of a session, at the gateway that has it and at
another one, and is told the very same as of an id that never was.
"""

from __future__ import annotations

import json
import re
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

import gateway
from gateway import handshake
from gateway.config import Config
from gateway.sessions.redis_store import RedisStore
from tests.client import RealtimeClient
from tests.fakes.secrets import FakeSecrets
from tests.unit.gateway.keys import KEY, OTHER_KEY, keys_json
from tests.unit.gateway.two_gateways import BETA, Gateways, bearer, until

HANGUP = "/v1/realtime/calls/{call_id}/hangup"
TAKE_IDS = {("GET", path) for path in handshake.PATHS} | {("POST", HANGUP)}
TAKE_NONE = {
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("GET", "/readyz"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{model}"),
    ("POST", "/v1/audio/speech"),
    ("POST", "/v1/audio/transcriptions"),
    ("POST", "/v1/realtime/client_secrets"),
    ("POST", "/v1/realtime/sessions"),
    ("POST", "/v1/realtime/transcription_sessions"),
}
NAMES = ("session_id", "conversation_id", "call_id")
"""What the handshake takes an id by, in its URL."""
NO_NAMES = {"deployment", "intent", "last_event_id", "model"}
NEVER = "sess_0123456789abcdef0123456789abcdef"
SPEECH, SILENCE = b"\x01\x00" * 12_000, bytes(24_000)
N = 25


@dataclass(frozen=True)
class Try:
    """One way to ask for a session. `{}` is its id."""

    path: str
    headers: dict[str, str]
    protocols: tuple[str, ...] = ()

    def of(self, session_id: str) -> Try:
        headers = {name: value.replace("{}", session_id) for name, value in self.headers.items()}
        return replace(self, path=self.path.replace("{}", session_id), headers=headers)


def tries(secret: str) -> list[Try]:
    """Every place for an id, on every path, by every way to say who asks."""
    places: list[tuple[str, dict[str, str]]] = [(f"{name}={{}}", {}) for name in NAMES]
    places += [
        ("", {"X-Session-Id": "{}"}),
        ("model=gpt-realtime", {"X-Session-Id": "{}"}),
        ("session_id={}&last_event_id=event_00000000_1", {}),
        ("session_id={}&model=gpt-realtime", {}),
        ("call_id={}&session_id={}", {}),
        ("intent=transcription&conversation_id={}", {}),
    ]
    who: list[tuple[dict[str, str], tuple[str, ...]]] = [
        (bearer(OTHER_KEY), ()),
        (bearer(OTHER_KEY) | BETA, ()),
        (bearer(secret), ()),
        ({"api-key": OTHER_KEY}, ()),
        ({}, ("realtime", f"openai-insecure-api-key.{OTHER_KEY}")),
        ({}, ("realtime", f"openai-insecure-api-key.{secret}")),
        ({}, ("realtime", f"openai-insecure-api-key.{OTHER_KEY}", "openai-beta.realtime-v1")),
    ]
    return [
        Try(f"{path}?{query}", headers | more, protocols)
        for path in handshake.PATHS
        for query, more in places
        for headers, protocols in who
    ]


@pytest.fixture
async def gateways(aiohttp_client, tmp_path, streams_url):
    keys_file = tmp_path / "keys.json"
    keys_file.write_text(keys_json({KEY: "acme", OTHER_KEY: "other"}))
    config = Config(
        keys_file=keys_file, redis_url=streams_url, requests_per_minute=0, connects_per_s=0
    )
    both, secrets = Gateways(config), FakeSecrets()
    for name in ("gw_1", "gw_2"):
        await both.start(aiohttp_client, secrets, RedisStore.at(streams_url, name, ttl_s=30))
    return both


@pytest.fixture
async def kept(streams_url):
    """What the store has of a session."""
    redis = Redis.from_url(streams_url)

    async def kept(session_id: str) -> Any:
        tag = f"ovos:{{{session_id}}}:"
        journal = await redis.lrange(tag + "journal", 0, -1)
        return await redis.hgetall(tag + "meta"), await redis.get(tag + "state"), journal

    yield kept
    await redis.aclose()


@pytest.fixture
async def secret(gateways):
    """A client secret of tenant B."""
    path = "/v1/realtime/client_secrets"
    answer = await gateways.http[1].post(path, headers=bearer(OTHER_KEY))
    value = (await answer.json())["value"]
    assert value.startswith("ek_")
    return str(value)


async def said(http: Any, ask: Try) -> Any:
    """All that a WebSocket is told, without what is random."""
    ws = await http.ws_connect(ask.path, headers=ask.headers, protocols=ask.protocols)
    headers = {k: v for k, v in ws._response.headers.items() if k not in _RANDOM}
    texts = []
    while (message := await ws.receive(timeout=30)).type is aiohttp.WSMsgType.TEXT:
        texts.append(re.sub(r'"event_id":"event_\w+",', "", message.data))
    assert message.type is aiohttp.WSMsgType.CLOSE
    return headers, texts, message.data, message.extra


_RANDOM = {"Date", "Sec-WebSocket-Accept"}


def is_not_found(told: Any) -> bool:
    _, texts, code, reason = told
    [error] = [json.loads(text) for text in texts]
    assert error["type"] == "error"
    assert (code, reason) == (4004, "invalid_request_error.session_not_found")
    return bool(error["error"]["code"] == "session_not_found")


async def test_no_path_leads_to_a_session_of_another_tenant(gateways, kept, secret):
    client, session_id = await gateways.opened(1)
    await client.speak(SPEECH + SILENCE)
    await client.until("rate_limits.updated")
    await until(lambda: gateways.gateway(1).live[session_id].is_quiet)
    before = await kept(session_id)
    for ask in tries(secret):
        for http in gateways.http:
            told = await said(http, ask.of(session_id))
            assert is_not_found(told), ask
            assert told == await said(http, ask.of(NEVER)), ask
    assert await kept(session_id) == before
    assert set(gateways.gateway(1).live) == {session_id}
    assert not gateways.gateway(2).live
    assert not await client.arrived()
    await client.speak(SPEECH + SILENCE)
    done = await client.until("response.done")
    assert done["response"]["status"] == "completed"


async def hang_up(http: Any, session_id: str, key: str) -> Any:
    answer = await http.post(HANGUP.replace("{call_id}", session_id), headers=bearer(key))
    headers = {k: v for k, v in answer.headers.items() if k != "Date"}
    return answer.status, headers, await answer.read()


async def test_nobody_hangs_up_on_another_tenants_call(gateways, kept, secret):
    client, session_id = await gateways.opened(1)
    before = await kept(session_id)
    for http in gateways.http:
        told = await hang_up(http, session_id, OTHER_KEY)
        assert told[0] == 404
        assert json.loads(told[2])["error"]["code"] == "session_not_found"
        assert told == await hang_up(http, NEVER, OTHER_KEY)
        # Whoever has a mere client secret is told that before anything is looked up.
        told = await hang_up(http, session_id, secret)
        assert told[0] == 401
        assert told == await hang_up(http, NEVER, secret)
    assert await kept(session_id) == before
    assert not await client.arrived()


@pytest.mark.parametrize("name", NAMES)
async def test_nor_one_whose_client_is_away(gateways, kept, secret, name):
    client, session_id = await gateways.opened(1)
    client._ws._response.connection.transport.abort()
    await until(lambda: session_id not in gateways.gateway(1).live)
    before = await kept(session_id)
    for headers in (bearer(OTHER_KEY), bearer(secret), bearer(OTHER_KEY) | BETA):
        for http in gateways.http:
            ask = Try(f"/v1/realtime?{name}={{}}", headers)
            told = await said(http, ask.of(session_id))
            assert is_not_found(told)
            assert told == await said(http, ask.of(NEVER))
            assert (await hang_up(http, session_id, OTHER_KEY))[0] == 404
    assert await kept(session_id) == before
    resumed = await gateways.connect(2, f"session_id={session_id}")
    assert (await resumed.next())["session"]["id"] == session_id


@pytest.mark.parametrize("name", NAMES)
async def test_one_that_has_ended_is_like_one_that_never_was(gateways, name):
    _, session_id = await gateways.opened(1)
    assert (await hang_up(gateways.http[0], session_id, KEY))[0] == 200
    for http in gateways.http:
        for key in (KEY, OTHER_KEY):
            ask = Try(f"/v1/realtime?{name}={{}}", bearer(key))
            told = await said(http, ask.of(session_id))
            assert is_not_found(told)
            assert told == await said(http, ask.of(NEVER))
            assert await hang_up(http, session_id, key) == await hang_up(http, NEVER, key)


@pytest.mark.parametrize("name", NAMES)
async def test_nor_does_the_time_tell(gateways, name):
    """What would is some wait: for the owner to let go, or to answer."""
    _, session_id = await gateways.opened(1)
    ask = Try(f"/v1/realtime?{name}={{}}", bearer(OTHER_KEY))
    for http in gateways.http:
        took_ms: dict[str, list[float]] = {session_id: [], NEVER: []}
        for _ in range(N):
            for wanted, times in took_ms.items():
                began_s = time.perf_counter()
                await said(http, ask.of(wanted))
                times.append((time.perf_counter() - began_s) * 1000)
        there, never = (statistics.median(times) for times in took_ms.values())
        assert abs(there - never) < 50, (there, never)  # a wait is ten times as long


async def test_a_balancers_id_takes_no_session_over(gateways, kept):
    """Loopback is trusted to name new sessions, and a name that is taken is no name."""
    client, session_id = await gateways.opened(1)
    before = await kept(session_id)
    for number in (1, 2):
        headers = {"X-New-Session-Id": session_id}
        other = await gateways.connect(number, key=OTHER_KEY, **headers)
        created = await other.next()
        assert created["session"]["id"] != session_id
        await other.close()
    assert await kept(session_id) == before
    assert not await client.arrived()


async def test_a_sideband_of_the_other_tenant_hears_nothing_afterwards(gateways):
    client, session_id = await gateways.opened(1)
    ws = await gateways.http[1].ws_connect(
        f"/v1/realtime?call_id={session_id}", headers=bearer(OTHER_KEY)
    )
    other = RealtimeClient(ws)
    assert (await other.next())["error"]["code"] == "session_not_found"
    assert (await other.closed())[0] == 4004
    assert not gateways.gateway(1).live[session_id].audience
    await until(lambda: not list(gateways.gateway(2).sidebands))
    await client.send("input_audio_buffer.clear")
    await client.until("input_audio_buffer.cleared")


async def test_every_path_that_takes_an_id_is_tried_here(gateways):
    """Whoever adds one finds this failing: try it above, and list it."""
    routes = gateways.http[0].app.router.routes()
    known = {(route.method, route.resource.canonical) for route in routes}
    api = {route for route in known if route[0] not in ("HEAD", "OPTIONS")}
    assert api == TAKE_IDS | TAKE_NONE


def test_every_word_of_a_url_that_is_an_id_is_tried_here():
    asks = re.compile(r'query(?:\.get\(|\[)"(\w+)"')
    sources = Path(gateway.__file__).parent.rglob("*.py")
    words = {word for source in sources for word in asks.findall(source.read_text())}
    assert words == set(NAMES) | NO_NAMES
