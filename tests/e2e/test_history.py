"""What a turn leaves behind: rows in PostgreSQL, once, and a history over gRPC."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import psycopg
import pytest
from redis.asyncio import Redis

from mesh.stream import RECORD, fact_stream
from tests.e2e.speech import recording, speak
from tests.e2e.test_turns import until
from tests.stack import ROOT

CLIENT = """
    import json, sys
    import grpc
    from ovos.persistence.v1 import persistence_pb2 as pb, persistence_pb2_grpc
    target, tenant, conversation_id = sys.argv[1:]
    with grpc.insecure_channel(target) as channel:
        stub = persistence_pb2_grpc.PersistenceServiceStub(channel)
        answer = stub.ListItems(
            pb.ListItemsRequest(conversation_id=conversation_id, ascending=True),
            timeout=30, metadata=[("x-tenant-id", tenant)])
    print(json.dumps([[pb.ItemRole.Name(item.role), item.text] for item in answer.items]))
"""


async def _turn(stack: Any) -> tuple[str, str, str]:
    """One spoken turn; returns the conversation's id, the question and the answer."""
    async with (
        stack.openai() as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        await speak(connection, recording("what_time_is_it_in_london_today"))
        events = await until(connection, "response.done")
        response = events[-1].response
        answer = response.output[0].content[0].transcript
        return response.conversation_id, "what time is it in london today", answer


async def _rows(stack: Any, conversation_id: str, n: int) -> list[tuple[str, str]]:
    """The stored items of a conversation, when there are `n`."""
    query = "SELECT role, text FROM items WHERE conversation_id = %s ORDER BY ordinal"
    async with await psycopg.AsyncConnection.connect(stack.database_url) as database:
        async with asyncio.timeout(10):
            while True:
                rows = await (await database.execute(query, [conversation_id])).fetchall()
                await database.rollback()
                if len(rows) >= n and all(text for _, text in rows):
                    return [(str(role), str(text)) for role, text in rows]
                await asyncio.sleep(0.02)


async def test_a_turns_items_are_stored_once_and_listed_over_grpc(stack, tmp_path):
    conversation_id, question, answer = await _turn(stack)
    rows = await _rows(stack, conversation_id, 2)
    assert [text for _, text in rows] == [question, answer]

    await _deliver_again(stack, conversation_id)
    assert await _rows(stack, conversation_id, 2) == rows

    _generate(tmp_path)
    target = f"127.0.0.1:{stack.ports['PERSISTENCE_PORT']}"
    listed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CLIENT), target, "dev", conversation_id],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(listed.stdout) == [
        ["ITEM_ROLE_USER", question],
        ["ITEM_ROLE_ASSISTANT", answer],
    ]


async def _deliver_again(stack: Any, conversation_id: str) -> None:
    """Put the conversation's facts onto the stream a second time, and wait until they are read."""
    async with await psycopg.AsyncConnection.connect(stack.database_url) as database:
        query = "SELECT session_id, record FROM records WHERE conversation_id = %s"
        records = await (await database.execute(query, [conversation_id])).fetchall()
    assert records
    stream = fact_stream(records[0][0])
    async with Redis.from_url(stack.redis_url) as redis:
        for _, record in records:
            await redis.xadd(stream, {RECORD: bytes(record)})
        async with asyncio.timeout(10):
            while await redis.xlen(stream):  # what is stored is deleted
                await asyncio.sleep(0.02)


def _generate(folder: Path) -> None:
    """Stubs from the protos by grpc_tools alone, as a platform team makes them."""
    protos = [str(p) for p in (ROOT / "proto").glob("ovos/**/*.proto")]
    outs = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}", *outs, *protos]
    subprocess.run(command, check=True)


@pytest.mark.parametrize("tenant", ["somebody-else"])
async def test_nobody_elses_history_is_shown(stack, tmp_path, tenant):
    conversation_id, *_ = await _turn(stack)
    await _rows(stack, conversation_id, 2)
    _generate(tmp_path)
    target = f"127.0.0.1:{stack.ports['PERSISTENCE_PORT']}"
    refused = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CLIENT), target, tenant, conversation_id],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode != 0
    assert "NOT_FOUND" in refused.stderr
