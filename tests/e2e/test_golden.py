"""Every transcript of the Realtime contract, replayed against a gateway over a real socket.

The client's lines are sent; before a line of the server, the backends report what it
implies. The gateway must then say that line, and nothing else: `tests/golden.py` lists
what may differ. The same transcripts are played against the pure core in
tests/unit/gateway/realtime/test_golden.py.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from gateway import app
from gateway.config import Config
from gateway.realtime import signals as sig
from tests import wire
from tests.fakes.scripted import ScriptedBackends
from tests.fakes.store import MemoryStore, World
from tests.golden import FLOATING, RATES, lines_of, normal
from tests.replay import WAIT_S, Replay, Step, Steps
from tests.script import pcm
from tests.unit.gateway.conftest import ListRecorder, allowance_of
from tests.unit.gateway.keys import KEY, keys_json

GA = "?model=gpt-realtime"
BETA = {"OpenAI-Beta": "realtime=v1"}
INSTRUCTIONS = "You are a helpful assistant."  # the transcripts' default

Event = dict[str, Any]


# What came before a transcript that begins in the middle, and what it leaves out.


async def _nothing(replay: Replay) -> None:
    pass


async def _configured(replay: Replay, **session: Any) -> None:
    await replay.send("session.update", session={"type": "realtime", **session})
    await replay.until("session.updated")


async def _a_written_message(replay: Replay) -> None:
    content = [{"type": "input_text", "text": "count"}]
    item = {"type": "message", "role": "user", "content": content}
    await replay.send("conversation.item.create", item=item)
    await replay.until("conversation.item.done", item_U1="item.id")


async def _answered(replay: Replay, response: str, item: str, ms: int) -> None:
    """A spoken answer to what is there."""
    await replay.send("response.create")
    known = {response: "response.id", "conv_A1": "response.conversation_id"}
    await replay.until("response.created", **known)
    rid = replay.ours(response)
    replay.give(sig.ReplyText(rid, "One, two, three."))
    replay.give(sig.ReplyAudio(rid, pcm(ms)))
    replay.give(sig.ReplyEnded(rid, sig.Tokens()))
    await replay.until("conversation.item.done", **{item: "item.id"})
    await replay.until(RATES)


async def _opened(replay: Replay) -> None:
    await replay.until("session.created")


async def _a_spoken_turn(replay: Replay) -> None:
    await _opened(replay)
    await replay.hear(100)
    replay.give(sig.SpeechStarted("item_U1", 100))
    replay.give(sig.SpeechStopped("item_U1", 900))
    await replay.until("conversation.item.done", item_U1="item.id")
    replay.give(sig.Transcribed("item_U1", "tell me about bridges", 800))


async def _a_written_turn(replay: Replay) -> None:
    await _opened(replay)
    await _a_written_message(replay)


async def _a_written_turn_by_hand(replay: Replay) -> None:
    await _opened(replay)
    await _configured(replay, audio={"input": {"turn_detection": None}})
    await _a_written_message(replay)
    await replay.send("response.create")


async def _a_written_turn_answered(replay: Replay) -> None:
    await _a_written_turn(replay)
    await _answered(replay, "resp_0", "item_A1", 3700)


async def _a_long_silence(replay: Replay) -> None:
    await _opened(replay)
    vad = {"type": "server_vad", "idle_timeout_ms": 6000}
    await _configured(replay, audio={"input": {"turn_detection": vad}})
    await _a_written_message(replay)
    await _answered(replay, "resp_2", "item_A2", 500)
    for _ in range(20):
        await replay.hear(500)


async def _a_response_runs(replay: Replay) -> None:
    await replay.send("response.create")
    await replay.until("response.created", resp_1="response.id")


async def _it_has_ended(replay: Replay) -> None:
    replay.give(sig.ReplyEnded(replay.ours("resp_1"), sig.Tokens()))
    await replay.until(RATES)


VARIANT = "event_000000000000000000235"
"""Where transcript 12 goes on with `require_approval: "always"`."""


async def _calls_need_approval(replay: Replay) -> None:
    [tool] = lines_of("12")[0]["event"]["session"]["tools"]
    await _configured(replay, tools=[tool | {"require_approval": "always"}])
    await replay.send("response.create")
    await replay.until("response.created", resp_3="response.id")


async def _the_call_runs(replay: Replay) -> None:
    """ "then the mcp_call item + response.mcp_call.in_progress/completed as above" """
    called = ["conversation.item.added", "response.mcp_call.in_progress"]
    assert [(await replay.next())["type"] for _ in called] == called
    replay.give("3 hits")
    returned = ["response.mcp_call.completed", "conversation.item.done"]
    assert [(await replay.next())["type"] for _ in returned] == returned


@dataclass(frozen=True, slots=True)
class Case:
    """How one transcript is played."""

    number: str
    prelude: Step = _nothing
    before: Steps = field(default_factory=dict)
    """Steps that the transcript leaves out, by the event they come before."""
    after: Step = _nothing
    query: str = GA
    beta: bool = False
    strict: bool = False


CASES = [
    Case("01"),
    Case("02"),
    Case("03"),
    Case("04a", _a_spoken_turn),
    Case("04b", _a_written_turn_by_hand),
    Case("05"),
    Case("06", _a_written_turn_answered),
    Case("07", query="?intent=transcription"),
    Case(
        "08",
        _a_written_turn_answered,
        {"e17": _a_response_runs, "e19": _it_has_ended},
        strict=True,
    ),
    Case("10", _a_written_turn),
    Case("11", _a_long_silence),
    Case("12", _opened, {"c2": _a_written_message, VARIANT: _calls_need_approval}, _the_call_runs),
    Case("13", query="?model=gpt-4o-realtime-preview", beta=True),
]
ELSEWHERE = {"04c": "EXCEPTIONS", "09": "a test of its own: it is one connection a line"}


@pytest.fixture
async def gateway(tmp_path, request):
    """Gateways on loopback, as production builds them, with scripted backends."""
    servers = []

    async def start(**settings: Any) -> tuple[TestServer, ScriptedBackends]:
        keys = tmp_path / "keys.json"
        keys.write_text(keys_json({KEY: "acme"}))
        backends = ScriptedBackends()
        config = Config(
            keys_file=keys,
            models=("gpt-realtime*", "gpt-4o-realtime*"),
            instructions=INSTRUCTIONS,
            lead_ms=10_000,  # audio leaves at once: nobody listens
            check_events=True,
            apology="",
            **settings,
        )
        parts = app.Parts(
            backends,
            ListRecorder(),
            store=MemoryStore(World(), "gw_1"),
            allowance=allowance_of(config),
        )
        server = TestServer(app.build(config, parts))
        await server.start_server()
        servers.append(server)
        return server, backends

    yield start
    for server in servers:
        await server.close()


@pytest.fixture
async def web():
    async with aiohttp.ClientSession() as session:
        yield session


def connect(
    web: aiohttp.ClientSession, server: TestServer, query: str, headers: dict[str, str]
) -> Any:
    return web.ws_connect(server.make_url(f"/v1/realtime{query}"), headers=headers)


AUTH = {"Authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.number)
async def test_the_gateway_says_what_the_transcript_says(gateway, web, case):
    server, backends = await gateway(strict_ga=case.strict)
    headers = AUTH | (BETA if case.beta else {})
    async with connect(web, server, case.query, headers) as ws:
        replay = Replay(ws, backends, case.beta)
        await case.prelude(replay)
        replay.free.clear()
        replay.got.clear()
        lines = [line for line in lines_of(case.number) if not _is_expiry(line)]
        await replay.play(lines, case.before)
        await case.after(replay)
        await replay.end()
    told = [normal(replay.names.to_theirs(e)) for e in replay.free if e["type"] != RATES]
    assert told == [normal(e) for e in replay.server() if e["type"].startswith(FLOATING)]
    rates = [e for e in replay.free if e["type"] == RATES]
    assert len(rates) == len([e for e in replay.server() if e["type"] == RATES])
    ids = [event["event_id"] for event in replay.got]
    assert len(set(ids)) == len(ids)
    types = [event["type"] for event in replay.got]
    before = [types[n - 1] for n, type_ in enumerate(types) if type_ == RATES]
    assert set(before) <= {"response.created" if case.beta else "response.done"}


def test_every_transcript_is_played():
    played = {case.number for case in CASES} | set(ELSEWHERE)
    assert played == {file.name.split("_")[0] for file in wire.GOLDEN.glob("*.jsonl")}


HOW = {
    "invalid_api_key": {"headers": {"Authorization": "Bearer sk-abcdefghijklmnopqrstuvwxyz"}},
    None: {"headers": {}},
    "invalid_model": {"query": "?model=gpt-nope"},
    "missing_model": {"query": ""},
    "beta_api_shape_disabled": {"headers": AUTH | BETA},
}
"""The connections of transcript 09, by the code of their error."""


async def test_connections_that_are_refused(gateway, web):
    server, _ = await gateway(strict_ga=True)
    lines = [line for line in lines_of("09") if line["dir"] != "note"]
    for error, close in zip(lines[::2], lines[1::2], strict=True):
        how = {"query": GA, "headers": AUTH} | HOW[error["event"]["error"]["code"]]
        async with connect(web, server, **how) as ws:
            assert normal(wire.check(await ws.receive_json())) == normal(error["event"])
            assert await _closed(ws) == close["text"]


async def test_a_session_that_expires(gateway, web):
    """The end of transcript 08."""
    server, _ = await gateway(session_s=1.0)
    error, close = [line for line in lines_of("08") if _is_expiry(line)]
    async with connect(web, server, GA, AUTH) as ws:
        await ws.receive_json()
        told = normal(wire.check(await ws.receive_json(timeout=WAIT_S)))
        closed = await _closed(ws)
    assert json.loads(json.dumps(told).replace(" 0 minutes", " 60 minutes")) == normal(
        error["event"]
    )
    assert closed.replace(" 0 minutes", " 60 minutes") == close["text"]


def _is_expiry(line: Event) -> bool:
    code = line.get("event", {}).get("error", {}).get("code")
    return code == "session_expired" or line["dir"] == "s2c_close"


async def _closed(ws: aiohttp.ClientWebSocketResponse) -> str:
    async with asyncio.timeout(WAIT_S):
        message = await ws.receive()
    assert message.type is aiohttp.WSMsgType.CLOSE, message
    return f'{message.data} "{message.extra}"'
