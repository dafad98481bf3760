"""Nothing that a client sends breaks the mesh. `python -m bench.fuzz` sends ten times as much."""

from __future__ import annotations

import tempfile
from pathlib import Path

import aiohttp
import pytest
from aiohttp import WSMsgType

from bench.fuzz import GROWTH, SETTINGS, fuzz, loud, report
from tests.stack import Stack, running

FRAMES = 20_000


@pytest.fixture(scope="module")
def strict_stack():
    """A mesh of its own: it checks its events, and its logs are read."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # root's PostgreSQL runs as nobody and must get in
        with running(Path(folder), **SETTINGS) as stack:
            yield stack


def gateway_of(stack: Stack) -> int:
    pid = stack.pid_of("gateway")
    assert pid is not None
    return pid


async def test_random_and_mutated_frames(strict_stack):
    """Every burst's session answers a question afterwards: `fuzz` fails if one does not."""
    pid = gateway_of(strict_stack)
    tally = await fuzz(strict_stack.url, strict_stack.key, pid, FRAMES)
    print(report(tally))  # noqa: T201 - shown when something below fails
    assert tally.frames == FRAMES
    assert tally.answers["response.created"] > FRAMES // 400, "most frames were rubbish"
    assert tally.growth < GROWTH
    assert gateway_of(strict_stack) == pid
    assert loud(strict_stack.data_dir / "logs") == []


BROKEN = {
    "text that is not UTF-8": (b'{"type":"\xff\xfe"}', WSMsgType.TEXT, 1007),
    "a reserved opcode": (b"x", 0x3, 1002),
    "a close frame of one byte": (b"\x03", WSMsgType.CLOSE, 1002),
}


@pytest.mark.parametrize(("data", "opcode", "code"), BROKEN.values(), ids=BROKEN)
async def test_frames_that_are_no_websocket_end_their_connection_only(
    strict_stack, data, opcode, code
):
    headers = {"Authorization": f"Bearer {strict_stack.key}"}
    url = f"{strict_stack.url}/v1/realtime?model=gpt-realtime"
    async with aiohttp.ClientSession() as web:
        async with web.ws_connect(url, headers=headers) as ws:
            await ws.receive_json()
            await ws._writer.send_frame(data, opcode)
            message = await ws.receive(timeout=20)
            assert (message.type, message.data) == (WSMsgType.CLOSE, code)
        async with web.ws_connect(url, headers=headers) as ws:
            assert (await ws.receive_json())["type"] == "session.created"
    assert loud(strict_stack.data_dir / "logs") == []
