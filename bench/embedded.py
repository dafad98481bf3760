"""The mesh as `voicemesh up` starts it, with engines that need no downloads, and a language model
of fixed delay."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.connections import start
from bench.fixed_mesh import PATH, Mesh

SETTINGS = {
    "PYTHONPATH": PATH,
    "STT_ENGINES": "pocketsphinx",
    "TTS_ENGINES": "espeak",
    "LLM_PROVIDERS": "openai",
    "GATEWAY_REQUESTS_PER_MINUTE": "0",
    "GATEWAY_TOKENS_PER_MINUTE": "0",
    "GATEWAY_CHECK_EVENTS": "false",
    "GATEWAY_PROCESSES": "1",
}
MODULES = {
    "stt": "stt_service",
    "tts": "tts_service",
    "llm": "llm_orchestrator",
    "gateway": "gateway",
}


@asynccontextmanager
async def running() -> AsyncIterator[Mesh]:
    from tests.stack import running as up  # only here: it needs pytest

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chmod(folder, 0o711)  # noqa: PTH101 - root's PostgreSQL runs as nobody and must get in
        async with _provider() as url:
            with up(folder, LLM_OPENAI_BASE_URL=url, **SETTINGS) as stack:
                found = {name: stack.pid_of(module) for name, module in MODULES.items()}
                pids = {name: pid for name, pid in found.items() if pid is not None}
                yield Mesh(stack.url, stack.key, pids)


@asynccontextmanager
async def _provider() -> AsyncIterator[str]:
    process = await start("bench.fixed_provider")
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}/v1"
    finally:
        process.stdin.close()
        await process.wait()
