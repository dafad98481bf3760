"""A tier is killed between two turns: the client is told, stays connected, and goes on."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.speech import recording, speak
from tests.e2e.test_turns import until
from tests.stack import running

TOLD_S = 5.0  # what the issue promises a client


@pytest.fixture(scope="module")
def own_stack():
    """A mesh of its own: it is being hurt."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        with running(Path(folder)) as stack:
            yield stack


@pytest.mark.parametrize("module", ["stt_service", "tts_service", "llm_orchestrator"])
async def test_a_killed_tier_costs_a_turn_at_most(own_stack, module):
    async with (
        own_stack.openai() as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        question = recording("what_time_is_it_in_london_today")
        await speak(connection, question)
        assert (await until(connection, "response.done"))[-1].response.status == "completed"

        # Who restarts tiers is stopped, or the outage may be over before it is noticed.
        own_stack.process.send_signal(signal.SIGSTOP)
        pid = own_stack.kill(module)
        await speak(connection, question)
        async with asyncio.timeout(TOLD_S):
            told = (await until(connection, "response.done", "error"))[-1]
        assert told.type == "error" or told.response.status == "failed"

        own_stack.process.send_signal(signal.SIGCONT)
        await _restarted(own_stack, module, pid)
        # What is still being said of the turn that was hurt is not of the next one.
        await connection.input_audio_buffer.clear()
        await until(connection, "input_audio_buffer.cleared")
        await speak(connection, question)
        done = await _answered(connection)
        assert done.response.status == "completed"


async def _answered(connection):
    """The end of the answer to the newest question."""
    await until(connection, "input_audio_buffer.committed")
    while (done := (await until(connection, "response.done"))[-1]).response.status == "cancelled":
        pass
    return done


async def _restarted(stack, module: str, old_pid: int) -> None:
    async with aiohttp.ClientSession() as http, asyncio.timeout(30):
        while True:
            async with http.get(f"{stack.url}/readyz") as answer:
                if answer.status == 200 and stack.pid_of(module) not in (None, old_pid):
                    return
            await asyncio.sleep(0.1)
