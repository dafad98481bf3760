"""A language model behind OpenAI's API whose tokens come at fixed times.

    python -m bench.fixed_provider

Prints its port. It ends when standard input does.
"""

from __future__ import annotations

import asyncio
import json
import sys

import uvloop
from aiohttp import web

from bench.fixed_engines import FixedWriter
from llm_orchestrator.engine import Request, TextDelta

MODEL = "fixed"


WRITER = web.AppKey("writer", FixedWriter)


def app() -> web.Application:
    made = web.Application()
    made[WRITER] = FixedWriter()
    made.router.add_post("/v1/chat/completions", _complete)
    made.router.add_get("/v1/models", _models)
    return made


async def _models(request: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})


async def _complete(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    async for news in request.app[WRITER].generate(Request(messages=())):
        delta = {"content": news.text} if isinstance(news, TextDelta) else {}
        await answer.write(_chunk(delta, is_last=not delta))
    await answer.write(b"data: [DONE]\n\n")
    return answer


def _chunk(delta: dict[str, str], *, is_last: bool) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": "stop" if is_last else None}
    chunk = {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": MODEL,
        "choices": [choice],
    }  # fmt: skip
    return f"data: {json.dumps(chunk)}\n\n".encode()


async def _serve() -> None:
    runner = web.AppRunner(app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(_serve())
