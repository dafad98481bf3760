"""Tools of a real MCP server, through the stock `openai` client and the whole mesh."""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.mcp_server import START_S, Mcp, mcp_server
from tests.stack import Stack, running

SECRET = "an-access-token-of-nobody"
NEVER = {"require_approval": "never"}


@pytest.fixture(scope="module")
def docs() -> Iterator[Mcp]:
    """An MCP server for all tests, with an event loop of its own."""
    ready = threading.Event()
    made: list[tuple[Mcp, asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        async with mcp_server() as server:
            stop = asyncio.Event()
            made.append((server, asyncio.get_running_loop(), stop))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="mcp server")
    thread.start()
    assert ready.wait(START_S)
    [(server, loop, stop)] = made
    yield server
    loop.call_soon_threadsafe(stop.set)
    thread.join()


@pytest.fixture(scope="module")
def mesh(docs: Mcp) -> Iterator[Stack]:
    """A mesh whose operator allows that server."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # root's PostgreSQL runs as nobody and must get in
        with running(Path(folder), LLM_MCP_ALLOWED=docs.url) as stack:
            yield stack


async def until(connection: Any, *types: str) -> list[Any]:
    events = []
    async for event in connection:
        events.append(event)
        if event.type in types:
            return events
    raise AssertionError(f"the connection ended before {types}")


async def configure(connection: Any, url: str, **tool: Any) -> None:
    made = {"type": "mcp", "server_label": "docs", "server_url": url, "authorization": SECRET}
    session = {"type": "realtime", "output_modalities": ["text"], "tools": [{**made, **tool}]}
    await connection.session.update(session=session)


async def say(connection: Any, text: str) -> None:
    content = [{"type": "input_text", "text": text}]
    item = {"type": "message", "role": "user", "content": content}
    await connection.conversation.item.create(item=item)


async def test_a_tool_is_listed_called_and_its_result_is_told(mesh, docs):
    async with mesh.openai() as client, client.realtime.connect(model="gpt-realtime") as talk:
        await configure(talk, docs.url, **NEVER, allowed_tools=["add", "search"])
        events = await until(talk, "mcp_list_tools.completed", "mcp_list_tools.failed")
        assert events[-1].type == "mcp_list_tools.completed"
        assert {tool.name for tool in events[-2].item.tools} == {"add", "search"}
        await say(talk, "search the documents for vad")
        choice = {"type": "mcp", "server_label": "docs", "name": "search"}
        await talk.response.create(response={"tool_choice": choice})
        events += await until(talk, "response.done")
        [call] = events[-1].response.output
        assert (call.type, call.server_label, call.error) == ("mcp_call", "docs", None)
        assert call.output == f"3 hits for {json.loads(call.arguments)['q']}"
        await talk.response.create()
        events += await until(talk, "response.done")
        assert "hits for" in events[-1].response.output[0].content[0].text
    assert docs.requests[-1]["authorization"] == f"Bearer {SECRET}"
    assert SECRET not in str([event.model_dump() for event in events])
    assert SECRET not in (mesh.data_dir / "up.log").read_text()


async def test_a_call_is_made_once_the_user_approves(mesh, docs):
    async with mesh.openai() as client, client.realtime.connect(model="gpt-realtime") as talk:
        await configure(talk, docs.url, allowed_tools=["search"])
        await say(talk, "search the documents for vad")
        await talk.response.create(response={"tool_choice": "required"})
        events = await until(talk, "response.done")
        [asked] = events[-1].response.output
        assert asked.type == "mcp_approval_request"
        answer = {"type": "mcp_approval_response", "approval_request_id": asked.id}
        await talk.conversation.item.create(item={**answer, "approve": True})
        await until(talk, "response.mcp_call.completed")
        [done] = await until(talk, "conversation.item.done")
        assert (done.item.approval_request_id, done.item.error) == (asked.id, None)
        assert done.item.output.startswith("3 hits for ")


async def test_a_tool_that_fails_says_why(mesh, docs):
    async with mesh.openai() as client, client.realtime.connect(model="gpt-realtime") as talk:
        await configure(talk, docs.url, **NEVER, allowed_tools=["fail"])
        await say(talk, "fail")
        await talk.response.create(response={"tool_choice": "required"})
        events = await until(talk, "response.done")
        [call] = events[-1].response.output
        assert call.error.type == "tool_execution_error"
        assert call.error.message == "Error executing tool fail"
        assert events[-1].response.status == "completed"


async def test_a_server_that_the_operator_does_not_allow_has_no_tools(mesh, docs):
    asked = len(docs.requests)
    async with mesh.openai() as client, client.realtime.connect(model="gpt-realtime") as talk:
        await configure(talk, docs.url.replace("127.0.0.1", "localhost"), **NEVER)
        await until(talk, "mcp_list_tools.failed")
        await say(talk, "what is twelve plus thirty")
        await talk.response.create()
        events = await until(talk, "response.done")
        assert events[-1].response.status == "completed"
    assert len(docs.requests) == asked
