"""An answer that needs a tool and outlives its provider, through the stock client and the whole
mesh: real processes, the providers' own SDKs, servers of theirs on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from llm_orchestrator.engine import ToolCall
from tests.fakes.llm import Fault, Model, Reply
from tests.fakes.provider_server import ProviderServer
from tests.stack import ROOT, running

ANSWER = "Two cups are four hundred and eighty millilitres, and that is a lot of cold milk."
CALL = ToolCall("call_0", "to_millilitres", '{"cups": 2}')
TOOL = '''
def to_millilitres(cups: float) -> str:
    """Convert cups."""
    return f"{cups * 240:g} ml"
'''
PATIENT_S = 60.0


@pytest.fixture
async def openai():
    async with ProviderServer(Model(Reply(calls=(CALL,)))) as server:
        yield server


@pytest.fixture
async def groq():
    async with ProviderServer(Model(Reply(ANSWER))) as server:
        yield server


@pytest.fixture
async def stack(openai, groq, tmp_path):
    settings = {
        "LLM_PROVIDERS": "openai,groq",
        "OPENAI_API_KEY": "sk-test",
        "LLM_OPENAI_BASE_URL": f"{openai.url}/v1",
        "GROQ_API_KEY": "sk-test",
        "GROQ_BASE_URL": groq.url,
        "LLM_FIRST_TOKEN_TIMEOUT_S": str(PATIENT_S),
        "LLM_TOOLS": "to_millilitres",
        "LLM_TOOL_MAX_ROUNDS": "1",
        "GATEWAY_LLM_PATIENCE_S": str(PATIENT_S),
        "PYTHONPATH": ":".join([installed(tmp_path / "site"), str(ROOT), str(ROOT / "proto")]),
    }
    tmp_path.chmod(0o711)
    # In a thread: the providers must answer while the mesh starts.
    with contextlib.ExitStack() as open_:
        yield await asyncio.to_thread(open_.enter_context, running(tmp_path, **settings))
        await asyncio.to_thread(open_.pop_all().close)


def installed(folder: Path) -> str:
    """A folder with the tool in it, as `pip` leaves it."""
    info = folder / "kitchen-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "kitchen.py").write_text(TOOL)
    (info / "METADATA").write_text("Name: kitchen\nVersion: 1.0\n")
    entry = "[ovos_voice_mesh.tools]\nto_millilitres = kitchen:to_millilitres\n"
    (info / "entry_points.txt").write_text(entry)
    return str(folder)


@contextlib.asynccontextmanager
async def asked(stack, text: str) -> AsyncIterator[Any]:
    """A connection on which an answer to that is being written."""
    async with (
        asyncio.timeout(2 * PATIENT_S),
        stack.openai() as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        await connection.conversation.item.create(item=item)
        await connection.response.create()
        yield connection


async def until(connection: Any, kind: str) -> list[Any]:
    events = []
    async for event in connection:
        events.append(event)
        if event.type == kind:
            return events
    raise AssertionError("the connection ended")


def words(events: list[Any]) -> str:
    return "".join(e.delta for e in events if e.type == "response.output_audio_transcript.delta")


async def test_a_spoken_answer_has_its_tool_and_is_finished_by_the_next_provider(
    stack, openai, groq
):
    def stall_with_the_result(body: dict[str, Any]) -> None:
        if any(message["role"] == "tool" for message in body["messages"]):
            openai.model.reply = Reply(ANSWER, fault=Fault.STALL, pieces_first=6)

    openai.refuse = stall_with_the_result
    async with asked(stack, "how much milk are two cups") as connection:
        events = await until(connection, "response.done")
    done = events[-1].response
    assert done.status == "completed"
    [message] = done.output  # the client sees no call
    assert message.content[0].transcript == ANSWER
    assert words(events) == ANSWER
    assert any(event.type == "response.output_audio.delta" for event in events)
    sent = openai.bodies[-1]["messages"]
    assert [m["content"] for m in sent if m["role"] == "tool"] == ["480 ml"]
    written = groq.bodies[0]["messages"][-2]
    assert (written["role"], written["content"]) == ("assistant", "Two cups are four hundred and")


async def test_an_answer_outlives_the_only_language_worker(stack, openai):
    openai.model.reply = Reply(ANSWER, fault=Fault.STALL, pieces_first=6)
    async with asked(stack, "is that a lot of milk") as connection:
        events = await until(connection, "response.output_audio_transcript.delta")
        openai.model.reply = Reply(ANSWER)
        stack.kill("llm_orchestrator")
        events += await until(connection, "response.done")
    done = events[-1].response
    assert (done.status, words(events)) == ("completed", ANSWER)
    assert done.output[0].content[0].transcript == ANSWER
    assert len(openai.bodies) == 2
    written = [m for m in openai.bodies[-1]["messages"] if m["role"] == "assistant"][-1]
    assert ANSWER.startswith(written["content"])
